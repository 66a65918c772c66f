//! Watches over real applies.

use std::time::Duration;

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore, Watch};
use roadstead_proto::state::command::Change;

use crate::world::{World, put_tokens, tokens};

async fn next(watch: &mut Watch) -> Change {
    let change = tokio::time::timeout(Duration::from_secs(30), watch.next_change()).await;
    change.expect("a change in time").expect("a change")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hears_of_a_change_finds_it() {
    let world = World::start().await;
    let meta = world.meta();
    let (revision, _) = tokens(&meta, Consistency::Linearizable).await;
    let mut watch = meta.watch(revision).await.expect("a watch");
    let writer = tokio::spawn({
        let meta = world.meta();
        async move { put_tokens(&meta, 0..50).await }
    });
    let mut last = revision;
    for number in 0..50 {
        let change = next(&mut watch).await;
        assert!(change.revision > last, "{change:?} after {last:?}");
        last = change.revision;
        let (now, found) = tokens(&meta, Consistency::Local).await;
        assert!(now >= change.revision && found.len() > number, "{change:?} is not in {now:?}");
    }
    writer.await.expect("the writer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_where_it_ended() {
    let world = World::start().await;
    let meta = world.meta();
    let (revision, _) = tokens(&meta, Consistency::Linearizable).await;
    put_tokens(&meta, 0..10).await;
    let mut first = meta.watch(revision).await.expect("a watch");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(next(&mut first).await);
    }
    drop(first);
    let mut second = meta.watch(seen[3].revision).await.expect("it resumes");
    for _ in 4..10 {
        seen.push(next(&mut second).await);
    }
    let mut whole = meta.watch(revision).await.expect("a watch");
    for change in seen {
        assert_eq!(next(&mut whole).await, change);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_from_before_a_restart_are_compacted() {
    let mut world = World::start().await;
    let (before, _) = tokens(&world.meta(), Consistency::Linearizable).await;
    put_tokens(&world.meta(), 0..3).await;
    world.restart().await;
    let meta = world.meta();
    assert_eq!(meta.watch(before).await.err(), Some(MetaError::Compacted));
    let (now, _) = tokens(&meta, Consistency::Local).await;
    let mut watch = meta.watch(now).await.expect("from here on there is a watch");
    put_tokens(&meta, 3..4).await;
    assert!(next(&mut watch).await.revision > now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_behind_the_asked_revision_refuses_in_time() {
    // Only now: what is written at the first start may take its time.
    let mut world = World::start().await;
    world.config.timing.patience = Duration::from_millis(50);
    world.restart().await;
    let meta = world.meta();
    let far = Revision(1_000_000);
    assert!(matches!(meta.watch(far).await, Err(MetaError::Unavailable(_))));
}
