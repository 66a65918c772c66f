//! What every request took.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::measure::quantiles::Latencies;

/// What is counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `HEAD` of a tag or digest.
    Resolve,
    /// `GET` of a manifest or index by digest.
    Manifest,
    /// `GET` of a configuration.
    Config,
    /// `GET` of a layer.
    Layer,
    /// All of it: an image, from its name to its last byte.
    Pull,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Resolve => "resolve",
            Kind::Manifest => "manifest",
            Kind::Config => "config",
            Kind::Layer => "layer",
            Kind::Pull => "pull",
        })
    }
}

/// What the requests of one kind took.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Until the first byte of the body; empty for kinds that have none.
    pub first_byte: Latencies,
    /// Until the last.
    pub total: Latencies,
    /// Bytes of bodies.
    pub bytes: u64,
}

/// Everything that was noted down.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By kind.
    pub records: BTreeMap<Kind, Record>,
    /// Pulls that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// Bodies that broke off and were continued.
    pub resumed: u64,
}

/// Shared by all clients.
#[derive(Debug, Default)]
pub struct Journal {
    totals: Mutex<Totals>,
    /// Apart from the rest, since it changes with every piece of every body.
    received: AtomicU64,
}

impl Journal {
    fn totals(&self) -> MutexGuard<'_, Totals> {
        // Counters stay usable whatever a client was doing when it panicked.
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn resumed(&self) {
        self.totals().resumed += 1;
    }

    pub(super) fn ended(&self, kind: Kind, first_byte: Option<Duration>, total: Duration, bytes: u64) {
        let mut totals = self.totals();
        let record = totals.records.entry(kind).or_default();
        if let Some(first_byte) = first_byte {
            record.first_byte.record(first_byte);
        }
        record.total.record(total);
        record.bytes += bytes;
    }

    pub(super) fn failed(&self, reason: String) {
        *self.totals().failures.entry(reason).or_default() += 1;
    }

    /// Bytes of bodies so far, also of those that have not ended.
    pub fn bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What was noted down so far.
    pub fn so_far(&self) -> Totals {
        self.totals().clone()
    }
}
