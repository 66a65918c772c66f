//! The real gateway and node code under a deterministic simulation.
//!
//! | file | what it holds |
//! |---|---|
//! | [`parent`] | many runs, each in a process of its own; proves first that a run repeats itself |
//! | [`scenario`] | what a run is, drawn from its seed |
//! | [`run`] | one run |
//! | [`stage`] | what all hosts of a run share |
//! | [`hosts`] | what runs on the hosts: nodes, gateways, clients |
//! | [`net`], [`clock`] | the simulated network and wall clocks behind the seams of the real code |
//! | [`content`], [`upstream`] | what there is to pull, and who has it |
//! | [`recording`], [`history`] | what is written down, and how |
//! | [`invariants`] | what must hold of every history, one property per file |
//! | [`sabotage`] | what is broken on purpose, to see each invariant fail |
//! | [`trace`] | everything the code says, as one number |
//! | [`draw`] | draws from the seed |
//!
//! `docs/developers/simulation.md` says how it works and what is not simulated.

#[cfg(not(tokio_unstable))]
compile_error!("build it in its own folder: .cargo/config.toml there sets `--cfg tokio_unstable`");

mod clock;
mod content;
mod draw;
mod history;
mod hosts;
mod invariants;
mod net;
mod parent;
mod recording;
mod run;
mod sabotage;
mod scenario;
mod stage;
mod trace;
mod upstream;

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The real gateway and node code under a deterministic simulation.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    many: Many,
}

/// Which runs.
#[derive(Args)]
struct Many {
    /// Seeds, `FROM..TO`.
    #[arg(long, default_value = "0..4", value_parser = seeds)]
    seeds: Range<u64>,
    /// Scenarios; all of them by default.
    #[arg(long, value_delimiter = ',')]
    scenarios: Vec<String>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

#[derive(Subcommand)]
enum Command {
    /// One run, in this process and this directory.
    One(One),
}

/// Which run.
#[derive(Args)]
struct One {
    /// The scenario.
    #[arg(long)]
    scenario: String,
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Hash everything that the code says.
    #[arg(long)]
    trace: bool,
    /// Where to write all of that.
    #[arg(long)]
    trace_to: Option<PathBuf>,
    /// Break this on purpose.
    #[arg(long)]
    sabotage: Option<String>,
    /// Where to write the history.
    #[arg(long)]
    history_to: Option<PathBuf>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("seeds are FROM..TO")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    Ok(number(from)?..number(to)?)
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::One(one)) => run_one(&one),
        None => parent::run(cli.many.seeds, &cli.many.scenarios, cli.many.jobs),
    }
}

fn run_one(one: &One) -> ExitCode {
    let Some(scenario) = scenario::of(&one.scenario, one.seed) else {
        eprintln!("there is no scenario `{}`; there are {}", one.scenario, scenario::NAMES.join(", "));
        return ExitCode::from(64);
    };
    mad_turmoil::rand::set_rng(rand::SeedableRng::seed_from_u64(one.seed));
    roadstead_proto::offload::simulate(one.seed);
    let trace = (one.trace || one.trace_to.is_some())
        .then(|| trace::Trace::begin(one.trace_to.as_deref()).expect("the trace can be written"));
    let ran = {
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        run::run(&scenario, one.seed, one.sabotage.as_deref().and_then(sabotage::named))
    };
    let events = ran.history.all();
    let mut violations: Vec<String> = ran.failure.iter().map(|failure| format!("the run failed: {failure}")).collect();
    for (name, check) in invariants::ALL {
        violations.extend(check(&events).into_iter().map(|violation| format!("{name}: {violation}")));
    }
    if let Some(path) = &one.history_to {
        let text: String = events.iter().map(|event| format!("{event}\n")).collect();
        std::fs::write(path, text).expect("the history can be written");
    }
    violations.iter().for_each(|violation| println!("violated {violation}"));
    let (traced, lines) = trace.map(|trace| trace.end()).unwrap_or_default();
    println!(
        "hash {} trace {traced} events {} lines {lines} lasted {:.1}",
        ran.history.hash(),
        events.len(),
        ran.lasted.as_secs_f64()
    );
    if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
