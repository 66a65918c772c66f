//! `roadstead`: a pull-through cache for container images, as one binary.
//!
//! | file | what it holds |
//! |---|---|
//! | `command.rs` | the command line: which command, with which flags |
//! | `exit.rs` | how the process ends: exit codes and the last words |
//! | `serve/` | `roadstead serve`: gateway, one-member node and local directory in one process |
//! | `node/` | `roadstead node`: a member of the group that keeps the metadata |
//! | `gateway/` | `roadstead gateway`: one of many gateways over such nodes |
//! | `cluster/` | `roadstead cluster`: administration over the service of the nodes |
//! | `tls/` | `roadstead tls`: the authority of a cluster and its certificates |
//! | `settings/` `directory/` `startup/` `written/` | what roles share: settings, the data directory, the steps of a start, values as people write them |
//!
//! This is the only crate that names both gateway and node: whether metadata and blobs are in this process or elsewhere is
//! decided here and nowhere else.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on may panic"))]

mod cluster;
mod command;
mod directory;
mod exit;
mod gateway;
mod node;
mod serve;
mod settings;
mod startup;
mod tls;
mod written;

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use command::Request;

fn main() -> ExitCode {
    // Parse: what is asked.
    let request = match command::parse(std::env::args_os()) {
        Ok(request) => request,
        Err(answer) => return exit::after_parsing(&answer),
    };
    let variable = |name: &str| std::env::var_os(name);
    // Decide, then do: every setting is checked before anything is bound or written.
    match request {
        Request::Serve(flags) => {
            let check_only = flags.pulls.check_config;
            role(check_only, serve::plan(*flags, variable), serve::run)
        }
        Request::Gateway(flags) => {
            let check_only = flags.pulls.check_config;
            role(check_only, gateway::plan(*flags, variable), gateway::run)
        }
        Request::Node(flags) => {
            let check_only = flags.check_config;
            role(check_only, node::plan(*flags, variable), node::run)
        }
        Request::Cluster(flags) => errand(cluster::plan(*flags, variable), cluster::run),
        Request::Tls(flags) => errand(tls::plan(flags), tls::run),
    }
}

/// Runs a role until it ends, or says what it would run with.
fn role<P: Display, D: Error + 'static, E: Error + 'static>(
    check_only: bool,
    plan: Result<P, D>,
    run: impl FnOnce(P) -> Result<(), E>,
) -> ExitCode {
    match plan {
        Ok(plan) if check_only => exit::said(&plan),
        plan => errand(plan, run),
    }
}

/// Does one thing, and renders how it ended.
fn errand<P, D: Error + 'static, E: Error + 'static>(
    plan: Result<P, D>,
    run: impl FnOnce(P) -> Result<(), E>,
) -> ExitCode {
    match plan.map(run) {
        Err(error) => exit::failed(exit::USAGE, &error),
        Ok(Err(error)) => exit::failed(exit::FAILURE, &error),
        Ok(Ok(())) => ExitCode::SUCCESS,
    }
}
