//! The rate budget that an upstream says it gives us, and what it means for validity. Pure.
//!
//! Docker Hub sends `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 20;w=21600` and `docker-ratelimit-source` with the
//! answers to GET and HEAD of manifests. Without them nothing is known, and nothing is assumed: paid accounts have none.
//!
//! ```text
//!   validity ×
//!     until the window ends ─┤ (nothing left)
//!                          4 ┤\
//!                            │ \         a straight line
//!                          1 ┤  \─────────────────────────
//!                            0  25 %  of the budget is left
//! ```

use std::cmp::Reverse;
use std::time::Duration;

use http::HeaderMap;
use roadstead_proto::domain::fleet::RateReading;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;

/// What an answer said of the budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Requests per window, where the answer says it.
    pub limit: Option<u64>,
    /// Requests left.
    pub remaining: u64,
    /// The window they are counted in.
    pub window: Duration,
    /// Whom the upstream counts: an account or an address.
    pub counted: Option<String>,
    /// When it was said.
    pub at: Timestamp,
}

impl Reading {
    /// What the headers say, if anything.
    pub fn of(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let (remaining, window) = quantity(text("ratelimit-remaining")?)?;
        let limit = text("ratelimit-limit").and_then(quantity);
        let window = window.or(limit.and_then(|(_, window)| window)).unwrap_or(limits::BUDGET_WINDOW_DEFAULT);
        let counted = text("docker-ratelimit-source").filter(|counted| counted.len() <= limits::NAME_MAX);
        Some(Self {
            limit: limit.map(|(limit, _)| limit),
            remaining,
            window: window.min(limits::BUDGET_WINDOW_MAX),
            counted: counted.map(str::to_owned),
            at: now,
        })
    }

    /// What another gateway read, told at `now` at the earliest. `None` where its window has ended.
    pub fn told(reading: &RateReading, counted: Option<String>, now: Timestamp) -> Option<Self> {
        let age = u64::try_from(reading.age.as_millis()).unwrap_or(u64::MAX);
        let window = reading.window.min(limits::BUDGET_WINDOW_MAX);
        let at = Timestamp(now.0.saturating_sub(age));
        (reading.age < window).then_some(Self {
            limit: reading.limit,
            remaining: reading.remaining,
            window,
            counted,
            at,
        })
    }

    /// The same as others may be told of it. `None` where its window has ended.
    pub fn tell(&self, now: Timestamp) -> Option<RateReading> {
        let age = now.since(self.at);
        let told = RateReading { limit: self.limit, remaining: self.remaining, window: self.window, age };
        (age < self.window).then_some(told)
    }

    /// Whether it says more than `known` does: it is newer. Of two at the same moment one counts everywhere, the one with less
    /// left.
    pub fn supersedes(&self, known: &Self) -> bool {
        let rank = |reading: &Self| (reading.at, Reverse(reading.remaining), reading.limit, reading.window);
        rank(self) > rank(known)
    }

    /// How long a tag that was confirmed at `checked_at` counts as fresh, where its upstream's own validity is `validity`.
    /// Never shorter, and a reading from a window that has ended says nothing.
    pub fn stretched(&self, validity: Duration, checked_at: Timestamp, now: Timestamp) -> Duration {
        let ends = self.at.after(self.window);
        if now >= ends {
            return validity;
        }
        if self.remaining == 0 {
            return validity.max(ends.since(checked_at));
        }
        let Some(limit) = self.limit.filter(|limit| *limit > 0) else { return validity };
        let low = u128::from(limit) * u128::from(limits::BUDGET_LOW_PERCENT);
        let short = low.saturating_sub(u128::from(self.remaining) * 100);
        let more = validity.as_millis() * u128::from(limits::BUDGET_STRETCH_MAX - 1) * short / low;
        validity.saturating_add(Duration::from_millis(u64::try_from(more).unwrap_or(u64::MAX)))
    }
}

