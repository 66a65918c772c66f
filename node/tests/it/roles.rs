//! Who may call what, and whom a member listens to.

use roadstead_proto::rpc::{Dialer, Role};
use roadstead_proto::wire::pb::admin::v1 as admin;
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use roadstead_proto::wire::pb::raft::v1 as pb;
use roadstead_proto::wire::pb::raft::v1::raft_client::RaftClient;
use tonic::Code;

use crate::certificates::Authority;
use crate::net::Net;

fn envelope(cluster: &str, to: u64) -> pb::Envelope {
    pb::Envelope { cluster: cluster.to_owned(), from: 9, to }
}

fn vote(envelope: pb::Envelope) -> pb::VoteRequest {
    let vote = pb::Vote { term: 1_000_000, node: 9, committed: false };
    pb::VoteRequest { envelope: Some(envelope), vote: Some(vote), last_log: None, transfer: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_node_speaks_raft_and_only_an_admin_or_a_node_administers() {
    let net = Net::group(1).await;
    let cluster = net.node(1).cluster().expect("a name").to_owned();
    for (role, raft_allowed, admin_allowed) in
        [(Role::Node, true, true), (Role::Admin, false, true), (Role::Gateway, false, false)]
    {
        let dialer = Dialer::new(Some(net.authority.identity(role)));
        let channel = dialer.channel(&net.address(1), Role::Node).expect("a channel");
        let greeting = pb::GreetRequest { envelope: Some(envelope(&cluster, 1)), address: String::new() };
        let greeted = RaftClient::new(channel.clone()).greet(greeting).await;
        let refused = |code: Option<Code>| code == Some(Code::PermissionDenied);
        assert_eq!(refused(greeted.err().map(|status| status.code())), !raft_allowed, "raft by {role}");
        let asked = AdminClient::new(channel).status(admin::StatusRequest { local: true }).await;
        assert_eq!(refused(asked.err().map(|status| status.code())), !admin_allowed, "admin by {role}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_opens_nothing() {
    let net = Net::group(1).await;
    let stranger = Dialer::new(Some(Authority::new().identity(Role::Node)));
    let channel = stranger.channel(&net.address(1), Role::Node).expect("a channel");
    let asked = AdminClient::new(channel).status(admin::StatusRequest { local: true }).await;
    assert_eq!(asked.expect_err("it is refused").code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_hears_nothing_of_another_group_or_for_another_member() {
    let net = Net::group(1).await;
    let cluster = net.node(1).cluster().expect("a name").to_owned();
    let term = net.node(1).status().term;
    let dialer = Dialer::new(Some(net.authority.identity(Role::Node)));
    let mut raft = RaftClient::new(dialer.channel(&net.address(1), Role::Node).expect("a channel"));
    let foreign = raft.vote(vote(envelope("another", 1))).await.expect_err("another group");
    assert!(foreign.message().contains("not to cluster another"), "{foreign}");
    let misdirected = raft.vote(vote(envelope(&cluster, 2))).await.expect_err("another member");
    assert!(misdirected.message().contains("this is node 1, not node 2"), "{misdirected}");
    let join = pb::JoinRequest { envelope: Some(envelope("another", 1)), address: String::new() };
    let joined = raft.join(join).await.expect_err("it belongs to a group");
    assert!(joined.message().contains("belongs to cluster"), "{joined}");
    assert_eq!(net.node(1).status().term, term, "nothing of it was heard");
    raft.vote(vote(envelope(&cluster, 1))).await.expect("what is for it is heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_stops_at_an_entry_that_it_does_not_know() {
    let net = Net::group(1).await;
    let cluster = net.node(1).cluster().expect("a name").to_owned();
    let dialer = Dialer::new(Some(net.authority.identity(Role::Node)));
    let mut raft = RaftClient::new(dialer.channel(&net.address(1), Role::Node).expect("a channel"));
    // A proposal of a time, with a command of number 99.
    let proposal = vec![0x08, 0x01, 0x9a, 0x06, 0x00];
    let log_id = pb::LogId { term: 1_000_000, node: 9, index: 1_000_000 };
    let entry = pb::Entry { log_id: Some(log_id), payload: Some(pb::entry::Payload::Proposal(proposal)) };
    let request = pb::AppendRequest {
        envelope: Some(envelope(&cluster, 1)),
        vote: Some(pb::Vote { term: 1_000_000, node: 9, committed: true }),
        previous: None,
        entries: vec![entry],
        committed: None,
    };
    raft.append(request).await.expect_err("it is refused");
    let reason = tokio::time::timeout(std::time::Duration::from_secs(30), net.node(1).stopped()).await;
    let reason = reason.expect("it stops");
    assert!(reason.contains("that node 9 sent cannot be read"), "{reason}");
    assert!(reason.contains("newer version"), "{reason}");
}
