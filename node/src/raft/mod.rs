//! Raft on disk: openraft's types, storage and network, and the encoding of what they keep.
//!
//! | file | what it holds |
//! |---|---|
//! | [`codec`] | raft's values to and from protobuf |
//! | [`log`] | the log as openraft reads and appends it |
//! | [`writer`] | the one writer of the log file: group commit |
//! | [`machine`] | committed entries into rows, answers and changes |
//! | [`compaction`] | when the log is worth a snapshot |
//! | [`snapshot`] | the snapshot file: written from one read transaction, verified, loaded |
//! | [`network`] | outgoing RPCs |
//! | [`wire`] | what members tell each other, to and from protobuf |

pub(crate) mod codec;
pub(crate) mod compaction;
pub(crate) mod log;
pub(crate) mod machine;
pub(crate) mod network;
pub(crate) mod snapshot;
pub(crate) mod wire;
pub(crate) mod writer;

use std::fmt;

use roadstead_proto::state::command::{Applied, Proposal};

openraft::declare_raft_types!(
    /// The types of this raft group. `LeaderId` is openraft's default: a log id names term and node.
    pub(crate) Types: D = Write, R = Answer, NodeId = u64, Node = openraft::BasicNode
);

/// What a log entry carries: one proposal. Never printed whole, for it may hold credentials.
#[derive(Clone, PartialEq)]
pub(crate) struct Write(pub(crate) Proposal);

impl fmt::Debug for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proposal of {}", self.0.at)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What applying an entry answered; `None` for entries that are raft's own.
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) Option<Applied>);

/// This member's handle on the group.
pub(crate) type Group = openraft::Raft<Types, machine::Machine>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Payload = openraft::alias::PayloadOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, openraft::BasicNode>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<Types, snapshot::SnapshotFile>;
