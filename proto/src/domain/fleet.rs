//! The fleet: which gateways there are, and how they stand with the sources, told with every sign of life.
//!
//! Kept in the raft leader's memory and never replicated. Ages and waits travel, never times: clocks differ.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lease::{GatewayId, SessionId};
use super::registry::RegionId;
use super::time::Timestamp;
use super::upstream::SourceId;

/// What a gateway says of itself when it opens a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who.
    pub gateway: GatewayId,
    /// Where.
    pub region: RegionId,
    /// Where other gateways reach it, `host:port`; empty where it serves no peers.
    pub address: String,
    /// What it runs.
    pub version: String,
}

impl Registration {
    /// Of a gateway that serves no peers.
    pub fn alone(gateway: GatewayId, region: RegionId) -> Self {
        Self { gateway, region, address: String::new(), version: String::new() }
    }
}

/// What a gateway says of itself with every sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// It is about to end.
    pub draining: bool,
    /// Downloads that run.
    pub fills: u64,
    /// Requests of clients that run.
    pub requests: u64,
    /// How it stands with the sources it asked lately.
    pub standings: Vec<SourceStanding>,
}

/// How somebody stands with a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStanding {
    /// Which.
    pub source: SourceId,
    /// What the source said last of the rate budget.
    pub rate: Option<RateReading>,
    /// The source wants to be left alone for so long.
    pub retry_in: Option<Duration>,
}

/// What a source said of a rate budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateReading {
    /// Requests per window, where it said it.
    pub limit: Option<u64>,
    /// Requests left.
    pub remaining: u64,
    /// The window they are counted in.
    pub window: Duration,
    /// Whom it counts: an account or an address.
    pub counted: Option<String>,
    /// How long ago it said so.
    pub age: Duration,
}

/// A gateway with an open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetMember {
    /// Its session.
    pub session: SessionId,
    /// What it said when it opened the session.
    pub registration: Registration,
    /// When that was.
    pub opened_at: Timestamp,
    /// What it said last, without standings; `None` where this leader has not heard of it yet.
    pub report: Option<Report>,
    /// How long ago that was.
    pub heard_ago: Duration,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fleet {
    /// The gateways with an open session, by session.
    pub gateways: Vec<FleetMember>,
    /// The latest that any of them heard of each source.
    pub standings: Vec<SourceStanding>,
}

/// Standings gathered from many: of each source the latest reading, and the longest wait.
#[derive(Debug, Clone, Default)]
pub struct Gathered(BTreeMap<SourceId, SourceStanding>);

impl Gathered {
    /// Adds what was said `ago`.
    pub fn add(&mut self, standing: &SourceStanding, ago: Duration) {
        let rate = standing.rate.clone().map(|rate| RateReading { age: rate.age.saturating_add(ago), ..rate });
        let rate = rate.filter(|rate| rate.age < rate.window);
        let retry_in = standing.retry_in.and_then(|wait| wait.checked_sub(ago)).filter(|wait| !wait.is_zero());
        let known = self.0.entry(standing.source.clone()).or_insert_with(|| SourceStanding {
            source: standing.source.clone(),
            rate: None,
            retry_in: None,
        });
        if let Some(rate) = rate
            && known.rate.as_ref().is_none_or(|known| rate.age < known.age)
        {
            known.rate = Some(rate);
        }
        known.retry_in = known.retry_in.max(retry_in);
    }

    /// What is left of it: nothing of sources that nothing is known of any more.
    pub fn into_standings(self) -> Vec<SourceStanding> {
        self.0.into_values().filter(|standing| standing.rate.is_some() || standing.retry_in.is_some()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::upstream::{CredentialId, Origin};

    fn source() -> SourceId {
        SourceId { origin: Origin::from_stored("https://a.example:443".to_owned()), credential: CredentialId([0; 16]) }
    }

    fn standing(remaining: u64, age: u64, retry_in: Option<u64>) -> SourceStanding {
        let window = Duration::from_secs(60);
        let rate = RateReading { limit: None, remaining, window, counted: None, age: Duration::from_secs(age) };
        SourceStanding { source: source(), rate: Some(rate), retry_in: retry_in.map(Duration::from_secs) }
    }

    #[test]
    fn the_latest_reading_and_the_longest_wait_count() {
        let mut gathered = Gathered::default();
        gathered.add(&standing(9, 1, Some(5)), Duration::from_secs(10));
        gathered.add(&standing(7, 4, Some(3)), Duration::ZERO);
        gathered.add(&standing(8, 5, Some(2)), Duration::from_secs(1));
        let standings = gathered.into_standings();
        let [known] = &standings[..] else { panic!("one source, and not {standings:?}") };
        assert_eq!(known.rate.as_ref().map(|rate| (rate.remaining, rate.age.as_secs())), Some((7, 4)));
        assert_eq!(known.retry_in, Some(Duration::from_secs(3)));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut gathered = Gathered::default();
        gathered.add(&standing(9, 1, Some(5)), Duration::from_secs(59));
        assert_eq!(gathered.into_standings(), []);
    }
}
