//! Watches over real applies.

use std::time::Duration;

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore, Watch, WatchEvent};
use roadstead_proto::state::command::Change;

use crate::net::{Net, others};
use crate::world::{World, bootstrap, put_tokens, tokens};

const PATIENCE: Duration = Duration::from_secs(30);

async fn next(watch: &mut Watch) -> Change {
    let change = tokio::time::timeout(PATIENCE, watch.next_change()).await;
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

async fn heartbeat(watch: &mut Watch) {
    let beat = async { while !matches!(watch.next().await, Ok(WatchEvent::Progress(_))) {} };
    tokio::time::timeout(PATIENCE, beat).await.expect("it says how far it is");
}

/// Returns once a watcher has heard nothing for as long as it would bear.
async fn silence(watch: &mut Watch) {
    let heard = async { while tokio::time::timeout(limits::WATCH_SILENCE_MAX, watch.next()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, heard).await.expect("it falls silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hears_no_quorum_is_silent_until_it_does_again() {
    let net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    // A follower first: the leader stays.
    for cut_off in [others(leader)[0], leader] {
        let open = async |id: u64| {
            net.meta(id).watch(Revision(net.node(id).status().applied.unwrap_or(0))).await.expect("a watch")
        };
        let (mut alone, mut among_others) = (open(cut_off).await, open(others(leader)[1]).await);
        heartbeat(&mut alone).await;
        net.isolate(cut_off);
        silence(&mut alone).await;
        // A watch that begins anew would begin with how far the member is.
        let refused = net.watch(cut_off).await.expect_err("it hears of no quorum");
        assert!(refused.message().contains("hears of no quorum"), "{refused}");
        heartbeat(&mut among_others).await;
        net.watch(others(leader)[1]).await.expect("the others hear of each other");
        net.heal();
        heartbeat(&mut alone).await;
    }
}