/// `100;w=21600`: a number, and the window it is counted in.
fn quantity(text: &str) -> Option<(u64, Option<Duration>)> {
    let mut parts = text.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")).and_then(|seconds| seconds.parse().ok());
    Some((number, window.filter(|seconds| *seconds > 0).map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, text)| (http::HeaderName::from_static(name), text.parse().unwrap())).collect()
    }

    #[test]
    fn what_docker_hub_sends() {
        let hub = headers(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "20;w=21600"),
            ("docker-ratelimit-source", "203.0.113.7"),
        ]);
        let reading = Reading::of(&hub, NOW).unwrap();
        assert_eq!((reading.limit, reading.remaining, reading.window), (Some(100), 20, 6 * HOUR));
        assert_eq!((reading.counted.as_deref(), reading.at), (Some("203.0.113.7"), NOW));
    }

    #[test]
    fn what_is_missing_or_odd_is_no_error() {
        for (pairs, expected) in [
            (&[][..], None),
            (&[("ratelimit-limit", "100;w=21600")][..], None),
            (&[("ratelimit-remaining", "many")][..], None),
            (&[("ratelimit-remaining", "-1")][..], None),
            (&[("ratelimit-remaining", " 7 ; w=60 ")][..], Some((None, 7, Duration::from_secs(60)))),
            (
                &[("ratelimit-remaining", "7"), ("ratelimit-limit", "9;w=60")][..],
                Some((Some(9), 7, Duration::from_secs(60))),
            ),
            (&[("ratelimit-remaining", "7;w=0")][..], Some((None, 7, limits::BUDGET_WINDOW_DEFAULT))),
            (&[("ratelimit-remaining", "7;w=99999999999")][..], Some((None, 7, limits::BUDGET_WINDOW_MAX))),
            (
                &[("ratelimit-remaining", "7;w=60"), ("ratelimit-limit", "x")][..],
                Some((None, 7, Duration::from_secs(60))),
            ),
        ] {
            let read = Reading::of(&headers(pairs), NOW).map(|read| (read.limit, read.remaining, read.window));
            assert_eq!(read, expected, "{pairs:?}");
        }
    }

    fn reading(limit: Option<u64>, remaining: u64) -> Reading {
        Reading { limit, remaining, window: 6 * HOUR, counted: None, at: NOW }
    }

    #[test]
    fn the_curve() {
        for (limit, remaining, hours) in [
            (Some(100), 100, 1.0),
            (Some(100), 25, 1.0),
            (Some(100), 20, 1.6),
            (Some(100), 5, 3.4),
            (Some(1_000_000), 1, 4.0),
            // Nothing is left: until the window ends, which is six hours from the reading.
            (Some(100), 0, 6.0),
            (None, 0, 6.0),
            (None, 5, 1.0),
            (Some(0), 5, 1.0),
        ] {
            let stretched = reading(limit, remaining).stretched(HOUR, NOW, NOW).as_secs_f64() / 3600.0;
            assert!((stretched - hours).abs() < 0.001, "{remaining} of {limit:?}: {stretched}");
        }
        let old = NOW.after(6 * HOUR);
        assert_eq!(reading(Some(100), 0).stretched(HOUR, NOW, old), HOUR, "the window has ended");
    }

    proptest! {
        #[test]
        fn never_panics(text in "[ -~]{0,40}") {
            let mut map = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&text) {
                map.insert("ratelimit-remaining", value.clone());
                map.insert("ratelimit-limit", value);
            }
            let _ = Reading::of(&map, NOW);
        }

        #[test]
        fn never_shorter_and_never_longer_with_more_left(limit in any::<u64>(), left in any::<u64>(), more in any::<u64>(), validity in 0u64..10_000_000) {
            let validity = Duration::from_secs(validity);
            let at = |remaining: u64| reading(Some(limit), remaining.max(1)).stretched(validity, NOW, NOW);
            prop_assert!(at(left) >= validity);
            prop_assert!(at(left) <= validity * limits::BUDGET_STRETCH_MAX);
            prop_assert!(at(left.saturating_add(more)) <= at(left));
        }
    }
}
