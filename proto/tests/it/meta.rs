//! The in-memory twin keeps every promise of the seams.

use std::sync::Arc;

use roadstead_proto::clock::ManualClock;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::meta::{Hub, MetaError, suite};
use roadstead_proto::state::command::{Change, Changed};

#[tokio::test]
async fn the_in_memory_twin_conforms() {
    let fresh = || Arc::new(InMemoryMeta::new(Arc::new(ManualClock::at(Timestamp(1_000)))));
    suite::run_all(|| async { (fresh(), ()) }).await;
}

fn change(revision: u64) -> Change {
    Change { revision: Revision(revision), what: Changed::Configuration }
}

#[tokio::test]
async fn a_watcher_below_the_window_is_told() {
    let hub = Hub::new(2, Revision(0));
    for revision in 1..=4 {
        hub.publish(change(revision));
    }
    assert!(matches!(hub.watch(Revision(1)), Err(MetaError::Compacted)));
    let mut watch = hub.watch(Revision(2)).unwrap();
    assert_eq!(watch.next_change().await, Ok(change(3)));
    assert_eq!(watch.next_change().await, Ok(change(4)));
}

#[tokio::test]
async fn a_slow_watcher_is_dropped_and_not_waited_for() {
    let hub = Hub::new(2, Revision(0));
    let mut watch = hub.watch(Revision(0)).unwrap();
    for revision in 1..=5 {
        hub.publish(change(revision));
    }
    assert_eq!(watch.next_change().await, Err(MetaError::Compacted));
}

#[tokio::test]
async fn an_installed_snapshot_compacts() {
    let hub = Hub::new(8, Revision(0));
    let mut running = hub.watch(Revision(0)).unwrap();
    hub.publish(change(1));
    hub.compact(Revision(10));
    hub.publish(change(11));
    assert_eq!(running.next_change().await, Ok(change(1)));
    assert_eq!(running.next_change().await, Err(MetaError::Compacted), "what led from 1 to 10 was never heard");
    assert!(matches!(hub.watch(Revision(9)), Err(MetaError::Compacted)));
    assert!(hub.watch(Revision(10)).is_ok());
}
