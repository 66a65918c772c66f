//! Watches: every change, in order, and progress behind it.

use super::world::*;
use crate::domain::registry::UpstreamId;
use crate::meta::{Consistency, Leases, MetaStore, WatchEvent};
use crate::state::command::{Changed, Command};

pub(super) async fn watchers_hear_every_change_in_order<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let start = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let mut early = store.watch(start).await.expect("a watch");
    store.propose(Command::PurgeUpstream(UpstreamId(1))).await.expect("purged");
    store.propose(Command::PurgeEntry(tag(1, "1.0"))).await.expect("purged");
    let mut late = store.watch(start).await.expect("a watch");
    for watch in [&mut early, &mut late] {
        let first = watch.next_change().await.expect("a change");
        let second = watch.next_change().await.expect("a change");
        assert_eq!(first.what, Changed::Configuration);
        assert_eq!(second.what, Changed::Purged(tag(1, "1.0")));
        assert!(start < first.revision && first.revision < second.revision);
        let seen = store.configuration(Consistency::Local).await.expect("the configuration").revision;
        assert!(seen >= second.revision, "a change is announced once it can be read");
    }
}

pub(super) async fn progress_never_overtakes_a_change<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let start = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let mut watch = store.watch(start).await.expect("a watch");
    for _ in 0..20 {
        store.propose(Command::PurgeEntry(tag(1, "1.0"))).await.expect("purged");
    }
    let end = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let (mut heard, mut reached) = (Vec::new(), start);
    while reached < end {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("progress in time").expect("an event") {
            WatchEvent::Changed(change) => {
                assert!(change.revision > reached, "{change:?} after progress {reached:?}");
                heard.push(change.revision);
            }
            WatchEvent::Progress(revision) => reached = reached.max(revision),
        }
    }
    assert_eq!((heard.len(), heard.last()), (20, Some(&end)), "progress {reached:?} after {heard:?}");
    let mut resumed = store.watch(reached).await.expect("it resumes from progress");
    store.propose(Command::PurgeEntry(tag(1, "2.0"))).await.expect("purged");
    let change = tokio::time::timeout(PATIENCE, resumed.next_change()).await.expect("in time").expect("a change");
    assert_eq!(change.what, Changed::Purged(tag(1, "2.0")), "what was heard is not heard again");
}
