//! How we stand with each source: its rate budget, and the breakers before it.
//!
//! A source is an origin with the identity that it is asked as: that is whom registries count. Each has two breakers, one for
//! blobs and one for everything else, so that a blob store behind redirects that is down blocks no manifest, and a limit on
//! manifests no download. Both see the registry itself: when that is down, each finds out on its own.
//!
//! Once a second the fleet exchanges what sources said (`Standings::report`, `Standings::learn`). What comes back counts as if this
//! gateway had heard it, with two differences: it is not passed on, or news would go round and never age; and it
//! yields to what the gateway heard itself where the source counts gateways apart, by address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use moka::sync::Cache;
use roadstead_proto::domain::fleet::{SourceStanding, Wait};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::SourceId;
use tracing::{info, warn};

use super::breaker::{Breaker, Ending, Pass, Refused, strikes};
use super::budget::Reading;
use super::error::{Answer, Fault};
use crate::meta::snapshot::UpstreamView;
use crate::metrics::Metrics;

/// What is asked for, as far as breakers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Circuit {
    /// Blobs.
    Blobs,
    /// Manifests, tags, referrers, and the tokens for them.
    Manifests,
}

impl Circuit {
    /// For metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Blobs => "blobs",
            Self::Manifests => "manifests",
        }
    }
}

#[derive(Debug, Default)]
struct Standing {
    budget: Option<Reading>,
    /// Whether that was said to this gateway.
    is_own: bool,
    /// Whom the source counts this gateway as, as it said last.
    counted: Option<String>,
    /// For the gauges: who is this source. As few as are configured with one address and account.
    upstreams: Vec<UpstreamId>,
    blobs: Breaker,
    manifests: Breaker,
}

impl Standing {
    fn breaker(&mut self, circuit: Circuit) -> &mut Breaker {
        match circuit {
            Circuit::Blobs => &mut self.blobs,
            Circuit::Manifests => &mut self.manifests,
        }
    }
}

