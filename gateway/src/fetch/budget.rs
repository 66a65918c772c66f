//! How often a download that broke off is continued: as often as it gets on, and no more.

use std::time::Duration;

use roadstead_proto::domain::limits;

use crate::config::Timeouts;

/// Attempts in hand. Each continuation costs one, and bytes earn them back: a large blob from a bad line may take hundreds,
/// an upstream that sends nothing gets [`limits::FILL_RESUMES_MAX`].
#[derive(Debug)]
pub(super) struct Budget {
    /// First pause, and longest.
    pauses: (Duration, Duration),
    left: u32,
    /// Bytes up to which attempts were earned.
    earned_to: u64,
    /// Attempts since the last that got on.
    in_vain: u32,
    /// Bytes at the last attempt.
    last: u64,
    /// Ranges are ignored: each attempt begins the download anew, and none is earned back.
    restarts: bool,
}

impl Budget {
    pub(super) fn new(timeouts: &Timeouts) -> Self {
        let pauses = (timeouts.resume_pause, timeouts.resume_pause_max);
        Self { pauses, left: limits::FILL_RESUMES_MAX, earned_to: 0, in_vain: 0, last: 0, restarts: false }
    }

    /// The upstream sends everything again.
    pub(super) fn restarts(&mut self) {
        self.restarts = true;
    }

    /// Spends an attempt at `taken` bytes: how long to wait before it, longer each time nothing came of it. `None` where none
    /// is left.
    pub(super) fn spend(&mut self, taken: u64, retry_after: Option<Duration>) -> Option<Duration> {
        if !self.restarts {
            let earned = taken.saturating_sub(self.earned_to) / limits::FILL_RESUME_EARNED_BY;
            self.earned_to += earned * limits::FILL_RESUME_EARNED_BY;
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(limits::FILL_RESUMES_MAX);
        }
        self.left = self.left.checked_sub(1)?;
        self.in_vain = if taken > self.last { 0 } else { self.in_vain + 1 };
        self.last = taken;
        let (first, longest) = self.pauses;
        let pause = first.saturating_mul(1 << self.in_vain.min(16)).min(longest);
        // Readers wait meanwhile, and give up at some point: an upstream that wants more time than they have is not waited
        // for that long.
        Some(pause.max(retry_after.unwrap_or_default().min(limits::FILL_RETRY_AFTER_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARNED_BY: u64 = limits::FILL_RESUME_EARNED_BY;

    #[test]
    fn nothing_comes_of_it() {
        let mut budget = Budget::new(&Timeouts::default());
        let pauses: Vec<_> = std::iter::from_fn(|| budget.spend(5, None)).collect();
        assert_eq!(pauses.len(), limits::FILL_RESUMES_MAX as usize);
        assert!(pauses.is_sorted() && pauses[0] == limits::FILL_RESUME_BACKOFF, "{pauses:?}");
        assert!(*pauses.last().unwrap() <= limits::FILL_RESUME_BACKOFF_MAX, "{pauses:?}");
    }

    #[test]
    fn progress_earns_attempts_and_shortens_the_pause() {
        let mut budget = Budget::new(&Timeouts::default());
        for attempt in 1..1000 {
            assert_eq!(budget.spend(attempt * EARNED_BY, None), Some(limits::FILL_RESUME_BACKOFF), "{attempt}");
        }
        let mut budget = Budget::new(&Timeouts::default());
        let drops = std::iter::from_fn(|| budget.spend(1, None)).count();
        assert_eq!(drops, limits::FILL_RESUMES_MAX as usize, "a byte is no progress");
        let mut budget = Budget::new(&Timeouts::default());
        let saved_up = (0..100).map_while(|_| budget.spend(1000 * EARNED_BY, None)).count();
        assert_eq!(saved_up, limits::FILL_RESUMES_MAX as usize, "what is earned is not saved up beyond the budget");
    }

    #[test]
    fn whoever_begins_anew_each_time_earns_nothing() {
        let mut budget = Budget::new(&Timeouts::default());
        budget.restarts();
        let attempts = (1..).map_while(|attempt| budget.spend(attempt * EARNED_BY, None)).count();
        assert_eq!(attempts, limits::FILL_RESUMES_MAX as usize);
    }

    #[test]
    fn the_upstreams_own_wish_is_heard_within_bounds() {
        let mut budget = Budget::new(&Timeouts::default());
        assert_eq!(budget.spend(0, Some(Duration::from_secs(2))), Some(Duration::from_secs(2)));
        assert_eq!(budget.spend(0, Some(Duration::from_secs(3600))), Some(limits::FILL_RETRY_AFTER_MAX));
    }
}
