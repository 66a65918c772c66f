//! `roadstead-loadtest storm`: random fault scenarios by seed against a gateway.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use roadstead_loadtest::storm::{Observed, Scenario, Setup, StormError, Summary, Verdict, judge, play};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Scenarios after whose failure no more are begun: the first ones say enough.
const FAILURES_MAX: usize = 5;

/// Violations of one scenario that are printed.
const VIOLATIONS_PRINTED: usize = 5;

/// The longest that one violation may be printed.
const VIOLATION_TEXT: usize = 4000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The `roadstead` binary to test. Each scenario starts it anew, with an empty data directory.
    #[arg(long, value_name = "FILE", default_value = "roadstead")]
    gateway: PathBuf,
    /// The scenarios to play, `FROM..TO`, without the last.
    #[arg(long, value_name = "RANGE", default_value = "0..200", value_parser = seeds)]
    seeds: Range<u64>,
    /// Play this one alone, and print what was seen.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print the scenario, or those of `--seeds`, as JSON, and play nothing.
    #[arg(long)]
    show: bool,
    /// How many scenarios are played at once. Much of each is waiting.
    #[arg(long, value_name = "COUNT", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let malformed = || format!("`{text}` is not FROM..TO, such as 0..200");
    let (from, to) = text.split_once("..").ok_or_else(malformed)?;
    let (from, to) = (from.parse().map_err(|_| malformed())?, to.parse().map_err(|_| malformed())?);
    if from < to { Ok(from..to) } else { Err(malformed()) }
}

/// A scenario that was played.
struct Played {
    scenario: Scenario,
    verdict: Verdict,
    observed: Observed,
    /// The gateway's log and data.
    folder: TempDir,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    // The only provider in the build; another call cannot have come first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seeds = args.seed.map_or(args.seeds.clone(), |seed| seed..seed + 1);
    if args.show {
        for seed in seeds {
            println!("{}", serde_json::to_string_pretty(&Scenario::from_seed(seed))?);
        }
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(storm(args, seeds))
}

async fn storm(args: Args, seeds: Range<u64>) -> anyhow::Result<()> {
    let setup = Setup { program: args.gateway.clone() };
    let began = Instant::now();
    let bar = progress(seeds.end - seeds.start);
    let mut total = Total::default();
    let mut waiting = seeds.clone();
    let mut playing = JoinSet::new();
    loop {
        while playing.len() < usize::from(args.parallel) && total.failed < FAILURES_MAX {
            let Some(seed) = waiting.next() else { break };
            playing.spawn(play_one(setup.clone(), seed));
        }
        let Some(played) = playing.join_next().await else { break };
        let played = played.context("the storm itself panicked")??;
        total.add(&played);
        bar.set_message(format!("{} failed", total.failed));
        bar.inc(1);
        if !played.verdict.violations.is_empty() {
            bar.suspend(|| report(&args, played))?;
        } else if args.seed.is_some() {
            bar.suspend(|| println!("{}", serde_json::to_string(&played.verdict.summary).unwrap_or_default()));
        }
    }
    bar.finish_and_clear();
    total.took = began.elapsed();
    print!("{total}");
    match total.failed {
        0 => Ok(()),
        failed => bail!("{failed} of {} scenarios failed", total.scenarios),
    }
}

async fn play_one(setup: Setup, seed: u64) -> Result<Played, StormError> {
    let scenario = Scenario::from_seed(seed);
    let folder = tempfile::Builder::new().prefix(&format!("roadstead-storm-{seed}.")).tempdir()?;
    let observed = play(&setup, &scenario, folder.path()).await?;
    let verdict = judge(&scenario, &observed);
    Ok(Played { scenario, verdict, observed, folder })
}

/// All that it takes to understand a failure, and to see it again.
fn report(args: &Args, played: Played) -> anyhow::Result<()> {
    let Played { scenario, verdict, observed, folder } = played;
    let folder = folder.keep();
    let file = folder.join("observed.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&observed)?)?;
    println!("scenario {} FAILED", scenario.seed);
    for violation in verdict.violations.iter().take(VIOLATIONS_PRINTED) {
        let text = violation.to_string();
        println!("  {}", text.chars().take(VIOLATION_TEXT).collect::<String>());
    }
    if let Some(more) = verdict.violations.len().checked_sub(VIOLATIONS_PRINTED).filter(|more| *more > 0) {
        println!("  and {more} more");
    }
    println!("  the scenario: {}", serde_json::to_string(&scenario)?);
    println!("  what was seen, and the gateway's log: {}", folder.display());
    println!(
        "  to play it again: {} storm --gateway {} --seed {}",
        std::env::current_exe()?.display(),
        args.gateway.display(),
        scenario.seed
    );
    Ok(())
}

/// All scenarios together.
#[derive(Default)]
struct Total {
    scenarios: u64,
    clients: u64,
    failed: usize,
    summary: Summary,
    took: Duration,
}

impl Total {
    fn add(&mut self, played: &Played) {
        self.scenarios += 1;
        self.clients += played.scenario.clients.len() as u64;
        self.failed += usize::from(!played.verdict.violations.is_empty());
        self.summary.add(&played.verdict.summary);
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { completed, refused, aborted, left, unverified_parts, traffic, peak_bytes } = self.summary;
        let took = self.took.as_secs();
        writeln!(f, "{} scenarios, {} clients, {} failed; {took} s", self.scenarios, self.clients, self.failed)?;
        writeln!(
            f,
            "requests: {completed} completed, {refused} refused, {aborted} broken off, {left} left by the client"
        )?;
        if unverified_parts > 0 {
            writeln!(f, "          {unverified_parts} parts were sent before the verdict on a corrupt blob")?;
        }
        let (content, sent) = (HumanBytes(traffic.content), HumanBytes(traffic.sent));
        let share = traffic.sent as f64 / traffic.content.max(1) as f64;
        writeln!(
            f,
            "upstream: {sent} sent of {content}, {share:.3} times; faults allowed {} more",
            HumanBytes(traffic.forced)
        )?;
        writeln!(f, "memory:   {} at most", HumanBytes(peak_bytes))
    }
}

/// On standard error, and only where that is a terminal.
fn progress(scenarios: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(scenarios), ProgressDrawTarget::stderr());
    let template = "{elapsed_precise} {bar:40} {pos}/{len} scenarios  {msg}";
    bar.set_style(ProgressStyle::with_template(template).expect("our own templates are valid"));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range() {
        assert_eq!(seeds("0..200"), Ok(0..200));
        for text in ["", "5", "5..", "5..5", "6..5", "a..b"] {
            assert!(seeds(text).is_err(), "{text}");
        }
    }
}
