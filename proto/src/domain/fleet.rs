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
    /// Whom the source counts, as it says: an account or an address. Gateways that it sees come from several addresses have
    /// a budget each.
    pub counted: Option<String>,
    /// What the source said last of the rate budget.
    pub rate: Option<RateReading>,
    /// It wants to be asked for no blobs.
    pub blobs: Option<Wait>,
    /// It wants to be asked for nothing else.
    pub manifests: Option<Wait>,
}

impl SourceStanding {
    /// Whether it says anything.
    pub fn is_news(&self) -> bool {
        self.rate.is_some() || self.blobs.is_some() || self.manifests.is_some()
    }
}

/// A source wants to be left alone. The longer wait is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    /// For so long.
    pub left: Duration,
    /// What it answered: 429, or another status with a time to come back.
    pub status: u16,
}

impl Wait {
    /// What is left of it after `ago`, if anything.
    fn after(self, ago: Duration) -> Option<Self> {
        let left = self.left.checked_sub(ago).filter(|left| !left.is_zero())?;
        Some(Self { left, ..self })
    }
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

/// Standings gathered from many: of each source, and of whomever it counts, the latest reading and the longest waits.
#[derive(Debug, Clone, Default)]
pub struct Gathered(BTreeMap<(SourceId, Option<String>), SourceStanding>);

impl Gathered {
    /// Adds what was said `ago`.
    pub fn add(&mut self, standing: &SourceStanding, ago: Duration) {
        let SourceStanding { source, counted, rate, blobs, manifests } = standing.clone();
        let rate = rate.map(|rate| RateReading { age: rate.age.saturating_add(ago), ..rate });
        let rate = rate.filter(|rate| rate.age < rate.window);
        let key = (source.clone(), counted.clone());
        let nothing = SourceStanding { source, counted, rate: None, blobs: None, manifests: None };
        let known = self.0.entry(key).or_insert(nothing);
        if let Some(rate) = rate
            && known.rate.as_ref().is_none_or(|known| (rate.age, rate.remaining) < (known.age, known.remaining))
        {
            known.rate = Some(rate);
        }
        known.blobs = known.blobs.max(blobs.and_then(|wait| wait.after(ago)));
        known.manifests = known.manifests.max(manifests.and_then(|wait| wait.after(ago)));
    }

    /// What is left of it: nothing of sources that nothing is known of any more.
    pub fn into_standings(self) -> Vec<SourceStanding> {
        self.0.into_values().filter(SourceStanding::is_news).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::upstream::{CredentialId, Origin};

    fn source() -> SourceId {
        SourceId { origin: Origin::from_stored("https://a.example:443".to_owned()), credential: CredentialId([0; 16]) }
    }

    fn wait(seconds: u64) -> Wait {
        Wait { left: Duration::from_secs(seconds), status: 429 }
    }

    fn standing(remaining: u64, age: u64, manifests: Option<u64>) -> SourceStanding {
        let window = Duration::from_secs(60);
        let rate = RateReading { limit: None, remaining, window, age: Duration::from_secs(age) };
        let manifests = manifests.map(wait);
        SourceStanding { source: source(), counted: None, rate: Some(rate), blobs: None, manifests }
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
        assert_eq!((known.manifests, known.blobs), (Some(wait(3)), None));
    }

    #[test]
    fn each_that_is_counted_has_a_budget() {
        let mut gathered = Gathered::default();
        for (address, remaining, age) in [("192.0.2.1", 9, 1), ("192.0.2.2", 5, 0), ("192.0.2.1", 8, 2)] {
            let counted = Some(address.to_owned());
            gathered.add(&SourceStanding { counted, ..standing(remaining, age, None) }, Duration::ZERO);
        }
        let left: Vec<_> = gathered.into_standings().iter().map(|one| one.rate.as_ref().unwrap().remaining).collect();
        assert_eq!(left, [9, 5]);
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut gathered = Gathered::default();
        gathered.add(&standing(9, 1, Some(5)), Duration::from_secs(59));
        assert_eq!(gathered.into_standings(), []);
    }
}
