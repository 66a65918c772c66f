//! What an orderly stop and a new start keep.

use roadstead_node::Role;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};

use crate::world::{World, names, put_tokens, tokens};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_and_leads_again() {
    let mut world = World::start().await;
    put_tokens(&world.meta(), 0..20).await;
    let before = world.node().status();
    for round in 0..3 {
        world.restart().await;
        let (_, found) = tokens(&world.meta(), Consistency::Linearizable).await;
        assert_eq!(found, names(0..20), "{round}");
    }
    let after = world.node().status();
    assert_eq!((after.role, after.leader), (Role::Leader, Some(1)));
    assert!(after.term > before.term);
    put_tokens(&world.meta(), 20..25).await;
    assert_eq!(tokens(&world.meta(), Consistency::Local).await.1, names(0..25));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_leaves_nothing_to_apply_again() {
    let mut world = World::start().await;
    put_tokens(&world.meta(), 0..5).await;
    assert!(world.node().status().unsynced > 0, "apply does not sync by itself");
    let meta = world.meta();
    let (revision, _) = tokens(&meta, Consistency::Local).await;
    world.stop().await;
    let answer = meta.configuration(Consistency::Local).await;
    assert!(matches!(answer, Err(MetaError::Unavailable(_))), "{answer:?}");
    world.start_again(0).await;
    let (restarted_at, _) = tokens(&world.meta(), Consistency::Local).await;
    assert!(restarted_at >= revision);
    assert!(world.node().status().unsynced <= 1, "at most the election's own entry");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_fails_says_so_and_stops() {
    let world = World::start().await;
    world.power.cut();
    let outcome = crate::world::put_token(&world.meta(), "lost").await;
    assert!(outcome.is_err());
    let reason = world.node().stopped().await;
    assert!(reason.contains("power is gone"), "{reason}");
    assert!(world.node().ready().await.is_err());
}
