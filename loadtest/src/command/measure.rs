//! `roadstead-loadtest measure`: load a server with as many requests as it answers.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use roadstead_loadtest::measure::quantiles::Quantiles;
use roadstead_loadtest::measure::{Amount, Load, Outcome, Target};
use serde::Serialize;
use url::Url;

use super::size::size;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections load at once, each with one request under way.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// How long to load, such as `5s`.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Stop after so many requests instead.
    #[arg(long, value_name = "COUNT", conflicts_with = "time")]
    requests: Option<u64>,
    /// Load so long before anything is counted.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// Bytes per second that each client reads at most, such as `200kB`.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    rate: Option<u64>,
    /// A process whose processor time is counted, with its children's; may be repeated.
    #[arg(long = "server", value_name = "PID")]
    servers: Vec<u32>,
    /// With `--requests`, count the processor time of so long after the last answer too.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    settle: Duration,
    /// A header line to send, such as `Accept: */*`; may be repeated.
    #[arg(long = "header", value_name = "LINE")]
    headers: Vec<String>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
    /// What to get, in turn; all of one server.
    #[arg(required = true)]
    urls: Vec<Url>,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    connections: u32,
    seconds: f64,
    requests: u64,
    bytes: u64,
    requests_per_second: f64,
    bytes_per_second: f64,
    first_byte_ms: Quantiles,
    total_ms: Quantiles,
    /// Processor seconds of the server and of this program.
    server_seconds: f64,
    client_seconds: f64,
    failed: u64,
    failures: std::collections::BTreeMap<String, u64>,
}

impl Report {
    fn new(connections: u32, outcome: &Outcome) -> Self {
        let seconds = outcome.elapsed.as_secs_f64();
        Self {
            connections,
            seconds,
            requests: outcome.requests,
            bytes: outcome.bytes,
            requests_per_second: outcome.requests as f64 / seconds,
            bytes_per_second: outcome.bytes as f64 / seconds,
            first_byte_ms: outcome.first_byte.quantiles(),
            total_ms: outcome.total.quantiles(),
            server_seconds: outcome.server_time.as_secs_f64(),
            client_seconds: outcome.client_time.as_secs_f64(),
            failed: outcome.failed(),
            failures: outcome.failures.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, gigabytes) = (self.requests, self.bytes as f64 / 1e9);
        writeln!(f, "{requests} requests, {gigabytes:.3} GB in {:.3} s", self.seconds)?;
        writeln!(f, "rate        {:.0} requests/s, {:.3} GB/s", self.requests_per_second, self.bytes_per_second / 1e9)?;
        writeln!(f, "first byte  {}", self.first_byte_ms)?;
        writeln!(f, "whole       {}", self.total_ms)?;
        writeln!(f, "processor   {:.2} s server, {:.2} s client", self.server_seconds, self.client_seconds)?;
        for (reason, count) in &self.failures {
            writeln!(f, "failed      {count} times: {reason}")?;
        }
        Ok(())
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let targets: Vec<Target> = args.urls.iter().map(|url| Target::get(url, &args.headers)).collect::<Result<_, _>>()?;
    if let Some(other) = targets.iter().find(|target| target.address() != targets[0].address()) {
        bail!("{} and {} are two servers; load one at a time", targets[0].address(), other.address());
    }
    let load = Load {
        targets,
        connections: args.connections as usize,
        amount: args.requests.map_or(Amount::Time(args.time), Amount::Requests),
        warm_up: args.warm_up,
        rate: args.rate,
        servers: args.servers,
        settle: args.settle,
    };
    let outcome = load.run().with_context(|| format!("loading {}", args.urls[0]))?;
    let report = Report::new(args.connections, &outcome);
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    if report.failed > 0 {
        bail!("{} requests failed", report.failed);
    }
    Ok(())
}
