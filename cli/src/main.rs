//! `roadstead`: a pull-through cache for container images, as one binary.
//!
//! | file | what it holds |
//! |---|---|
//! | `command.rs` | the command line: which command, with which flags |
//! | `exit.rs` | how the process ends: exit codes and the last words |
//! | `serve/` | `roadstead serve`: gateway, one-member node and local directory in one process |
//!
//! This is the only crate that names both gateway and node: whether metadata and blobs are in this process or elsewhere is
//! decided here and nowhere else.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on may panic"))]

mod command;
mod exit;
mod serve;

use std::process::ExitCode;

use command::Request;

fn main() -> ExitCode {
    // Parse: what is asked.
    let request = match command::parse(std::env::args_os()) {
        Ok(request) => request,
        Err(answer) => return exit::after_parsing(&answer),
    };
    let Request::Serve(flags) = request;
    let check_only = flags.check_config;

    // Decide: every setting is checked before anything is bound or written.
    let plan = match serve::plan(*flags, |name| std::env::var_os(name)) {
        Ok(plan) => plan,
        Err(error) => return exit::failed(exit::USAGE, &error),
    };
    if check_only {
        return exit::said(&plan);
    }

    // Do, and render how it ended.
    match serve::run(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::failed(exit::FAILURE, &error),
    }
}
