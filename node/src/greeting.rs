//! What members tell each other of themselves: that they are there, and where.
//!
//! A member that hears of no leader asks the others whether it still is one. A member that starts with another address than the
//! group knows says so, and is not simply believed: with a wrong address nobody would reach it any more. So it is called there
//! first, and has to answer under its number and the group's name. The leader calls whoever has moved, and records it; a leader
//! that has moved itself leaves the proof to the others, for it is they who have to reach it.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::{BasicNode, ChangeMembers};
use roadstead_proto::rpc::Role;
use roadstead_proto::wire::pb::raft::v1 as pb;
use tokio::time::timeout;

use crate::group_name::Misdirected;
use crate::membership::{ASK_PATIENCE, Membership, MembershipError, said};
use crate::raft;
use crate::raft::network::raft_client;

/// How long a greeting may take whose answer is to say whether the caller was found where it says it is.
const MOVE_PATIENCE: Duration = Duration::from_secs(3);

impl Membership {
    fn is_in_touch(&self) -> bool {
        let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.leading().is_ok() || heard_at.is_some_and(|at| at.elapsed() < self.timing.greet)
    }

    /// One step of the job by which a member finds out that it was removed, and tells where it is: it asks the others
    /// while it hears of no leader, and while another address is known than its own.
    pub(crate) async fn greet(&self) {
        let metrics = self.group.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let has_moved = membership.get_node(&self.id).is_some_and(|me| me.addr != self.address);
        if !has_moved && self.is_in_touch() {
            return;
        }
        if has_moved && metrics.current_leader == Some(self.id) {
            if let Err(error) = self.move_myself(membership).await {
                self.unbelieved(self.id, &error);
            }
            return;
        }
        let patience = if has_moved { MOVE_PATIENCE } else { ASK_PATIENCE };
        let mine = metrics.committed_membership_config.log_id().map_or(0, |id| id.index);
        for (node, address) in self.others(membership) {
            let Some(answer) = self.greet_one(node, &address, patience).await else { continue };
            let theirs = answer.membership.map_or(0, |id| id.index);
            // A member that is about to be added may not know it yet, but the others do.
            if !answer.is_member && theirs >= mine {
                self.ending.because(format!("node {} was removed from the cluster", self.id));
                return;
            }
            if !answer.refusal.is_empty() {
                self.unbelieved(self.id, &answer.refusal);
            }
        }
    }

    fn others(&self, membership: &raft::Membership) -> Vec<(u64, String)> {
        let others = membership.nodes().filter(|(node, _)| **node != self.id);
        others.map(|(node, other)| (*node, other.addr.clone())).collect()
    }

    async fn greet_one(&self, node: u64, address: &str, patience: Duration) -> Option<pb::GreetResponse> {
        let channel = self.dialer.channel(address, Role::Node).ok()?;
        let request = pb::GreetRequest { envelope: Some(self.name.envelope(node)), address: self.address.clone() };
        let answer = timeout(patience, async { raft_client(channel).greet(request).await }).await;
        Some(answer.ok()?.ok()?.into_inner())
    }

    /// Whether `node` is at `address`: whoever answers there has to say that it is this node of this group.
    pub(crate) async fn find(&self, node: u64, address: &str) -> Result<(), MembershipError> {
        let not_found = |reason| MembershipError::NotFound { node, address: address.to_owned(), reason };
        let channel = self.dialer.channel(address, Role::Node).map_err(|error| not_found(error.to_string()))?;
        // Without an address, or two that have both moved would ask each other without end.
        let request = pb::GreetRequest { envelope: Some(self.name.envelope(node)), address: String::new() };
        match timeout(ASK_PATIENCE, async { raft_client(channel).greet(request).await }).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) if status.message() == Misdirected::Waiting.to_string() => {
                Err(MembershipError::Forgetful { node })
            }
            Ok(Err(status)) => Err(not_found(said(&status))),
            Err(_) => Err(not_found("it does not answer".to_owned())),
        }
    }

    /// `node` says that it is at `address`. The leader records it, once it has found it there; for the leader itself others say
    /// whether they find it. Answers whether it was found.
    pub(crate) async fn hear_address(&self, node: u64, address: &str) -> Result<bool, MembershipError> {
        let metrics = self.group.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let is_news = membership.get_node(&node).is_some_and(|known| known.addr != address);
        if !is_news || address.is_empty() {
            return Ok(false);
        }
        let is_mine_to_record = metrics.current_leader == Some(self.id);
        if !is_mine_to_record && metrics.current_leader != Some(node) {
            return Ok(false);
        }
        let found = async {
            // Where it answers no other member does, whatever is recorded: two may have changed places.
            self.find(node, address).await?;
            if is_mine_to_record { self.record_address(node, address).await } else { Ok(()) }
        };
        found.await.inspect_err(|error| self.unbelieved(node, error))?;
        Ok(true)
    }

    /// Records the address of this member, which leads, where the others find it there. Alone it asks itself.
    async fn move_myself(&self, membership: &raft::Membership) -> Result<(), MembershipError> {
        let others = self.others(membership);
        if others.is_empty() {
            self.find(self.id, &self.address).await?;
            return self.record_address(self.id, &self.address).await;
        }
        let (mut is_found, mut refusal) = (false, None);
        for (node, address) in others {
            let Some(answer) = self.greet_one(node, &address, MOVE_PATIENCE).await else { continue };
            is_found |= answer.found;
            refusal = refusal.or(Some(answer.refusal).filter(|refusal| !refusal.is_empty()));
        }
        match refusal {
            // One that does not get there outvotes nobody who does.
            _ if is_found => self.record_address(self.id, &self.address).await,
            Some(reason) => Err(MembershipError::NotFound { node: self.id, address: self.address.clone(), reason }),
            // Where nobody answers, the next step asks again.
            None => Ok(()),
        }
    }

    async fn record_address(&self, node: u64, address: &str) -> Result<(), MembershipError> {
        tracing::info!(node, address, "a member has moved");
        let moved = ChangeMembers::SetNodes(BTreeMap::from([(node, BasicNode::new(address))]));
        self.change(moved).await?;
        self.unbelieved.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
        Ok(())
    }

    /// The address that `node` names is not taken. It goes on naming it: what is new is logged, and nothing else.
    fn unbelieved(&self, node: u64, why: &dyn std::fmt::Display) {
        let why = why.to_string();
        let mut unbelieved = self.unbelieved.lock().unwrap_or_else(PoisonError::into_inner);
        if unbelieved.get(&node) != Some(&why) {
            tracing::warn!(node, why, "the address that a member names is not recorded");
            unbelieved.insert(node, why);
        }
    }
}

/// Whether `address` is no other member's.
pub(crate) fn not_taken(membership: &raft::Membership, node: u64, address: &str) -> Result<(), MembershipError> {
    match membership.nodes().find(|(other, known)| **other != node && known.addr == address) {
        Some((other, _)) => Err(MembershipError::AddressTaken { node: *other, address: address.to_owned() }),
        None => Ok(()),
    }
}
