//! What `run` prints.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use roadstead_loadtest::measure::quantiles::Quantiles;
use roadstead_loadtest::puller::{Kind, Record, Totals};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    seconds: f64,
    pulls: u64,
    pulls_per_second: f64,
    bytes: u64,
    bytes_per_second: f64,
    resumed: u64,
    kinds: BTreeMap<Kind, KindReport>,
    failures: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct KindReport {
    count: u64,
    per_second: f64,
    bytes: u64,
    /// Of kinds that have a body.
    first_byte_ms: Option<Quantiles>,
    total_ms: Quantiles,
}

impl Report {
    pub(super) fn new(elapsed: Duration, bytes: u64, totals: &Totals) -> Self {
        let seconds = elapsed.as_secs_f64();
        let kind = |record: &Record| KindReport {
            count: record.total.count(),
            per_second: record.total.count() as f64 / seconds,
            bytes: record.bytes,
            first_byte_ms: (record.first_byte.count() > 0).then(|| record.first_byte.quantiles()),
            total_ms: record.total.quantiles(),
        };
        let pulls = totals.records.get(&Kind::Pull).map_or(0, |record| record.total.count());
        Self {
            seconds,
            pulls,
            pulls_per_second: pulls as f64 / seconds,
            bytes,
            bytes_per_second: bytes as f64 / seconds,
            resumed: totals.resumed,
            kinds: totals.records.iter().map(|(name, record)| (*name, kind(record))).collect(),
            failures: totals.failures.clone(),
        }
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pulls, seconds, megabytes) = (self.pulls, self.seconds, self.bytes as f64 / 1e6);
        writeln!(f, "{pulls} pulls, {megabytes:.1} MB in {seconds:.3} s")?;
        writeln!(f, "{:.2} pulls/s, {:.1} MB/s", self.pulls_per_second, self.bytes_per_second / 1e6)?;
        if self.resumed > 0 {
            writeln!(f, "{} bodies broke off and were continued", self.resumed)?;
        }
        for (kind, report) in &self.kinds {
            writeln!(f, "{kind:10}{:9} times, {:9.1}/s", report.count, report.per_second)?;
            if let Some(first_byte) = report.first_byte_ms {
                writeln!(f, "          first byte  {first_byte}")?;
            }
            writeln!(f, "          whole       {}", report.total_ms)?;
        }
        if self.failed() > 0 {
            writeln!(f, "{} pulls failed:", self.failed())?;
        }
        for (reason, count) in &self.failures {
            writeln!(f, "{count:6} times: {reason}")?;
        }
        Ok(())
    }
}
