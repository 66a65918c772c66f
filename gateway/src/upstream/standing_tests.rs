//! What is told to the fleet and heard from it.

use http::HeaderValue;
use proptest::prelude::*;
use roadstead_proto::domain::epoch::Epoch;
use roadstead_proto::domain::fleet::{Gathered, RateReading};
use roadstead_proto::domain::registry::{GroupId, UpstreamId};
use roadstead_proto::domain::upstream::{Upstream, UpstreamSettings};

use super::*;
use crate::meta::snapshot::SignIn;
use crate::telemetry::Telemetry;

const NOW: Timestamp = Timestamp(1_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const STAGGER: Duration = Duration::from_secs(3);

fn standings() -> Standings {
    Standings::new(STAGGER, Metrics::new(&Telemetry::new().unwrap().meter()))
}

fn view() -> UpstreamView {
    let settings = UpstreamSettings::new("first", "http://127.0.0.1:1".parse().unwrap());
    let (id, group, epoch) = (UpstreamId(1), GroupId(1), Epoch(1));
    let upstream = Upstream { id, group, settings, epoch, created_at: NOW, updated_at: NOW };
    UpstreamView { source: upstream.source(), upstream, sign_in: SignIn::Anonymous }
}

fn at(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

/// Docker Hub's headers.
fn headers(remaining: u64, counted: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ratelimit-limit", HeaderValue::from_static("100;w=21600"));
    headers.insert("ratelimit-remaining", format!("{remaining};w=21600").parse().unwrap());
    headers.insert("docker-ratelimit-source", counted.parse().unwrap());
    headers
}

fn told(remaining: u64, age: u64) -> SourceStanding {
    let rate = RateReading { limit: Some(100), remaining, window: 6 * HOUR, age: Duration::from_secs(age) };
    let source = view().source;
    SourceStanding { source, counted: None, rate: Some(rate), blobs: None, manifests: None }
}

fn told_to_wait(seconds: u64) -> SourceStanding {
    let wait = Wait { left: Duration::from_secs(seconds), status: 429 };
    SourceStanding { source: view().source, counted: None, rate: None, blobs: None, manifests: Some(wait) }
}

impl Standings {
    fn hears_429(&self, retry_after: u64, now: Timestamp) {
        let ticket = self.admit(&view(), Circuit::Manifests, 1, false, now).unwrap();
        let retry_after = Some(Duration::from_secs(retry_after));
        ticket.ended::<()>(&Err(Fault::RateLimited { retry_after }), now);
    }

    /// Validity of an hour, from when on and how long questions are refused.
    fn seen(&self, now: Timestamp) -> (Duration, Option<Duration>, Option<Duration>) {
        let waits = |circuit| self.refuses(&view(), circuit, now).and_then(|fault| fault.retry_after());
        (self.stretched(&view(), HOUR, now, now), waits(Circuit::Manifests), waits(Circuit::Blobs))
    }
}

#[test]
fn who_never_asked_knows_the_budget_and_the_wait_all_the_same() {
    let (one, other) = (standings(), standings());
    one.read(&view(), &headers(0, "203.0.113.7"), NOW);
    one.hears_429(60, at(1));
    other.learn(&one.report(at(10)), at(10), at(10));
    let until_the_window_ends = 6 * HOUR - Duration::from_secs(10);
    assert_eq!(other.seen(at(10)), (until_the_window_ends, Some(Duration::from_secs(51) + STAGGER), None));
    assert!(other.refuses(&view(), Circuit::Manifests, at(63)).is_some(), "the other one finds out first");
    assert!(other.refuses(&view(), Circuit::Manifests, at(64)).is_none());
    assert_eq!(other.report(at(10)), [], "and passes nothing on");
}

#[test]
fn a_newer_reading_replaces_an_older_one_and_nothing_else_does() {
    let standings = standings();
    let curve =
        |remaining| Reading::told(&told(remaining, 0).rate.unwrap(), None, NOW).unwrap().stretched(HOUR, NOW, NOW);
    standings.learn(&[told(20, 60)], NOW, NOW);
    assert_eq!(standings.seen(NOW).0, curve(20));
    standings.learn(&[told(10, 61)], NOW, NOW);
    assert_eq!(standings.seen(NOW).0, curve(20), "older");
    standings.learn(&[told(5, 59)], NOW, NOW);
    assert_eq!(standings.seen(NOW).0, curve(5), "newer");
    standings.learn(&[told(0, 6 * 3600)], NOW, NOW);
    assert_eq!(standings.seen(NOW).0, curve(5), "from a window that has ended");
    standings.read(&view(), &headers(20, "203.0.113.7"), NOW);
    assert_eq!(standings.seen(NOW).0, curve(20), "its own");
}

#[test]
fn what_another_address_is_told_is_not_told_to_us() {
    let standings = standings();
    standings.read(&view(), &headers(100, "203.0.113.7"), NOW);
    let foreign = SourceStanding { counted: Some("203.0.113.8".into()), ..told(0, 0) };
    let wait = SourceStanding { counted: Some("203.0.113.8".into()), ..told_to_wait(60) };
    standings.learn(&[foreign.clone(), wait], at(1), at(1));
    assert_eq!(standings.seen(at(1)), (HOUR, None, None));
    standings.learn(&[SourceStanding { counted: Some("203.0.113.7".into()), ..foreign }], at(1), at(1));
    assert_ne!(standings.seen(at(1)).0, HOUR);
}

#[test]
fn its_own_news_coming_back_changes_nothing_even_late() {
    let standings = standings();
    standings.read(&view(), &headers(10, "203.0.113.7"), NOW);
    standings.hears_429(30, NOW);
    let report = standings.report(at(2));
    let before = standings.seen(at(2));
    standings.learn(&report, at(2), at(2));
    assert_eq!((standings.seen(at(2)), standings.report(at(2))), (before, report.clone()));
    // Something that goes on finds the upstream well; what was said before comes back after that.
    let ticket = standings.admit(&view(), Circuit::Manifests, 1, true, at(3)).unwrap();
    ticket.ended(&Ok(Answer::Here(())), at(3));
    standings.learn(&report, at(2), at(4));
    assert_eq!(standings.seen(at(4)).1, None);
}

#[test]
fn a_probe_that_finds_it_well_is_not_undone_by_the_same_wait_told_again() {
    let standings = standings();
    standings.learn(&[told_to_wait(30)], NOW, NOW);
    let ticket = standings.admit(&view(), Circuit::Manifests, 1, true, at(1)).unwrap();
    ticket.ended(&Ok(Answer::Here(())), at(1));
    // The way there took a moment less this time.
    let again = NOW.after(Duration::from_millis(300));
    standings.learn(&[told_to_wait(30)], again, at(2));
    assert_eq!(standings.seen(at(2)).1, None);
    standings.learn(&[told_to_wait(30)], at(5), at(5));
    assert!(standings.seen(at(5)).1.is_some(), "a later one is news");
}

#[test]
fn what_was_told_outlasts_what_a_probe_is_asked_and_is_no_429_where_it_was_none() {
    let standings = standings();
    let wait = Wait { left: Duration::from_secs(50), status: 503 };
    let blobs = SourceStanding { blobs: Some(wait), manifests: None, ..told_to_wait(0) };
    standings.learn(&[blobs], NOW, NOW);
    let Some(Fault::LeftAlone { fault, .. }) = standings.refuses(&view(), Circuit::Blobs, at(1)) else {
        panic!("it waits")
    };
    assert_eq!(*fault, Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: None });
    assert_eq!(standings.seen(at(1)).1, None, "only blobs");
}

fn news() -> impl Strategy<Value = SourceStanding> {
    let rate = proptest::option::of((0u64..100, 0u64..30_000)).prop_map(|rate| {
        let reading = |(remaining, age)| told(remaining, age).rate;
        rate.and_then(reading)
    });
    let wait = || {
        let parts = proptest::option::of((0u64..100, prop_oneof![Just(429u16), Just(503)]));
        parts.prop_map(|wait| wait.map(|(seconds, status)| Wait { left: Duration::from_secs(seconds), status }))
    };
    (rate, wait(), wait()).prop_map(|(rate, blobs, manifests)| SourceStanding {
        source: view().source,
        counted: None,
        rate,
        blobs,
        manifests,
    })
}

proptest! {
    /// In whatever order, how often and by whatever way news comes, what follows from it is the same.
    #[test]
    fn the_order_of_gossip_does_not_matter(
        news in proptest::collection::vec(news(), 0..8),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..16),
        seconds in 0u64..120,
    ) {
        let (straight, mixed, gathered) = (standings(), standings(), standings());
        straight.learn(&news, NOW, NOW);
        for index in order {
            if !news.is_empty() {
                mixed.learn(&[news[index.index(news.len())].clone()], NOW, NOW);
            }
        }
        news.iter().rev().for_each(|one| mixed.learn(std::slice::from_ref(one), NOW, NOW));
        let mut all = Gathered::default();
        news.iter().for_each(|one| all.add(one, Duration::ZERO));
        gathered.learn(&all.into_standings(), NOW, NOW);
        let seen = straight.seen(at(seconds));
        prop_assert_eq!(mixed.seen(at(seconds)), seen);
        prop_assert_eq!(gathered.seen(at(seconds)), seen);
    }

    /// Whatever others say, it goes on within the longest wait and the stagger.
    #[test]
    fn nobody_is_kept_away_for_ever(seconds in any::<u32>()) {
        let standings = standings();
        standings.learn(&[told_to_wait(seconds.into())], NOW, NOW);
        let end = NOW.after(limits::BREAKER_RETRY_AFTER_MAX + STAGGER);
        prop_assert!(standings.refuses(&view(), Circuit::Manifests, end).is_none());
    }
}
