//! The stored bytes of every value, pinned: what is here lies on somebody's disk.

use openraft::entry::RaftEntry;
use proptest::prelude::*;
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

fn any_log_id() -> impl Strategy<Value = LogId> {
    any::<(u64, u64, u64)>().prop_map(|(term, node_id, index)| LogId::new(LeaderId { term, node_id }, index))
}

/// One or two sets of voters, all of them members, and learners beside them.
fn any_membership() -> impl Strategy<Value = Membership> {
    let set = || prop::collection::btree_set(0_u64..9, 1..4);
    let learners = prop::collection::btree_set(9_u64..20, 0..3);
    (prop::collection::vec(set(), 1..3), learners, ".{0,9}").prop_map(|(voters, learners, address)| {
        let all: BTreeSet<u64> = voters.iter().flatten().chain(&learners).copied().collect();
        let members: BTreeMap<u64, BasicNode> =
            all.into_iter().map(|id| (id, BasicNode::new(format!("{address}{id}")))).collect();
        Membership::new(voters, members).expect("a valid membership")
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let proposal = (any::<u64>(), prop::collection::vec(any::<u64>(), 0..4)).prop_map(|(at, ids)| {
        let command = Command::EndSessions(ids.into_iter().map(SessionId).collect());
        EntryPayload::Normal(Write(Proposal { at: Timestamp(at), command }))
    });
    let payload = prop_oneof![Just(EntryPayload::Blank), proposal, any_membership().prop_map(EntryPayload::Membership)];
    (any_log_id(), payload).prop_map(|(log_id, payload)| Entry::new(log_id, payload))
}

#[track_caller]
fn survives<T: Stored + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = T::decode(bytes) {
        assert_eq!(T::decode(&value.encode()).expect("it decodes"), value);
    }
}

#[track_caller]
fn all_survive(bytes: &[u8]) {
    survives::<LogId>(bytes);
    survives::<Vote>(bytes);
    survives::<Membership>(bytes);
    survives::<StoredMembership>(bytes);
    survives::<Entry>(bytes);
}

proptest! {
    #[test]
    fn everything_is_read_back_as_it_was(
        entry in any_entry(),
        log_id in any_log_id(),
        stored in (prop::option::of(any_log_id()), any_membership()),
        committed: bool,
    ) {
        let LeaderId { term, node_id } = log_id.leader_id;
        let vote = if committed { Vote::new_committed(term, node_id) } else { Vote::new(term, node_id) };
        prop_assert_eq!(Entry::decode(&entry.encode()).expect("it decodes"), entry);
        prop_assert_eq!(LogId::decode(&log_id.encode()).expect("it decodes"), log_id);
        prop_assert_eq!(Vote::decode(&vote.encode()).expect("it decodes"), vote);
        let stored = StoredMembership::new(stored.0, stored.1);
        prop_assert_eq!(StoredMembership::decode(&stored.encode()).expect("it decodes"), stored);
    }

    /// Bytes changed, lost or doubled are an error or another value, never a panic.
    #[test]
    fn damaged_bytes_have_an_answer(
        entry in any_entry(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..4),
        random in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut bytes = entry.encode();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        all_survive(&bytes);
        all_survive(bytes.get(10..).unwrap_or_default());
        all_survive(&random);
    }
}
