//! What gateways hear of each other.

use std::time::Duration;

use super::world::*;
use crate::domain::fleet::{RateReading, Report, SourceStanding, Wait};
use crate::meta::{Leases, MetaStore};

pub(super) async fn a_sign_of_life_tells_of_the_fleet<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let report = Report { draining: true, fills: 3, requests: 5, standings: Vec::new() };
    store.keep_alive(second, &report).await.expect("alive");
    let fleet = store.keep_alive(first, &Report::default()).await.expect("alive");
    assert_eq!(fleet.gateways.iter().map(|member| member.session).collect::<Vec<_>>(), [first, second]);
    assert_eq!(fleet.gateways[0].report, Some(Report::default()));
    assert_eq!(fleet.gateways[1].report, Some(report));
    assert_eq!(fleet.gateways[1].registration, registration("gateway-2"));
    store.close_session(second).await.expect("closed");
    let fleet = store.keep_alive(first, &Report::default()).await.expect("alive");
    assert_eq!(fleet.gateways.iter().map(|member| member.session).collect::<Vec<_>>(), [first]);
}

pub(super) async fn standings_are_merged<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let source = upstream(store, 1).await.source();
    let standing = |remaining, age, wait: Option<Duration>| {
        let (window, age) = (Duration::from_secs(3600), Duration::from_secs(age));
        let rate = RateReading { limit: Some(100), remaining, window, age };
        let manifests = wait.map(|left| Wait { left, status: 429 });
        SourceStanding { source: source.clone(), counted: None, rate: Some(rate), blobs: None, manifests }
    };
    let wait = Duration::from_secs(600);
    let older = Report { standings: vec![standing(9, 60, Some(wait))], ..Report::default() };
    let newer = Report { standings: vec![standing(7, 1, None)], ..Report::default() };
    store.keep_alive(first, &older).await.expect("alive");
    let fleet = store.keep_alive(second, &newer).await.expect("alive");
    let [known] = &fleet.standings[..] else { panic!("one source, and not {:?}", fleet.standings) };
    assert_eq!(known.source, source);
    assert_eq!(known.rate.as_ref().map(|rate| rate.remaining), Some(7), "the latest reading");
    assert!(
        known.manifests.is_some_and(|known| known.left <= wait && known.left > wait / 2),
        "the longest wait: {known:?}"
    );
}
