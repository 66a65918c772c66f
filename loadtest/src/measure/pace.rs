//! How slowly a slow client reads.

use std::time::{Duration, Instant};

/// A reader that takes a fixed number of bytes per second.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: u64,
    began: Instant,
    taken: u64,
}

impl Pace {
    /// At `rate` bytes per second from `began` on.
    pub(crate) fn new(rate: u64, began: Instant) -> Self {
        Self { rate: rate.max(1), began, taken: 0 }
    }

    /// The most to read at once: a tenth of a second's worth.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.rate / 10).unwrap_or(usize::MAX).max(1)
    }

    /// How long to wait at `now`, after so many more bytes were read.
    pub(crate) fn took(&mut self, bytes: usize, now: Instant) -> Duration {
        self.taken += bytes as u64;
        let due = self.began + Duration::from_secs_f64(self.taken as f64 / self.rate as f64);
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_keeps_to_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(1000, start);
        assert_eq!(pace.most(), 100);
        assert_eq!(pace.took(100, start), Duration::from_millis(100));
        assert_eq!(pace.took(100, start + Duration::from_millis(150)), Duration::from_millis(50));
        // Who is late does not wait, and makes up for it.
        assert_eq!(pace.took(100, start + Duration::from_millis(500)), Duration::ZERO);
    }
}
