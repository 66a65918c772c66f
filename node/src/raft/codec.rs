//! Raft's values to and from protobuf: the form on disk, and inside the messages of [`wire`](super::wire).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use openraft::impls::leader_id_adv::LeaderId;
use openraft::{BasicNode, EntryPayload};
use prost::Message;
use roadstead_proto::state::command::Proposal;
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::raft::v1 as pb;

use super::{Entry, LogId, Membership, Payload, StoredMembership, Vote, Write};
use crate::store::files::{damaged, failed};

/// A value with one stored form.
pub(crate) trait Stored: Sized {
    type Message: Message + Default;

    fn to_message(&self) -> Self::Message;

    fn from_message(message: Self::Message) -> io::Result<Self>;

    fn encode(&self) -> Vec<u8> {
        self.to_message().encode_to_vec()
    }

    /// The length of the encoded value.
    fn encoded_len(&self) -> usize {
        self.to_message().encoded_len()
    }

    fn decode(bytes: &[u8]) -> io::Result<Self> {
        Self::from_message(Self::Message::decode(bytes).map_err(failed)?)
    }
}

pub(super) fn missing(what: &str) -> io::Error {
    damaged(format!("{what} is missing"))
}

impl Stored for LogId {
    type Message = pb::LogId;

    fn to_message(&self) -> pb::LogId {
        pb::LogId { term: self.leader_id.term, node: self.leader_id.node_id, index: self.index }
    }

    fn from_message(message: pb::LogId) -> io::Result<Self> {
        Ok(Self::new(LeaderId { term: message.term, node_id: message.node }, message.index))
    }
}

impl Stored for Vote {
    type Message = pb::Vote;

    fn to_message(&self) -> pb::Vote {
        pb::Vote { term: self.leader_id.term, node: self.leader_id.node_id, committed: self.committed }
    }

    fn from_message(message: pb::Vote) -> io::Result<Self> {
        Ok(Self { leader_id: LeaderId { term: message.term, node_id: message.node }, committed: message.committed })
    }
}

impl Stored for Membership {
    type Message = pb::Membership;

    fn to_message(&self) -> pb::Membership {
        let set = |set: &BTreeSet<u64>| pb::VoterSet { nodes: set.iter().copied().collect() };
        pb::Membership {
            voters: self.get_joint_config().iter().map(set).collect(),
            members: self.nodes().map(|(id, node)| pb::Member { node: *id, address: node.addr.clone() }).collect(),
        }
    }

    fn from_message(message: pb::Membership) -> io::Result<Self> {
        let voters = message.voters.into_iter().map(|set| set.nodes.into_iter().collect()).collect();
        let members: BTreeMap<u64, BasicNode> =
            message.members.into_iter().map(|member| (member.node, BasicNode { addr: member.address })).collect();
        Self::new(voters, members).map_err(failed)
    }
}

impl Stored for StoredMembership {
    type Message = pb::StoredMembership;

    fn to_message(&self) -> pb::StoredMembership {
        pb::StoredMembership {
            log_id: self.log_id().as_ref().map(Stored::to_message),
            membership: Some(self.membership().to_message()),
        }
    }

    fn from_message(message: pb::StoredMembership) -> io::Result<Self> {
        let log_id = message.log_id.map(LogId::from_message).transpose()?;
        let membership = message.membership.ok_or_else(|| missing("the membership of a stored membership"))?;
        Ok(Self::new(log_id, Membership::from_message(membership)?))
    }
}

impl Stored for Entry {
    type Message = pb::Entry;

    fn to_message(&self) -> pb::Entry {
        let payload = match &self.payload {
            EntryPayload::Blank => pb::entry::Payload::Blank(pb::Blank {}),
            EntryPayload::Normal(Write(proposal)) => pb::entry::Payload::Proposal(Record::encode(proposal)),
            EntryPayload::Membership(membership) => pb::entry::Payload::Membership(membership.to_message()),
        };
        pb::Entry { log_id: Some(self.log_id.to_message()), payload: Some(payload) }
    }

    fn from_message(message: pb::Entry) -> io::Result<Self> {
        let log_id = LogId::from_message(message.log_id.ok_or_else(|| missing("the id of a log entry"))?)?;
        let payload: Payload = match message.payload.ok_or_else(|| missing("the payload of a log entry"))? {
            pb::entry::Payload::Blank(pb::Blank {}) => EntryPayload::Blank,
            pb::entry::Payload::Proposal(bytes) => {
                EntryPayload::Normal(Write(<Proposal as Record>::decode(&bytes).map_err(failed)?))
            }
            pb::entry::Payload::Membership(membership) => {
                EntryPayload::Membership(Membership::from_message(membership)?)
            }
        };
        Ok(Self { log_id, payload })
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
