//! `roadstead-loadtest run`: pull images as containerd does, with many clients, and print what they waited.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use roadstead_loadtest::puller::{ImageName, Journal, Options, Platform, Session};
use tokio::task::JoinSet;

use super::run_report::Report;
use super::size::size;

/// How often the progress bar is drawn anew.
const TICK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many clients pull at once; each has connections of its own, and nothing in its store before each pull.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// How many pulls in all; without it, and without `--time`, every client pulls every image once.
    #[arg(long, value_name = "COUNT", conflicts_with = "time")]
    pulls: Option<u64>,
    /// Begin pulls for so long, such as `30s`; those under way are completed.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// How many blobs of an image a client fetches at once.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Which image of an index.
    #[arg(long, value_name = "OS/ARCH", default_value = "linux/amd64")]
    platform: Platform,
    /// Do not check digests: more load from the same processor.
    #[arg(long)]
    no_verify: bool,
    /// Token to present, as the password of Basic credentials; better given by the environment.
    #[arg(long, env = "ROADSTEAD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How many of the clients are slow.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    slow: u32,
    /// Bytes per second that a slow client reads of each blob.
    #[arg(long, value_name = "BYTES", default_value = "200kB", value_parser = size)]
    slow_rate: u64,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// What to pull, in turn: HOST[:PORT]/NAME[:TAG] or …@DIGEST, with http:// or https:// before it or nothing.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<ImageName>,
}

/// What is left to pull, shared by all clients.
#[derive(Debug)]
struct Work {
    images: Vec<ImageName>,
    tickets: AtomicU64,
    until: Option<Instant>,
}

impl Work {
    fn begin(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
            && self.tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    // The only provider in the build; another call cannot have come first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(pull(args))
}

async fn pull(args: Args) -> anyhow::Result<()> {
    let all_once = u64::from(args.clients) * args.images.len() as u64;
    let pulls = match args.time {
        Some(_) => None,
        None => Some(args.pulls.unwrap_or(all_once)),
    };
    let journal = Arc::new(Journal::default());
    let mut sessions = Vec::new();
    for number in 0..args.clients {
        let options = Options {
            platform: args.platform.clone(),
            parallel: args.parallel.into(),
            verify: !args.no_verify,
            token: args.token.clone(),
            rate: (number < args.slow).then_some(args.slow_rate),
        };
        sessions.push(Session::new(options, Arc::clone(&journal)).context("making a client")?);
    }
    let progress = progress(pulls);
    let began = Instant::now();
    let work = Arc::new(Work {
        images: args.images,
        tickets: AtomicU64::new(pulls.unwrap_or(u64::MAX)),
        until: args.time.map(|time| began + time),
    });
    let mut clients = JoinSet::new();
    for (number, session) in sessions.into_iter().enumerate() {
        clients.spawn(client(number, session, Arc::clone(&work), progress.clone()));
    }
    let mut redraw = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                Some(ended) => ended.context("a client panicked")?,
                None => break,
            },
            _ = redraw.tick() => {
                let rate = journal.bytes() as f64 / began.elapsed().as_secs_f64();
                progress.set_message(format!("{}, {}/s", HumanBytes(journal.bytes()), HumanBytes(rate as u64)));
            }
        }
    }
    progress.finish_and_clear();
    let report = Report::new(began.elapsed(), journal.bytes(), &journal.so_far());
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    match report.failed() {
        0 => Ok(()),
        failed => bail!("{failed} pulls failed"),
    }
}

async fn client(number: usize, session: Session, work: Arc<Work>, progress: ProgressBar) {
    // Every client begins with another image.
    for image in work.images.iter().cycle().skip(number % work.images.len()) {
        if !work.begin() {
            break;
        }
        // What failed is in the journal, and in the report.
        let _ = session.pull(image).await;
        progress.inc(1);
    }
}

/// On standard error, and only where that is a terminal.
fn progress(pulls: Option<u64>) -> ProgressBar {
    let progress = ProgressBar::with_draw_target(pulls, ProgressDrawTarget::stderr());
    let template = match pulls {
        Some(_) => "{elapsed_precise} {bar:40} {pos}/{len} pulls  {msg}",
        None => "{elapsed_precise} {spinner} {pos} pulls  {msg}",
    };
    progress.set_style(ProgressStyle::with_template(template).expect("our own templates are valid"));
    progress
}
