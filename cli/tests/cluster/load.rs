//! The load driver: pulls as containerd does, by many clients at once, in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, until};

/// A load that is running.
#[derive(Debug)]
pub(crate) struct Load {
    process: Process,
    log: PathBuf,
}

/// How a load went.
#[derive(Debug)]
pub(crate) struct Report {
    /// Whole pulls.
    pub(crate) pulls: u64,
    pub(crate) seconds: f64,
    /// Bodies that broke off and were continued.
    pub(crate) resumed: u64,
    /// The slowest pull.
    pub(crate) slowest: Duration,
    /// By reason.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Load {
    pub(crate) fn new(process: Process, log: PathBuf) -> Self {
        Self { process, log }
    }

    /// Whether it is still pulling.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// Waits for its end.
    pub(crate) async fn report(mut self, patience: Duration) -> Report {
        until("the load comes to its end", patience, async || !self.process.runs()).await;
        let text = fs::read_to_string(&self.log).unwrap();
        let line =
            text.lines().rev().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no report:\n{text}"));
        let report: Value = serde_json::from_str(line).unwrap();
        let failures = report["failures"].as_object().unwrap().iter();
        Report {
            pulls: report["pulls"].as_u64().unwrap(),
            seconds: report["seconds"].as_f64().unwrap(),
            resumed: report["resumed"].as_u64().unwrap(),
            slowest: Duration::from_secs_f64(report["kinds"]["pull"]["total_ms"]["max"].as_f64().unwrap_or(0.0) / 1e3),
            failures: failures.map(|(reason, count)| (reason.clone(), count.as_u64().unwrap())).collect(),
        }
    }
}

impl Report {
    /// Panics if a pull failed.
    pub(crate) fn without_failure(&self, what: &str) {
        assert!(self.failures.is_empty(), "{what}: pulls failed: {:#?}", self.failures);
        assert!(self.pulls > 0, "{what}: nothing was pulled");
    }
}
