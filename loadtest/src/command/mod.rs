//! The commands of the program, one file each.

mod herd;
mod measure;
mod run;
mod run_report;
mod size;
mod storm;
mod upstream;

/// Exit code for bad usage, as of `sysexits.h`.
pub(crate) const BAD_USAGE: u8 = 64;

/// The synthetic upstream of Roadstead's tests and the load driver, as a program.
#[derive(Debug, clap::Parser)]
#[command(name = "roadstead-loadtest", version)]
pub(crate) enum Command {
    /// Serve seeded synthetic images as a registry.
    Upstream(Box<upstream::Args>),
    /// Pull one address with many clients at once and print what they waited.
    Herd(herd::Args),
    /// Pull images as containerd does, with many clients, and print throughput and latencies.
    Run(run::Args),
    /// Load a server with as many requests as it answers, and print rates, latencies and what it cost the server.
    Measure(measure::Args),
    /// Play random fault scenarios by seed against a gateway, and judge what came of them.
    Storm(storm::Args),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Upstream(args) => upstream::run(*args),
            Command::Herd(args) => herd::run(args),
            Command::Run(args) => run::run(args),
            Command::Measure(args) => measure::run(args),
            Command::Storm(args) => storm::run(args),
        }
    }
}