type Shared = Arc<Mutex<Standing>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Standing> {
    // Every section leaves a whole value behind.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module's text.
pub(super) struct Standings {
    sources: Cache<SourceId, Shared>,
    /// By how much this gateway comes after one that an upstream asked to wait.
    stagger: Duration,
    metrics: Metrics,
}

/// A request that was let through. Dropped without [`Ticket::ended`], nobody waited for its end.
pub(super) struct Ticket {
    standing: Shared,
    circuit: Circuit,
    pass: Option<Pass>,
    upstream: UpstreamId,
    metrics: Metrics,
}

impl Standings {
    pub(super) fn new(stagger: Duration, metrics: Metrics) -> Self {
        Self { sources: Cache::builder().max_capacity(limits::SOURCES_IN_MEMORY).build(), stagger, metrics }
    }

    /// Lets a request through, unless the source is to be left alone.
    pub(super) fn admit(
        &self,
        view: &UpstreamView,
        circuit: Circuit,
        subject: u64,
        must: bool,
        now: Timestamp,
    ) -> Result<Ticket, Fault> {
        let standing = self.sources.get_with_by_ref(&view.source, Shared::default);
        let pass = {
            let mut locked = lock(&standing);
            if !locked.upstreams.contains(&view.upstream.id) {
                locked.upstreams.push(view.upstream.id);
            }
            let breaker = locked.breaker(circuit);
            let before = breaker.level();
            let pass = breaker.admit(subject, must, now);
            if breaker.level() != before {
                self.metrics.breaker(view.upstream.id, circuit.label(), breaker.level());
            }
            pass
        };
        let pass = pass.map_err(|refused| {
            let fault = left_alone(refused);
            self.metrics.left_alone(view.upstream.id, circuit.label(), fault.reason());
            fault
        })?;
        Ok(Ticket { standing, circuit, pass: Some(pass), upstream: view.upstream.id, metrics: self.metrics.clone() })
    }

    /// Whether requests go through as if there had never been a fault.
    pub(super) fn is_closed(&self, view: &UpstreamView, circuit: Circuit) -> bool {
        self.sources.get(&view.source).is_none_or(|standing| lock(&standing).breaker(circuit).level() == 0)
    }

    /// Why a request would not be let through, if so. Counts as no request.
    pub(super) fn refuses(&self, view: &UpstreamView, circuit: Circuit, now: Timestamp) -> Option<Fault> {
        let standing = self.sources.get(&view.source)?;
        lock(&standing).breaker(circuit).refuses(now).map(left_alone)
    }

    /// Takes what an answer says of the rate budget.
    pub(super) fn read(&self, view: &UpstreamView, headers: &HeaderMap, now: Timestamp) {
        let Some(reading) = Reading::of(headers, now) else { return };
        self.metrics.rate_budget(view.upstream.id, reading.limit, reading.remaining);
        let standing = self.sources.get_with_by_ref(&view.source, Shared::default);
        let mut locked = lock(&standing);
        if reading.remaining == 0 && locked.budget.as_ref().is_none_or(|before| before.remaining > 0) {
            warn!(
                upstream = %view.upstream.id, limit = ?reading.limit, window = ?reading.window,
                counted = reading.counted.as_deref().unwrap_or_default(),
                "the rate budget is used up: cached tags stay valid until its window ends"
            );
        }
        locked.counted.clone_from(&reading.counted);
        (locked.budget, locked.is_own) = (Some(reading), true);
    }

    /// What sources said to this gateway and still holds, for the fleet.
    pub(super) fn report(&self, now: Timestamp) -> Vec<SourceStanding> {
        let told = self.sources.iter().map(|(source, standing)| {
            let locked = lock(&standing);
            let wait =
                |breaker: &Breaker| breaker.asked(now).map(|(left, status)| Wait { left, status: status.as_u16() });
            SourceStanding {
                source: source.as_ref().clone(),
                counted: locked.counted.clone(),
                rate: locked.budget.as_ref().filter(|_| locked.is_own).and_then(|reading| reading.tell(now)),
                blobs: wait(&locked.blobs),
                manifests: wait(&locked.manifests),
            }
        });
        told.filter(SourceStanding::is_news).take(limits::STANDINGS_TOLD_MAX).collect()
    }

    /// Takes what the fleet knows. `asked_at` is when it was asked: ages and waits are counted from there, so that nothing looks
    /// newer than it is, and what this gateway said itself comes back as exactly that.
    pub(super) fn learn(&self, told: &[SourceStanding], asked_at: Timestamp, now: Timestamp) {
        for told in told {
            let reading = told.rate.as_ref().and_then(|rate| Reading::told(rate, told.counted.clone(), asked_at));
            let standing = self.sources.get_with_by_ref(&told.source, Shared::default);
            let mut locked = lock(&standing);
            if locked.counted.is_some() && told.counted.is_some() && locked.counted != told.counted {
                continue;
            }
            if let Some(reading) = reading
                && locked.budget.as_ref().is_none_or(|known| reading.supersedes(known))
            {
                for upstream in &locked.upstreams {
                    self.metrics.rate_budget(*upstream, reading.limit, reading.remaining);
                }
                (locked.budget, locked.is_own) = (Some(reading), false);
            }
            for (circuit, wait) in [(Circuit::Blobs, told.blobs), (Circuit::Manifests, told.manifests)] {
                if let Some(wait) = wait {
                    self.wait(&mut locked, circuit, wait, asked_at, now);
                }
            }
        }
    }

    fn wait(&self, standing: &mut Standing, circuit: Circuit, wait: Wait, asked_at: Timestamp, now: Timestamp) {
        let status = StatusCode::from_u16(wait.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let until = asked_at.after(wait.left.min(limits::BREAKER_RETRY_AFTER_MAX));
        let breaker = standing.breaker(circuit);
        let before = breaker.level();
        breaker.told(until, status, self.stagger, now);
        let after = breaker.level();
        if before == after {
            return;
        }
        info!(upstreams = ?standing.upstreams, circuit = circuit.label(), %status, "another gateway was asked to wait: so does this one");
        for upstream in &standing.upstreams {
            self.metrics.breaker(*upstream, circuit.label(), after);
        }
    }

    /// The validity of a tag that was confirmed at `checked_at`, stretched as the budget shrinks.
    pub(super) fn stretched(
        &self,
        view: &UpstreamView,
        validity: Duration,
        checked_at: Timestamp,
        now: Timestamp,
    ) -> Duration {
        let standing = self.sources.get(&view.source);
        let reading = standing.and_then(|standing| lock(&standing).budget.clone());
        reading.map_or(validity, |reading| reading.stretched(validity, checked_at, now))
    }
}

fn left_alone(refused: Refused) -> Fault {
    Fault::LeftAlone { fault: Box::new(refused.fault), retry_in: refused.retry_in }
}

impl Ticket {
    /// Takes note of how the request ended.
    pub(super) fn ended<T>(mut self, answer: &Result<Answer<T>, Fault>, now: Timestamp) {
        let ending = match answer {
            Err(fault) if strikes(fault) => Ending::Fault(fault.clone()),
            _ => Ending::Answered,
        };
        self.end(ending, now);
    }

    fn end(&mut self, ending: Ending, now: Timestamp) {
        let Some(pass) = self.pass.take() else { return };
        let (upstream, circuit) = (self.upstream, self.circuit.label());
        let (before, after) = {
            let mut locked = lock(&self.standing);
            let breaker = locked.breaker(self.circuit);
            let before = breaker.level();
            breaker.ended(pass, ending.clone(), now);
            (before, breaker.level())
        };
        if before == after {
            return;
        }
        self.metrics.breaker(upstream, circuit, after);
        match ending {
            Ending::Fault(fault) => warn!(%upstream, circuit, %fault, "an upstream is left alone for a while"),
            _ => info!(%upstream, circuit, "an upstream is asked again"),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The time counts for faults only.
        self.end(Ending::Abandoned, Timestamp(0));
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
