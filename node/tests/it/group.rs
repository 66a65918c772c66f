//! Three members over gRPC: forming, writing, losing and regaining members.

use std::time::Duration;

use roadstead_node::Role;
use roadstead_proto::meta::{Consistency, MetaError};
use roadstead_proto::wire::pb::admin::v1 as pb;

use crate::net::{Net, others};
use crate::world::{bootstrap, names, put_token, put_tokens, tokens};

async fn three() -> (Net, u64) {
    let net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    (net, leader)
}

/// Returns once the member shows these tokens.
async fn shows(net: &Net, id: u64, expected: &[String]) {
    let wait = async {
        while tokens(&net.meta(id), Consistency::Local).await.1 != expected {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("the member catches up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_every_member() {
    let (net, leader) = three().await;
    put_tokens(&net.meta(leader), 0..10).await;
    for id in 1..=3 {
        shows(&net, id, &names(0..10)).await;
        assert_eq!(net.node(id).cluster(), net.node(leader).cluster());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_every_member_and_why_one_does_not_answer() {
    let (mut net, leader) = three().await;
    let asked = others(leader)[0];
    let status = net.admin(asked).status(pb::StatusRequest { local: false }).await.expect("a status").into_inner();
    assert_eq!(status.leader, leader);
    assert_eq!(Some(status.cluster.as_str()), net.node(1).cluster());
    assert!(status.fleet.is_some(), "the leader tells of the gateways");
    for node in &status.nodes {
        let role = if node.node == leader { pb::NodeRole::Leader } else { pb::NodeRole::Follower };
        assert_eq!((node.role(), node.voter, node.error.as_str()), (role, true, ""), "{node:?}");
        assert_eq!(node.address, net.address(node.node));
    }
    let gone = others(leader)[1];
    net.crash(gone).await;
    let status = net.admin(asked).status(pb::StatusRequest { local: false }).await.expect("a status").into_inner();
    let node = status.nodes.iter().find(|node| node.node == gone).expect("it is still a member");
    assert_eq!(node.role(), pb::NodeRole::Unknown);
    assert!(!node.error.is_empty());
    assert_eq!(status.nodes.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_goes_on_without_a_crashed_leader_which_catches_up_later() {
    let (mut net, first) = three().await;
    put_tokens(&net.meta(first), 0..10).await;
    net.crash(first).await;
    let second = net.leader(&others(first)).await;
    put_tokens(&net.meta(second), 10..20).await;
    net.start(first).await;
    shows(&net, first, &names(0..20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_cut_off_acknowledges_nothing_and_forgets_what_it_tried() {
    let (net, first) = three().await;
    net.isolate(first);
    let lost = put_token(&net.meta(first), "lost").await;
    assert!(matches!(lost, Err(MetaError::Unavailable(_) | MetaError::NotLeader { .. })), "{lost:?}");
    let second = net.leader(&others(first)).await;
    put_token(&net.meta(second), "kept").await.expect("two of three are a quorum");
    net.heal();
    for id in 1..=3 {
        shows(&net, id, &["kept".to_owned()]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_and_no_election_is_waited_for() {
    let (mut net, first) = three().await;
    // So long that this test has failed before anybody stands for election of its own accord.
    (net.timing.election_min, net.timing.election_max) = (Duration::from_secs(300), Duration::from_secs(600));
    for follower in others(first) {
        net.stop(follower).await;
        net.start(follower).await;
    }
    assert_eq!(net.leader(&[1, 2, 3]).await, first);
    net.stop(first).await;
    let second = net.leader(&others(first)).await;
    put_token(&net.meta(second), "x").await.expect("it leads");
    assert_eq!(net.node(second).status().role, Role::Leader);
}
