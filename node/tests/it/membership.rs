//! Changes of the group: who may be added, who may be removed, and what a member does that was.

use std::time::Duration;

use roadstead_node::{Compaction, Formation, Role};
use roadstead_proto::meta::Consistency;
use roadstead_proto::wire::pb::admin::v1 as pb;
use tonic::Code;

use crate::net::{Net, others};
use crate::world::{bootstrap, names, put_token, put_tokens, tokens};

async fn until_it_shows(net: &Net, id: u64, expected: &[String]) {
    let wait = async {
        while tokens(&net.meta(id), Consistency::Local).await.1 != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the member catches up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_node_says_that_it_waits_and_is_founded_once() {
    let mut net = Net::new();
    net.start(1).await;
    assert_eq!(net.node(1).status().role, Role::Waiting);
    assert_eq!(net.node(1).cluster(), None);
    let early = net.admin(1).remove_node(pb::RemoveNodeRequest { node: 1 }).await.expect_err("there is no group");
    assert!(early.message().contains("in no cluster yet"), "{early}");
    let cluster = net.admin(1).init(pb::InitRequest {}).await.expect("founded").into_inner().cluster;
    net.node(1).ready().await.expect("it leads");
    assert_eq!(net.node(1).cluster(), Some(cluster.as_str()));
    let again = net.admin(1).init(pb::InitRequest {}).await.expect_err("only once");
    assert_eq!(again.code(), Code::FailedPrecondition);
    assert!(again.message().contains(&cluster), "{again}");
    net.stop(1).await;
    net.start(1).await;
    net.node(1).ready().await.expect("it leads again");
    assert_eq!(net.node(1).cluster(), Some(cluster.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_passes_a_change_on_to_the_leader() {
    let mut net = Net::group(3).await;
    let follower = others(net.leader(&[1, 2, 3]).await)[0];
    net.start(4).await;
    net.add(follower, 4, false).await.expect("it is added");
    assert_eq!(net.node(4).status().role, Role::Learner);
    assert_eq!(net.node(4).cluster(), net.node(1).cluster());
    net.add(follower, 4, true).await.expect("a learner is promoted by adding it as a voter");
    net.until("it has a vote", || net.node(4).status().voters.contains(&4)).await;
    net.add(follower, 4, true).await.expect("once more changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_has_everything_and_no_vote() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    net.start(4).await;
    net.add(leader, 4, false).await.expect("it is added");
    put_tokens(&net.meta(leader), 0..5).await;
    until_it_shows(&net, 4, &names(0..5)).await;
    for id in others(leader) {
        net.crash(id).await;
    }
    assert!(put_token(&net.meta(leader), "x").await.is_err(), "a learner makes no quorum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_member_is_replaced_by_one_with_a_new_number() {
    let mut net = Net::group(3).await;
    let first = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(first)).await;
    put_tokens(&net.meta(first), 0..5).await;
    net.crash(first).await;
    let rest = others(first);
    let leader = net.leader(&rest).await;
    net.start(4).await;
    net.add(rest[0], 4, true).await.expect("two of three are a quorum");
    net.remove(rest[1], first).await.expect("a dead member is removed");
    until_it_shows(&net, 4, &names(0..5)).await;
    // The two that are left besides 4 are no quorum of four, but one of them and 4 are one of three.
    net.crash(leader).await;
    let left = [4, *rest.iter().find(|id| **id != leader).expect("another one")];
    let leader = net.leader(&left).await;
    put_token(&net.meta(leader), "x").await.expect("they are a quorum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_lets_another_one_lead_first() {
    let net = Net::group(3).await;
    let first = net.leader(&[1, 2, 3]).await;
    net.remove(first, first).await.expect("it is removed");
    let leads = |id: &u64| net.node(*id).status().role == Role::Leader;
    assert!(others(first).iter().any(leads), "whoever removed it led already");
    let second = net.leader(&others(first)).await;
    assert_eq!(net.node(second).status().voters, others(first));
    let reason = tokio::time::timeout(Duration::from_secs(30), net.node(first).stopped()).await;
    let reason = reason.expect("a removed member notices");
    assert_eq!(reason, format!("node {first} was removed from the cluster"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_removed_while_it_was_away_notices_when_it_comes_back() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    let away = others(leader)[0];
    net.stop(away).await;
    net.remove(leader, away).await.expect("it is removed");
    net.start(away).await;
    let reason = tokio::time::timeout(Duration::from_secs(30), net.node(away).stopped()).await;
    assert_eq!(reason.expect("it notices"), format!("node {away} was removed from the cluster"));
    let status = net.admin(away).status(pb::StatusRequest { local: true }).await.expect("a status").into_inner();
    assert!(status.nodes[0].error.contains("removed"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_is_not_removed() {
    let mut net = Net::group(1).await;
    let refused = net.remove(1, 1).await.expect_err("the last");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("removing the last member is forbidden"), "{refused}");
    net.start(2).await;
    net.add(1, 2, false).await.expect("a learner");
    assert!(net.remove(1, 1).await.is_err(), "a learner cannot take over");
    net.remove(1, 2).await.expect("a learner is removed");
    assert_eq!(net.remove(1, 2).await.expect_err("it is gone").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_is_refused_with_the_reason() {
    let mut net = Net::group(1).await;
    net.start_as(7, Formation::Alone).await;
    net.start(2).await;
    let add = async |node: u64, at: u64| {
        let request = pb::AddNodeRequest { node, address: net.address(at), voter: true };
        net.admin(1).add_node(request).await.expect_err("it is refused").message().to_owned()
    };
    let foreign = add(7, 7).await;
    assert!(foreign.contains("node 7 belongs to cluster"), "{foreign}");
    let misnamed = add(3, 2).await;
    assert!(misnamed.contains("this is node 2, not node 3: add it under the number 2"), "{misnamed}");
    let taken = add(1, 2).await;
    assert!(taken.contains("node 1 is a member already"), "{taken}");
    let renamed = net.address(2).replace("127.0.0.1", "localhost");
    let request = pb::AddNodeRequest { node: 2, address: renamed.clone(), voter: true };
    let other = net.admin(1).add_node(request).await.expect_err("two words for where it is").message().to_owned();
    assert!(other.contains(&format!("the others reach it at {}: add it by that address", net.address(2))), "{other}");
    assert!(other.contains(&format!("start it again with the address {renamed}")), "{other}");
    let address = add(2, 1).await;
    assert!(address.contains("node 1 is at"), "{address}");
    let request = pb::AddNodeRequest { node: 9, address: "127.0.0.1:1".to_owned(), voter: true };
    let dead = net.admin(1).add_node(request).await.expect_err("nobody is there");
    assert!(dead.message().contains("127.0.0.1:1 cannot be added"), "{dead}");
    assert_eq!(net.node(1).status().voters, [1]);
    assert_eq!(net.node(2).status().role, Role::Waiting);
    assert_eq!(net.node(2).cluster(), None, "it is still free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_nobody_follows_claims_no_node() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    net.start(4).await;
    for id in others(leader) {
        net.crash(id).await;
    }
    net.add(leader, 4, true).await.expect_err("it cannot add anybody");
    assert_eq!(net.node(4).cluster(), None, "it is still free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_directory_does_not_come_back_under_its_number() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    let [forgetful, other] = others(leader)[..] else { panic!("three members") };
    net.crash(forgetful).await;
    net.wipe(forgetful);
    net.start(forgetful).await;
    let refused = net.add(leader, forgetful, true).await.expect_err("its votes are forgotten");
    assert!(refused.message().contains("its directory was lost"), "{refused}");
    assert_eq!(net.node(forgetful).cluster(), None, "nobody speaks to it");
    // The two that remember are what the group has.
    net.crash(other).await;
    assert!(put_token(&net.meta(leader), "x").await.is_err(), "it makes no quorum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_number_is_used_again_by_a_node_that_knows_nothing_and_by_no_other() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    put_tokens(&net.meta(leader), 0..5).await;
    let gone = others(leader)[0];
    net.stop(gone).await;
    net.remove(leader, gone).await.expect("it is removed");
    net.start(gone).await;
    let returning = net.add(leader, gone, true).await.expect_err("its directory is of before");
    assert!(returning.message().contains("was a member of cluster"), "{returning}");
    assert!(returning.message().contains("start it with an empty one"), "{returning}");
    assert_eq!(net.node(leader).status().voters, others(gone));
    net.stop(gone).await;
    net.wipe(gone);
    net.start(gone).await;
    net.add(leader, gone, true).await.expect("it knows nothing");
    until_it_shows(&net, gone, &names(0..5)).await;
    // Its vote counts.
    net.crash(others(gone)[0]).await;
    let left: Vec<_> = net.running();
    let leader = net.leader(&left).await;
    put_token(&net.meta(leader), "x").await.expect("they are a quorum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_grows_to_three_after_its_address_is_known() {
    let mut net = Net::new();
    net.start_as(1, Formation::Alone).await;
    net.node(1).ready().await.expect("it founds its group");
    bootstrap(&net.meta(1)).await;
    put_tokens(&net.meta(1), 0..5).await;
    // As `serve` it had another address, which nobody reaches.
    net.stop(1).await;
    net.forget_address(1);
    net.start(1).await;
    net.node(1).ready().await.expect("it leads again");
    for id in [2, 3] {
        net.start(id).await;
        net.add(1, id, true).await.expect("it is added");
    }
    until_it_shows(&net, 3, &names(0..5)).await;
    net.crash(1).await;
    let leader = net.leader(&[2, 3]).await;
    put_token(&net.meta(leader), "x").await.expect("they are a quorum");
    net.start(1).await;
    net.leader(&[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_member_is_brought_up_by_a_snapshot_over_the_wire() {
    let mut net = Net::new();
    net.compaction = Compaction::every(50, 5);
    net.form(1).await;
    bootstrap(&net.meta(1)).await;
    put_tokens(&net.meta(1), 0..120).await;
    net.until("the log is compacted", || net.node(1).status().log_entries < 100).await;
    net.start(2).await;
    net.add(1, 2, true).await.expect("it is added");
    let expected = tokens(&net.meta(1), Consistency::Linearizable).await.1;
    until_it_shows(&net, 2, &expected).await;
    assert!(net.node(2).status().snapshot.is_some(), "it came by snapshot");
}
