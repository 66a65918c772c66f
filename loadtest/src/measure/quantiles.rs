//! Latencies, and what is printed of them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer than this is recorded as this: an hour.
const LONGEST: u64 = 3_600_000_000;

/// Collects latencies in microseconds, to three digits.
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are valid");
        Self { histogram }
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
        self.histogram.saturating_record(micros.max(1));
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// What to print.
    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.histogram.value_at_quantile(quantile) as f64 / 1000.0;
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are no longer.
    pub p90: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// 999 of 1,000 are no longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_that_were_added() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        (1..=500).for_each(|millis| one.record(Duration::from_millis(millis)));
        (501..=1000).for_each(|millis| other.record(Duration::from_millis(millis)));
        one.add(&other);
        let quantiles = one.quantiles();
        assert_eq!(one.count(), 1000);
        assert!((quantiles.p50 - 500.0).abs() < 1.0, "{quantiles}");
        assert!((quantiles.p99 - 990.0).abs() < 1.0, "{quantiles}");
        assert!((quantiles.max - 1000.0).abs() < 1.0, "{quantiles}");
    }

    #[test]
    fn what_takes_for_ever_is_recorded_all_the_same() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::MAX);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
    }
}
