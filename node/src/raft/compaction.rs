//! When the log is worth a snapshot.
//!
//! A snapshot writes the whole state, so that its cost is set against what the log has grown by: half the size of the last
//! snapshot, and never less than 16 MiB ([`Compaction`] says so). Whatever the size of the state, snapshots then write two bytes for each
//! byte of the log, and the log stays within half of the state. Raft asks after every few entries, by their number; here
//! is what it is answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::Compaction;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Compactor {
    compaction: Compaction,
    /// What the log has grown by since the last snapshot began.
    grown: AtomicU64,
    /// Somebody wants one now.
    is_demanded: AtomicBool,
}

impl Compactor {
    /// For a log that has `grown` so much since its last snapshot.
    pub(crate) fn new(compaction: Compaction, grown: u64) -> Self {
        Self { compaction, grown: AtomicU64::new(grown), is_demanded: AtomicBool::new(false) }
    }

    /// The log has grown.
    pub(super) fn grew(&self, bytes: u64) {
        self.grown.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The next time raft asks, a snapshot is due.
    pub(crate) fn demand(&self) {
        self.is_demanded.store(true, Ordering::Relaxed);
    }

    /// Whether a snapshot is due, where the last one has `snapshot_bytes`.
    pub(super) fn is_due(&self, snapshot_bytes: u64) -> bool {
        let share = snapshot_bytes / 100 * self.compaction.log_percent_min;
        self.is_demanded.load(Ordering::Relaxed)
            || self.grown.load(Ordering::Relaxed) >= self.compaction.log_bytes_min.max(share)
    }

    /// A snapshot begins.
    pub(super) fn begins(&self) {
        self.is_demanded.store(false, Ordering::Relaxed);
        self.grown.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compactor() -> Compactor {
        Compactor::new(Compaction { log_bytes_min: 100, ..Compaction::default() }, 0)
    }

    #[test]
    fn a_small_state_waits_for_the_least_log_and_a_large_one_for_half_of_itself() {
        let compactor = compactor();
        compactor.grew(99);
        assert!(!compactor.is_due(10));
        compactor.grew(1);
        assert!(compactor.is_due(10) && compactor.is_due(200));
        assert!(!compactor.is_due(300));
        compactor.begins();
        assert!(!compactor.is_due(0));
    }

    #[test]
    fn whoever_demands_one_is_given_one() {
        let compactor = compactor();
        compactor.demand();
        assert!(compactor.is_due(1 << 40));
        compactor.begins();
        assert!(!compactor.is_due(0));
    }
}
