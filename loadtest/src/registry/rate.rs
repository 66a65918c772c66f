//! How much may be asked: budgets that really go down.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{HeaderName, RETRY_AFTER};
use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::auth::Caller;

/// So much may be asked within a window of time; what is more is answered 429. A window begins with the first request
/// that is counted in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// What is counted.
    pub counts: Counted,
    /// How much in each window without signing in; `None` is no limit, and no headers.
    pub anonymous: Option<u64>,
    /// How much in each window for whoever signed in; `None` is no limit, and no headers. Of no matter when all requests
    /// are counted: that is by address.
    pub signed_in: Option<u64>,
    /// Length of the window.
    pub window_seconds: u64,
    /// How much of the first window is spent at the start.
    pub spent: u64,
    /// Whether manifests say what is left: `ratelimit-limit`, `ratelimit-remaining`, `docker-ratelimit-source`.
    pub headers: bool,
    /// Whether the 429 says when the window ends.
    pub retry_after: bool,
    /// The code of the 429's error body; `None` sends a bare text.
    pub code: Option<String>,
    /// The message of the error body, or the bare text.
    pub message: String,
}

/// What a rate limit counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// `GET`s of manifests that there are; `HEAD` is no pull.
    #[default]
    Pulls,
    /// Everything that reaches the registry, `HEAD` and the token endpoint too.
    Requests,
}

impl Default for RateLimit {
    /// Docker Hub's, for whoever has not paid.
    fn default() -> Self {
        Self {
            counts: Counted::Pulls,
            anonymous: Some(100),
            signed_in: Some(200),
            window_seconds: 6 * 60 * 60,
            spent: 0,
            headers: true,
            retry_after: false,
            code: Some("TOOMANYREQUESTS".into()),
            message:
                "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: \
                      https://www.docker.com/increase-rate-limit"
                    .into(),
        }
    }
}

impl RateLimit {
    /// Docker Hub's limit against abuse: everything from one address is counted, the 429 is bare.
    pub fn abuse(requests: u64, window_seconds: u64) -> Self {
        Self {
            counts: Counted::Requests,
            anonymous: Some(requests),
            signed_in: None,
            window_seconds,
            headers: false,
            code: None,
            message: "Too Many Requests".into(),
            ..Self::default()
        }
    }

    /// So many pulls a second, as at the public ECR.
    pub fn per_second(anonymous: u64, signed_in: u64) -> Self {
        Self {
            anonymous: Some(anonymous),
            signed_in: Some(signed_in),
            window_seconds: 1,
            headers: false,
            message: "Rate exceeded".into(),
            ..Self::default()
        }
    }

    fn of(&self, caller: Caller) -> Option<u64> {
        match (self.counts, caller) {
            (Counted::Pulls, Caller::SignedIn) => self.signed_in,
            _ => self.anonymous,
        }
    }
}

/// A rate limit and what is left of it in the present window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RateState {
    /// The limit.
    pub limit: RateLimit,
    /// What is left without signing in.
    pub anonymous_remaining: Option<u64>,
    /// What is left for whoever signed in.
    pub signed_in_remaining: Option<u64>,
}

/// One limit with what is spent of it, by whoever did not sign in and whoever did.
#[derive(Debug)]
struct Budget {
    limit: RateLimit,
    spent: [u64; 2],
    ends: [Option<Instant>; 2],
}

impl Budget {
    fn new(limit: RateLimit) -> Self {
        Self { spent: [limit.spent; 2], ends: [None; 2], limit }
    }

    /// What is left, after a window that has passed has been left behind; `None` without a limit.
    fn left(&mut self, caller: Caller, now: Instant) -> Option<u64> {
        let pot = self.pot(caller);
        if self.ends[pot].is_some_and(|end| end <= now) {
            (self.spent[pot], self.ends[pot]) = (0, None);
        }
        self.limit.of(caller).map(|limit| limit.saturating_sub(self.spent[pot]))
    }

    /// Whether there was one left to spend.
    fn spend(&mut self, caller: Caller, now: Instant) -> bool {
        let Some(left) = self.left(caller, now) else {
            return true;
        };
        let pot = self.pot(caller);
        self.ends[pot].get_or_insert(now + Duration::from_secs(self.limit.window_seconds));
        self.spent[pot] += u64::from(left > 0);
        left > 0
    }

    /// By address there is one pot, whoever it is.
    fn pot(&self, caller: Caller) -> usize {
        usize::from(self.limit.counts == Counted::Pulls && caller == Caller::SignedIn)
    }

