//! Members that are reached elsewhere than before, or say so.

use crate::net::{Net, others};
use crate::world::{bootstrap, put_token};

/// Where nobody is.
const NOWHERE: &str = "127.0.0.1:1";

/// Three members, the leader first.
async fn three() -> (Net, [u64; 3]) {
    let net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    let rest = others(leader);
    (net, [leader, rest[0], rest[1]])
}

/// Returns once `by` knows that the member is where it is.
async fn until_known(net: &Net, by: u64, id: u64) {
    let wait = async {
        while net.addresses(by).await[&id] != net.address(id) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), wait).await.expect("its new address is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moved_is_found_and_the_group_goes_on_with_it() {
    let (mut net, [leader, moves, other]) = three().await;
    net.stop(moves).await;
    net.forget_address(moves);
    net.start(moves).await;
    until_known(&net, leader, moves).await;
    net.crash(other).await;
    put_token(&net.meta(leader), "x").await.expect("it is one of two");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_the_member_is_not_is_not_recorded() {
    let (net, [leader, member, other]) = three().await;
    let before = net.addresses(leader).await;
    let nowhere = net.greet(member, leader, NOWHERE).await;
    assert!(nowhere.refusal.contains(&format!("node {member} was not found at {NOWHERE}")), "{nowhere:?}");
    assert!(nowhere.is_member && !nowhere.found);
    let renamed = net.address(other).replace("127.0.0.1", "localhost");
    let foreign = net.greet(member, leader, &renamed).await;
    assert!(foreign.refusal.contains(&format!("this is node {other}, not node {member}")), "{foreign:?}");
    let taken = net.greet(member, leader, &net.address(other)).await;
    assert!(taken.refusal.contains(&format!("this is node {other}, not node {member}")), "{taken:?}");
    assert_eq!(net.addresses(leader).await, before);
    let true_one = net.address(member).replace("127.0.0.1", "localhost");
    let found = net.greet(member, leader, &true_one).await;
    assert!(found.found && found.refusal.is_empty(), "{found:?}");
    assert_eq!(net.addresses(leader).await[&member], true_one);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_groups_node_of_the_same_number_is_not_the_member() {
    let (net, [leader, member, _]) = three().await;
    let mut foreign = Net::beside(&net);
    foreign.start_as(member, roadstead_node::Formation::Alone).await;
    let refused = net.greet(member, leader, &foreign.address(member)).await;
    assert!(refused.refusal.contains("this node belongs to cluster"), "{refused:?}");
    assert_eq!(net.addresses(leader).await[&member], net.address(member));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_wrong_address_keeps_its_old_one_and_goes_on() {
    let (mut net, [leader, member, other]) = three().await;
    net.stop(member).await;
    net.says(member, NOWHERE);
    net.start(member).await;
    net.leader(&[1, 2, 3]).await;
    net.greet(member, leader, NOWHERE).await;
    net.crash(other).await;
    put_token(&net.meta(leader), "x").await.expect("it is reached where it was");
}

/// A voter, and a learner that can only say whether it finds it.
async fn a_leader_and_a_learner() -> Net {
    let mut net = Net::group(1).await;
    net.start(2).await;
    net.add(1, 2, false).await.expect("a learner");
    net
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_moved_is_found_by_the_others() {
    let mut net = a_leader_and_a_learner().await;
    net.stop(1).await;
    net.forget_address(1);
    net.start(1).await;
    until_known(&net, 2, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_the_others_do_not_find_records_nothing() {
    let mut net = a_leader_and_a_learner().await;
    let before = net.address(1);
    net.stop(1).await;
    // It finds itself there, and the others do not.
    net.forget_address(1);
    net.cut(2, 1);
    net.start(1).await;
    net.node(1).ready().await.expect("it leads");
    let answer = net.greet(1, 2, &net.address(1)).await;
    assert!(answer.refusal.contains("node 1 was not found at"), "{answer:?}");
    // It has asked by itself, too: at its start and again since.
    net.until("it asks again", || net.tried(2, 1) > 3).await;
    assert_eq!(net.addresses(2).await[&1], before);
    net.heal();
    until_known(&net, 2, 1).await;
}
