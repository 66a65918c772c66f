//! What gateways tell each other with every sign of life, by way of the raft leader: how busy they are, and what upstreams said.
//!
//! No pull waits for it, and nothing is lost without it: each gateway then goes by what it knows and sees itself.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::clock::Clock;
use roadstead_proto::domain::fleet::{Fleet, Report};
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::upstream::Client;

/// What this gateway says of itself, and what it does with the answer.
pub struct News {
    /// What upstreams said.
    pub client: Arc<Client>,
    /// What runs.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether it is about to end.
    pub draining: CancellationToken,
}

impl std::fmt::Debug for News {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("News")
    }
}

impl News {
    /// What is to be said now, and when that is.
    pub(crate) fn report(&self) -> (Report, Timestamp) {
        let at = self.clock.now();
        let load = self.metrics.load();
        let report = Report {
            draining: self.draining.is_cancelled(),
            fills: load.fills(),
            requests: load.requests(),
            standings: self.client.standings(),
        };
        (report, at)
    }

    /// The answer to what was said at `asked_at`.
    pub(crate) fn heard(&self, fleet: &Fleet, asked_at: Timestamp) {
        self.client.learn(&fleet.standings, asked_at);
        self.metrics.fleet(Some(fleet.gateways.len()));
    }

    /// There was no answer.
    pub(crate) fn unheard(&self) {
        self.metrics.fleet(None);
    }
}

/// By how much a gateway comes after one that an upstream asked to wait: by its own share of
/// [`limits::BREAKER_STAGGER_SPREAD`] more than [`limits::BREAKER_STAGGER`].
pub(crate) fn stagger(gateway: &GatewayId) -> Duration {
    let mut hasher = DefaultHasher::new();
    gateway.hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 1000).unwrap_or_default();
    limits::BREAKER_STAGGER + limits::BREAKER_STAGGER_SPREAD * share / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_does_not_come_at_once() {
        let shares: Vec<_> = (0..1000).map(|n| stagger(&GatewayId(format!("gateway-{n}")))).collect();
        let tenth = limits::BREAKER_STAGGER_SPREAD / 10;
        for n in 0..10 {
            let from = limits::BREAKER_STAGGER + tenth * n;
            let there = shares.iter().filter(|share| (from..from + tenth).contains(*share)).count();
            assert!((60..140).contains(&there), "{there} of 1000 in tenth {n}");
        }
        assert_eq!(stagger(&GatewayId("a".into())), stagger(&GatewayId("a".into())), "one moment, not one per wait");
    }
}
