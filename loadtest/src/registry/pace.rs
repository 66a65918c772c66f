//! How fast bodies are sent.

use std::sync::{Mutex, RwLock};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Bandwidth;

/// A sender that was woken late makes up for this much, so that the rate holds on average.
const CATCH_UP: Duration = Duration::from_millis(50);

/// The largest piece of a body that is sent at once when nothing limits it.
const FULL_CHUNK: usize = 256 * 1024;

/// When the bytes sent so far have left, at the given rate.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    busy_until: Mutex<Option<Instant>>,
}

impl Pacer {
    /// Books the line for so many bytes; they have left at the returned time.
    fn book(&self, rate: u64, bytes: u64, now: Instant) -> Instant {
        let duration = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let mut busy_until = self.busy_until.lock().expect("nothing panics while it is held");
        let idle_since = now.checked_sub(CATCH_UP).unwrap_or(now);
        let start = busy_until.map_or(now, |busy| busy.max(idle_since));
        *busy_until.insert(start + duration)
    }
}

/// The limits in force, and the line that all connections share.
#[derive(Debug, Default)]
pub(super) struct Line {
    bandwidth: RwLock<Bandwidth>,
    shared: Pacer,
}

impl Line {
    pub(super) fn set(&self, bandwidth: Bandwidth) {
        *self.bandwidth.write().expect("nothing panics while it is held") = bandwidth;
    }

    fn bandwidth(&self) -> Bandwidth {
        *self.bandwidth.read().expect("nothing panics while it is held")
    }

    /// The most to send at once: at most a fiftieth of a second's worth, so that the flow is even.
    pub(super) fn chunk(&self) -> usize {
        let Bandwidth { total, per_connection } = self.bandwidth();
        let Some(rate) = total.into_iter().chain(per_connection).min() else {
            return FULL_CHUNK;
        };
        usize::try_from(rate / 50).unwrap_or(FULL_CHUNK).clamp(1024, 64 * 1024)
    }

    /// Waits until so many bytes have left, on the shared line and on the connection's own.
    pub(super) async fn send(&self, connection: &Pacer, bytes: u64) {
        let Bandwidth { total, per_connection } = self.bandwidth();
        let now = Instant::now();
        let shared = total.map(|rate| self.shared.book(rate, bytes, now));
        let own = per_connection.map(|rate| connection.book(rate, bytes, now));
        if let Some(left_at) = shared.max(own) {
            sleep_until(left_at).await;
        }
    }
}

/// The line of one answer that has one of its own.
#[derive(Debug)]
pub(super) struct Narrow {
    rate: u64,
    pacer: Pacer,
}

impl Narrow {
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { rate: bytes_per_second.max(1), pacer: Pacer::default() }
    }

    /// The most to send at once. No lower bound: a trickle of single bytes is a fault worth having.
    pub(super) fn chunk(&self) -> u64 {
        (self.rate / 50).clamp(1, FULL_CHUNK as u64)
    }

    /// Waits until so many bytes have left.
    pub(super) async fn send(&self, bytes: u64) {
        sleep_until(self.pacer.book(self.rate, bytes, Instant::now())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_one_after_the_other() {
        let (pacer, start) = (Pacer::default(), Instant::now());
        let left = |bytes, now| pacer.book(1000, bytes, now).duration_since(start);
        assert_eq!(left(100, start), Duration::from_millis(100));
        assert_eq!(left(100, start), Duration::from_millis(200));
        // Woken 20 ms late: the schedule holds.
        assert_eq!(left(100, start + Duration::from_millis(220)), Duration::from_millis(300));
        // Idle for a second: no more than the catch-up is made good.
        assert_eq!(left(100, start + Duration::from_millis(1300)), Duration::from_millis(1350));
    }

    #[test]
    fn chunks_follow_the_slower_limit() {
        let line = Line::default();
        assert_eq!(line.chunk(), FULL_CHUNK);
        line.set(Bandwidth { total: Some(10_000_000), per_connection: Some(100_000) });
        assert_eq!(line.chunk(), 2000);
        line.set(Bandwidth::total(10_000_000));
        assert_eq!(line.chunk(), 64 * 1024);
    }
}
