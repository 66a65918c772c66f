//! The stored bytes of every value, pinned: what is here lies on somebody's disk.

use openraft::entry::RaftEntry;
use roadstead_proto::domain::lease::SessionId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::command::Command;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn golden<T: Stored + PartialEq + std::fmt::Debug>(value: &T, expected: &str) {
    let bytes = value.encode();
    assert_eq!(hex(&bytes), expected);
    assert_eq!(T::decode(&bytes).expect("it decodes"), *value);
}

fn log_id(index: u64) -> LogId {
    LogId::new(LeaderId { term: 3, node_id: 2 }, index)
}

fn membership() -> Membership {
    let members = BTreeMap::from([1, 2, 3].map(|id| (id, BasicNode::new(format!("n{id}:9")))));
    Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2])], members).expect("a valid membership")
}

#[test]
fn a_log_id_is_term_node_index() {
    golden(&log_id(300), "0803100218ac02");
    golden(&LogId::new(LeaderId { term: 0, node_id: 0 }, 0), "");
}

#[test]
fn a_vote_is_term_node_committed() {
    golden(&Vote::new_committed(3, 2), "080310021801");
    golden(&Vote::new(3, 2), "08031002");
}

#[test]
fn a_membership_keeps_both_voter_sets_and_learners() {
    let expected =
        "0a040a0201020a030a0102120808011204 6e313a39120808021204 6e323a39120808031204 6e333a39".replace(' ', "");
    golden(&membership(), &expected);
    let stored = StoredMembership::new(Some(log_id(1)), membership());
    golden(&stored, &format!("0a060803100218011229{expected}"));
    golden(&StoredMembership::default(), "1200");
}

#[test]
fn an_entry_is_its_id_and_its_payload() {
    golden(&Entry::new_blank(log_id(1)), "0a060803100218011200");
    let command = Command::EndSessions(vec![SessionId(7)]);
    let proposal = Proposal { at: Timestamp(5), command };
    let inner = hex(&Record::encode(&proposal));
    golden(
        &Entry::new(log_id(1), EntryPayload::Normal(Write(proposal))),
        &format!("0a060803100218011a{:02x}{inner}", inner.len() / 2),
    );
    let expected = hex(&membership().encode());
    golden(
        &Entry::new_membership(log_id(1), membership()),
        &format!("0a0608031002180122{:02x}{expected}", expected.len() / 2),
    );
}

#[test]
fn damage_is_an_error_and_not_a_default() {
    for (what, bytes) in [
        ("nothing", &[][..]),
        ("no payload", b"\x0a\x02\x08\x03"),
        ("no id", b"\x12\x00"),
        ("cut off", b"\x0a\x06\x08"),
    ] {
        assert!(Entry::decode(bytes).is_err(), "{what}");
    }
    assert!(StoredMembership::decode(b"").is_err(), "no membership");
    // A voter that is no member.
    assert!(Membership::decode(b"\x0a\x03\x0a\x01\x09").is_err());
}
