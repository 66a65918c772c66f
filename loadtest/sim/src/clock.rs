//! Wall clocks, one for each host, that a scenario sets wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use roadstead_proto::clock::Clock;
use roadstead_proto::domain::time::Timestamp;

/// When every run begins, in milliseconds since 1970.
const BEGINNING_MS: i64 = 1_790_000_000_000;

/// The run's time, and how wrong this host has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct SkewedClock(Arc<AtomicI64>);

impl SkewedClock {
    /// Sets the clock wrong by so many milliseconds.
    pub(crate) fn set(&self, wrong_by_ms: i64) {
        self.0.store(wrong_by_ms, Ordering::Relaxed);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default().as_millis();
        let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
        let now = BEGINNING_MS + elapsed + self.0.load(Ordering::Relaxed);
        Timestamp(u64::try_from(now).unwrap_or_default())
    }
}
