//! Three members in one process: failover, restart, catching up by log and by snapshot.

use std::sync::Arc;
use std::time::Duration;

use roadstead_node::testing::cluster::Cluster;
use roadstead_node::{Compaction, Role};
use roadstead_proto::clock::{ManualClock, SystemClock};
use roadstead_proto::domain::fleet::{Registration, Report};
use roadstead_proto::domain::lease::{GatewayId, SESSION_TTL};
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::{Consistency, Leases, MetaError, MetaStore};
use tempfile::TempDir;

use crate::world::{bootstrap, names, put_token, put_tokens, tokens};

const SECOND: Duration = Duration::from_secs(1);

fn root() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn others(of: u64) -> Vec<u64> {
    (1..=3).filter(|id| *id != of).collect()
}

async fn three(root: &TempDir) -> (Cluster, u64) {
    let cluster = Cluster::start(root.path(), 3).await;
    let leader = cluster.leader_of(&[1, 2, 3]).await;
    bootstrap(&cluster.node(leader).meta()).await;
    (cluster, leader)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_every_member() {
    let root = root();
    let (cluster, leader) = three(&root).await;
    put_tokens(&cluster.node(leader).meta(), 0..10).await;
    let (revision, expected) = tokens(&cluster.node(leader).meta(), Consistency::Linearizable).await;
    for id in 1..=3 {
        cluster.applied(id, revision.0).await;
        assert_eq!(tokens(&cluster.node(id).meta(), Consistency::Local).await.1, expected, "member {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_names_the_leader() {
    let root = root();
    let (cluster, leader) = three(&root).await;
    let follower = cluster.node(others(leader)[0]).meta();
    let expected = MetaError::NotLeader { leader: Some(format!("member-{leader}:1")) };
    assert_eq!(put_token(&follower, "x").await, Err(expected.clone()));
    assert_eq!(follower.configuration(Consistency::Linearizable).await, Err(expected.clone()));
    assert_eq!(follower.close_session(roadstead_proto::domain::lease::SessionId(1)).await, Err(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_goes_on_without_a_crashed_leader_which_catches_up_later() {
    let root = root();
    let (mut cluster, first) = three(&root).await;
    put_tokens(&cluster.node(first).meta(), 0..10).await;
    cluster.crash(first).await;
    let second = cluster.leader_of(&others(first)).await;
    let meta = cluster.node(second).meta();
    assert_eq!(tokens(&meta, Consistency::Linearizable).await.1, names(0..10));
    put_tokens(&meta, 10..20).await;
    let (revision, _) = tokens(&meta, Consistency::Linearizable).await;
    cluster.start_member(first).await;
    cluster.applied(first, revision.0).await;
    assert_eq!(tokens(&cluster.node(first).meta(), Consistency::Local).await.1, names(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_acknowledges_nothing_and_forgets_what_it_tried() {
    let root = root();
    let (cluster, first) = three(&root).await;
    cluster.isolate(first);
    let lost = put_token(&cluster.node(first).meta(), "lost").await;
    assert!(matches!(lost, Err(MetaError::Unavailable(_))), "{lost:?}");
    let second = cluster.leader_of(&others(first)).await;
    put_token(&cluster.node(second).meta(), "kept").await.expect("two of three are a quorum");
    let stale = cluster.node(first).meta();
    assert!(stale.configuration(Consistency::Linearizable).await.is_err(), "no quorum confirms it");
    assert!(stale.configuration(Consistency::Local).await.is_ok(), "what it has it still shows");
    let (revision, _) = tokens(&cluster.node(second).meta(), Consistency::Linearizable).await;
    cluster.heal();
    cluster.applied(first, revision.0).await;
    for id in 1..=3 {
        cluster.applied(id, revision.0).await;
        assert_eq!(tokens(&cluster.node(id).meta(), Consistency::Local).await.1, ["kept"], "member {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_a_quorum_sends_writes_elsewhere_and_keeps_nothing_of_them() {
    let root = root();
    let (cluster, first) = three(&root).await;
    let meta = cluster.node(first).meta();
    for id in others(first) {
        cluster.isolate(id);
    }
    // What it took while it could not know that it is alone waits for its quorum, and nobody knows what becomes of it.
    let early = put_token(&meta, "early").await;
    assert!(matches!(early, Err(MetaError::Unavailable(_))), "{early:?}");
    let log = cluster.node(first).status().last_log;
    let began = std::time::Instant::now();
    assert_eq!(put_token(&meta, "late").await, Err(MetaError::NotLeader { leader: None }), "it can be made elsewhere");
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    assert_eq!(cluster.node(first).status().last_log, log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_only_where_it_counts() {
    let root = root();
    let (cluster, first) = three(&root).await;
    let (gateway, region) = (GatewayId("gateway".into()), RegionId::default_region());
    let leader = cluster.node(first).meta();
    let session = leader.open_session(&Registration::alone(gateway, region)).await.expect("a session");
    let fleet = leader.keep_alive(session, &Report::default()).await.expect("it lives");
    assert_eq!(fleet.gateways.iter().map(|member| member.session).collect::<Vec<_>>(), [session]);
    let follower = cluster.node(others(first)[0]).meta();
    assert!(matches!(follower.keep_alive(session, &Report::default()).await, Err(MetaError::NotLeader { .. })));
    cluster.isolate(first);
    let second = cluster.leader_of(&others(first)).await;
    assert!(
        leader.keep_alive(session, &Report::default()).await.is_err(),
        "a leader that was deposed keeps nobody alive"
    );
    assert!(cluster.node(second).meta().keep_alive(session, &Report::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_without_a_quorum_blames_nobody_for_the_silence() {
    let (root, clock) = (root(), Arc::new(ManualClock::at(Timestamp(1_000_000))));
    let cluster = Cluster::start_with(root.path(), 2, Compaction::default(), Arc::<ManualClock>::clone(&clock)).await;
    let first = cluster.leader_of(&[1, 2]).await;
    let leader = cluster.node(first).meta();
    bootstrap(&leader).await;
    let silent = async || leader.end_silent_sessions().await.expect("a step of the job");
    for outage in [2 * SECOND, 5 * SECOND] {
        let registration = Registration::alone(GatewayId("gateway".into()), RegionId::default_region());
        let session = leader.open_session(&registration).await.expect("a session");
        assert_eq!(silent().await, []);
        cluster.isolate(3 - first);
        // It waits for a quorum for longer than one goes unmissed. The other one lacks it and cannot lead.
        assert!(put_token(&leader, "x").await.is_err());
        for _ in 0..outage.as_secs() {
            clock.advance(SECOND);
            assert_eq!(silent().await, [], "nobody could be heard");
        }
        cluster.heal();
        assert_eq!(cluster.leader_of(&[1, 2]).await, first);
        assert_eq!(silent().await, []);
        clock.advance(SESSION_TTL - SECOND);
        assert_eq!(silent().await, [], "not a whole session time after {outage:?}");
        clock.advance(SECOND);
        assert_eq!(silent().await, [session]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over_on_request() {
    let root = root();
    let (cluster, first) = three(&root).await;
    let next = others(first)[0];
    cluster.transfer(first, next).await;
    while cluster.leader_of(&[1, 2, 3]).await != next {
        tokio::task::yield_now().await;
    }
    put_token(&cluster.node(next).meta(), "x").await.expect("it leads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_too_long_is_brought_up_by_a_snapshot() {
    let root = root();
    let compaction = Compaction::every(50, 5);
    let mut cluster = Cluster::start_with(root.path(), 3, compaction, Arc::new(SystemClock)).await;
    let leader = cluster.leader_of(&[1, 2, 3]).await;
    bootstrap(&cluster.node(leader).meta()).await;
    let away = others(leader)[0];
    let watcher = cluster.node(away).meta();
    cluster.isolate(away);
    put_tokens(&cluster.node(leader).meta(), 0..120).await;
    cluster.compacted(leader, 90).await;
    let (revision, expected) = tokens(&cluster.node(leader).meta(), Consistency::Linearizable).await;

    let (behind, _) = tokens(&watcher, Consistency::Local).await;
    let mut watch = watcher.watch(behind).await.expect("a watch");
    cluster.heal();
    cluster.applied(away, revision.0).await;
    assert_eq!(tokens(&watcher, Consistency::Local).await.1, expected);
    assert!(cluster.node(away).status().snapshot.is_some(), "it came by snapshot");
    // What it had in its log when it was cut off it may still announce.
    let ended = async { while watch.next_change().await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("a watch over the gap ends");
    assert_eq!(watcher.watch(behind).await.err(), Some(MetaError::Compacted));

    cluster.crash(away).await;
    cluster.start_member(away).await;
    cluster.applied(away, revision.0).await;
    assert_eq!(tokens(&cluster.node(away).meta(), Consistency::Local).await.1, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_a_crash_interrupted_is_finished_at_the_next_start() {
    let root = root();
    let compaction = Compaction::every(50, 5);
    let mut cluster = Cluster::start_with(root.path(), 3, compaction, Arc::new(SystemClock)).await;
    let leader = cluster.leader_of(&[1, 2, 3]).await;
    bootstrap(&cluster.node(leader).meta()).await;
    let away = others(leader)[0];
    cluster.stop(away).await;
    put_tokens(&cluster.node(leader).meta(), 0..120).await;
    cluster.compacted(leader, 90).await;
    let covered = cluster.node(leader).status().snapshot;
    // The crash came when the snapshot had its place and the state had not.
    let snapshot = |id| cluster.directory(id).join("snapshot");
    std::fs::copy(snapshot(leader), snapshot(away)).expect("the snapshot");
    cluster.isolate(away);
    cluster.start_member(away).await;
    let status = cluster.node(away).status();
    assert!(status.applied >= covered && status.snapshot == covered, "{status:?}");
    let (revision, expected) = tokens(&cluster.node(leader).meta(), Consistency::Linearizable).await;
    cluster.heal();
    cluster.applied(away, revision.0).await;
    assert_eq!(tokens(&cluster.node(away).meta(), Consistency::Local).await.1, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_member_crashes_and_nothing_acknowledged_is_lost() {
    let root = root();
    let (mut cluster, leader) = three(&root).await;
    put_tokens(&cluster.node(leader).meta(), 0..30).await;
    for id in 1..=3 {
        cluster.crash(id).await;
    }
    for id in 1..=3 {
        cluster.start_member(id).await;
    }
    let leader = cluster.leader_of(&[1, 2, 3]).await;
    assert_eq!(tokens(&cluster.node(leader).meta(), Consistency::Linearizable).await.1, names(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_alone_still_shows_what_it_had() {
    let root = root();
    let (mut cluster, leader) = three(&root).await;
    put_tokens(&cluster.node(leader).meta(), 0..30).await;
    let rest = others(leader);
    for id in &rest {
        cluster.stop(*id).await;
    }
    cluster.stop(leader).await;
    cluster.start_member(leader).await;
    let meta = cluster.node(leader).meta();
    assert_eq!(tokens(&meta, Consistency::Local).await.1, names(0..30));
    assert_ne!(cluster.node(leader).status().role, Role::Leader);
    assert!(put_token(&meta, "x").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_grows() {
    let root = root();
    let mut cluster = Cluster::start(root.path(), 1).await;
    bootstrap(&cluster.node(1).meta()).await;
    put_tokens(&cluster.node(1).meta(), 0..10).await;
    cluster.start_member(2).await;
    cluster.add_learner(1, 2).await;
    let (revision, expected) = tokens(&cluster.node(1).meta(), Consistency::Linearizable).await;
    cluster.applied(2, revision.0).await;
    assert_eq!(tokens(&cluster.node(2).meta(), Consistency::Local).await.1, expected);
    assert_eq!(cluster.node(2).status().role, Role::Learner);
    assert_eq!(cluster.node(2).cluster(), cluster.node(1).cluster());
}
