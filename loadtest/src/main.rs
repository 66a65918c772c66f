//! `roadstead-loadtest`: the synthetic upstream as a program.

mod command;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let command = match command::Command::try_parse() {
        Ok(command) => command,
        Err(usage) => {
            // Printing fails only when nobody reads.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::from(command::BAD_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