    fn say(&mut self, answer: Answer, caller: Caller, now: Instant) -> Answer {
        let Some((limit, left)) = self.limit.of(caller).zip(self.left(caller, now)).filter(|_| self.limit.headers)
        else {
            return answer;
        };
        let window = self.limit.window_seconds;
        let source = if caller == Caller::SignedIn { "signed-in" } else { "127.0.0.1" };
        answer
            .with(HeaderName::from_static("ratelimit-limit"), &format!("{limit};w={window}"))
            .with(HeaderName::from_static("ratelimit-remaining"), &format!("{left};w={window}"))
            .with(HeaderName::from_static("docker-ratelimit-source"), source)
    }

    fn refusal(&mut self, caller: Caller, now: Instant) -> Answer {
        let answer = match &self.limit.code {
            Some(code) => Answer::error(StatusCode::TOO_MANY_REQUESTS, code, &self.limit.message),
            None => Answer::text(StatusCode::TOO_MANY_REQUESTS, &self.limit.message),
        };
        let answer = self.say(answer, caller, now);
        match self.ends[self.pot(caller)].filter(|_| self.limit.retry_after) {
            Some(end) => {
                // Rounded up, so that whoever waits as long as told finds the next window.
                let wait = end.saturating_duration_since(now).as_millis().div_ceil(1000).max(1);
                answer.with(RETRY_AFTER, &wait.to_string())
            }
            None => answer,
        }
    }
}

/// The limits in force.
#[derive(Debug)]
pub(super) struct RateBoard {
    budgets: Mutex<Vec<Budget>>,
}

impl RateBoard {
    pub(super) fn new(limits: Vec<RateLimit>) -> Self {
        Self { budgets: Mutex::new(limits.into_iter().map(Budget::new).collect()) }
    }

    /// Replaces all limits; nothing is spent of them but what they say themselves.
    pub(super) fn set(&self, limits: Vec<RateLimit>) {
        *self.lock() = limits.into_iter().map(Budget::new).collect();
    }

    pub(super) fn list(&self, now: Instant) -> Vec<RateState> {
        let state = |budget: &mut Budget| RateState {
            anonymous_remaining: budget.left(Caller::Anonymous, now),
            signed_in_remaining: budget.left(Caller::SignedIn, now),
            limit: budget.limit.clone(),
        };
        self.lock().iter_mut().map(state).collect()
    }

    /// Counts a request of any kind; the answer is the 429.
    pub(super) fn request(&self, now: Instant) -> Option<Answer> {
        let mut budgets = self.lock();
        let mut counting = budgets.iter_mut().filter(|budget| budget.limit.counts == Counted::Requests);
        counting
            .find_map(|budget| (!budget.spend(Caller::Anonymous, now)).then(|| budget.refusal(Caller::Anonymous, now)))
    }

    /// Counts a `GET` of a manifest, and tells the client of a `HEAD` what is left.
    pub(super) fn manifest(&self, answer: Answer, head: bool, caller: Caller, now: Instant) -> Answer {
        let mut answer = answer;
        for budget in self.lock().iter_mut().filter(|budget| budget.limit.counts == Counted::Pulls) {
            if !head && !budget.spend(caller, now) {
                return budget.refusal(caller, now);
            }
            answer = budget.say(answer, caller, now);
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Budget>> {
        self.budgets.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_full_again_in_the_next_window() {
        let limit = RateLimit { anonymous: Some(2), window_seconds: 10, ..RateLimit::default() };
        let (mut budget, start) = (Budget::new(limit), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let spent: Vec<bool> =
            [0, 3, 9, 10, 19, 20].into_iter().map(|second| budget.spend(Caller::Anonymous, at(second))).collect();
        assert_eq!(spent, [true, true, false, true, true, true]);
        assert_eq!(budget.left(Caller::SignedIn, at(20)), Some(200));
    }

    #[test]
    fn the_429_says_when_the_window_ends() {
        let limit = RateLimit { anonymous: Some(0), window_seconds: 10, retry_after: true, ..RateLimit::default() };
        let (mut budget, start) = (Budget::new(limit), Instant::now());
        assert!(!budget.spend(Caller::Anonymous, start));
        let answer = budget.refusal(Caller::Anonymous, start + Duration::from_millis(8500));
        assert_eq!(answer.headers.get(RETRY_AFTER).unwrap(), "2");
        assert_eq!(answer.headers.get("ratelimit-remaining").unwrap(), "0;w=10");
    }

    #[test]
    fn who_pays_has_no_limit_and_no_headers() {
        let limit = RateLimit { signed_in: None, ..RateLimit::default() };
        let board = RateBoard::new(vec![limit]);
        let answer = board.manifest(Answer::empty(StatusCode::OK), false, Caller::SignedIn, Instant::now());
        assert!(answer.headers.is_empty());
    }
}
