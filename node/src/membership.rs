//! Changes of the group: founding, adding, removing, handing over.
//!
//! Whatever changes the group is done by its leader. Who belongs to it is agreed on through the log like everything else; here
//! are the steps before and after: a new node is told the name of the group before it is sent anything, has the log before
//! it votes, and a leader lets another one lead before it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{
    ChangeMembershipError, ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError,
};
use openraft::{BasicNode, ChangeMembers, Instant as _, RaftMetrics, ReadPolicy};
use roadstead_proto::domain::limits;
use roadstead_proto::rpc::{Dialer, Role};
use roadstead_proto::wire::pb::raft::v1 as pb;
use tokio::time::{Instant, timeout};

use crate::Timing;
use crate::blocking::blocking;
use crate::ending::Ending;
use crate::greeting::not_taken;
use crate::group_name::{AdoptError, GroupName, new_name};
use crate::raft::network::raft_client;
use crate::raft::{Group, LogId, Types};

/// How long another node may take to answer a question that needs no quorum.
pub(crate) const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a new member may take to catch up. A snapshot of ten million entries over a slow link takes minutes.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(600);

/// A member has caught up when it lacks no more than what is on its way anyhow.
const CAUGHT_UP_WITHIN: u64 = 1000;

/// Why the group was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// The node is in a group already.
    #[error("this node is a member of cluster {cluster} already")]
    InGroup {
        /// Which.
        cluster: String,
    },
    /// The node was told the name of a group, and waits to be added to it.
    #[error("this node waits to be added to cluster {cluster}")]
    Promised {
        /// Which.
        cluster: String,
    },
    /// The node is in no group.
    #[error("this node is in no cluster yet: initialise it, or add it to one")]
    Waiting,
    /// Only the leader can do it.
    #[error("this node does not lead; the leader is {}", leader.as_deref().unwrap_or("not known"))]
    NotLeader {
        /// The leader's address, where known.
        leader: Option<String>,
    },
    /// No member has this number.
    #[error("the cluster has no node {node}")]
    NoMember {
        /// The number.
        node: u64,
    },
    /// Another member has this number.
    #[error("node {node} is a member already, at {address}: remove it first, and give a new node a new number")]
    NumberTaken {
        /// The number.
        node: u64,
        /// Where that one is.
        address: String,
    },
    /// Another member has this address.
    #[error("node {node} is at {address} already")]
    AddressTaken {
        /// Who.
        node: u64,
        /// Where.
        address: String,
    },
    /// Whoever answers at an address that a member names is not that member, or nobody answers.
    #[error("node {node} was not found at {address}: {reason}")]
    NotFound {
        /// Who.
        node: u64,
        /// Where.
        address: String,
        /// What was found.
        reason: String,
    },
    /// A member lost its directory.
    #[error(
        "node {node} is a member, and its directory was lost: it must not come back without the votes that it gave; remove it, \
         then add it"
    )]
    Forgetful {
        /// Who.
        node: u64,
    },
    /// The new node does not answer, or refuses.
    #[error("the node at {address} cannot be added: {reason}")]
    Unwilling {
        /// Where.
        address: String,
        /// What it said.
        reason: String,
    },
    /// The new node has not caught up in time. It goes on as a learner.
    #[error("node {node} is a learner now, and has not caught up yet: add it again to promote it")]
    Behind {
        /// Who.
        node: u64,
    },
    /// There would be no voter any more.
    #[error("node {node} is the last voter: removing the last member is forbidden")]
    LastVoter {
        /// Who.
        node: u64,
    },
    /// Another change is under way.
    #[error("another change of the membership is under way: try again when it is done")]
    Busy,
    /// Nobody took the leadership over.
    #[error("no other voter took the leadership over")]
    NoSuccessor,
    /// No quorum, or the node stopped: the change may have happened.
    #[error("the cluster did not answer: {0}")]
    Unavailable(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Why a node does not let itself be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    #[error(
        "it says that the others reach it at {mine}: add it by that address, or start it again with the address {asked} as its own"
    )]
    OtherAddress { mine: String, asked: String },
    #[error(
        "node {node} was a member of cluster {cluster} before, and its directory is of that time: start it with an empty one, and \
         best with a new number"
    )]
    Returning { node: u64, cluster: String },
    #[error(transparent)]
    Name(#[from] AdoptError),
    #[error("it has stopped: {0}")]
    Stopped(String),
}

/// A member to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Its number: one that no member has.
    pub node: u64,
    /// Where it is reached, `host:port`.
    pub address: String,
    /// Whether it gets a vote; else it stays a learner, which only follows.
    pub voter: bool,
}

/// The part of a member that changes the group.
pub struct Membership {
    pub(crate) id: u64,
    pub(crate) address: String,
    pub(crate) timing: Timing,
    pub(crate) name: Arc<GroupName>,
    pub(crate) dialer: Dialer,
    pub(crate) ending: Arc<Ending>,
    pub(crate) group: Group,
    /// When a leader was last heard. Raft itself goes on naming the last one it knew.
    pub(crate) heard_at: Mutex<Option<Instant>>,
    /// Of members that name an address which is not taken: what was said of it last.
    pub(crate) unbelieved: Mutex<BTreeMap<u64, String>>,
}

impl Membership {
    /// Founds a group with this waiting node as its only member. Answers the group's name.
    ///
    /// # Errors
    /// Where it is in a group, or promised to one.
    pub async fn init(&self) -> Result<String, MembershipError> {
        let founded = self.group.is_initialized().await.map_err(unavailable)?;
        if let Some(cluster) = self.name.get().map(str::to_owned) {
            return Err(if founded {
                MembershipError::InGroup { cluster }
            } else {
                MembershipError::Promised { cluster }
            });
        }
        self.found().await
    }

    /// Founds the group where there is none, and gives it a name where it has none: a crash may come between the two.
    pub(crate) async fn found(&self) -> Result<String, MembershipError> {
        if !self.group.is_initialized().await.map_err(unavailable)? {
            let me = (self.id, BasicNode::new(&self.address));
            self.group.initialize(BTreeMap::from([me])).await.map_err(unavailable)?;
        }
        self.name_group().await
    }

    async fn name_group(&self) -> Result<String, MembershipError> {
        let name = new_name().map_err(unavailable)?;
        self.join(name.clone()).await.map_err(unavailable)?;
        Ok(name)
    }

    /// Takes the name of a group that is about to add this node, which it calls `address`.
    ///
    /// Whoever is added knows nothing: a member that was removed does not come back with the directory of before, which may also
    /// be a copy of it. What it has forgotten harms nobody, even under the same number: a majority that does not count it has
    /// agreed on its removal, and whoever does not know of that gets neither a vote nor an acknowledgement from that majority.
    pub(crate) async fn accept(&self, cluster: String, address: &str) -> Result<(), JoinError> {
        if !address.is_empty() && address != self.address {
            return Err(JoinError::OtherAddress { mine: self.address.clone(), asked: address.to_owned() });
        }
        let knows_something =
            self.group.is_initialized().await.map_err(|error| JoinError::Stopped(error.to_string()))?;
        if knows_something && self.name.get() == Some(&cluster) {
            return Err(JoinError::Returning { node: self.id, cluster });
        }
        Ok(self.join(cluster).await?)
    }

    /// Takes the name of a group.
    pub(crate) async fn join(&self, cluster: String) -> Result<(), AdoptError> {
        let name = Arc::clone(&self.name);
        blocking(move || Ok(name.adopt(&cluster))).await?
    }

    /// Adds a member: first as a learner, and promoted once it has caught up. Doing it again takes up where it was left.
    ///
    /// # Errors
    /// Where it was not added, or not promoted.
    pub async fn add(&self, new: &NewMember) -> Result<(), MembershipError> {
        if new.node == 0 {
            return Err(MembershipError::Invalid("the numbers of nodes begin at 1"));
        }
        if new.address.is_empty() {
            return Err(MembershipError::Invalid("a node needs an address that the others reach"));
        }
        self.settled().await;
        let metrics = self.leading()?;
        let membership = metrics.membership_config.membership();
        not_taken(membership, new.node, &new.address)?;
        match membership.get_node(&new.node) {
            Some(known) if known.addr != new.address => {
                return Err(MembershipError::NumberTaken { node: new.node, address: known.addr.clone() });
            }
            // A member that is one already is not invited again: where it has lost its directory it waits like a new one, and
            // must not come back without the votes that it gave. One that does not answer now may do so in time.
            Some(known) if new.node != self.id => {
                if let Err(forgetful @ MembershipError::Forgetful { .. }) = self.find(new.node, &known.addr).await {
                    return Err(forgetful);
                }
            }
            Some(_) => {}
            None => {
                self.confirm_absence(new.node).await?;
                self.invite(new).await?;
                let learner = BTreeMap::from([(new.node, BasicNode::new(&new.address))]);
                self.change(ChangeMembers::AddNodes(learner)).await?;
                tracing::info!(node = new.node, address = new.address, "a learner was added");
            }
        }
        self.caught_up(new.node).await?;
        let is_voter = membership.voter_ids().any(|voter| voter == new.node);
        if new.voter && !is_voter {
            self.change(ChangeMembers::AddVoterIds(BTreeSet::from([new.node]))).await?;
            tracing::info!(node = new.node, address = new.address, "the learner is a voter now");
        }
        Ok(())
    }

    /// Makes sure that the group knows of no such member, and that no change is under way that could still say otherwise. A
    /// leader that was deposed and does not know it could name the group to a node that is a voter by now and has lost its
    /// directory: that node would vote a second time. It also cannot add anybody, and must not claim a node that is free.
    async fn confirm_absence(&self, node: u64) -> Result<(), MembershipError> {
        self.confirm_leadership().await?;
        let metrics = self.leading()?;
        let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
        if effective.log_id() != committed.log_id() || effective.membership().get_node(&node).is_some() {
            return Err(MembershipError::Busy);
        }
        Ok(())
    }

    /// Tells a new node the name of the group: whoever answers for that address has to be it, and new.
    async fn invite(&self, new: &NewMember) -> Result<(), MembershipError> {
        let unwilling = |reason: String| MembershipError::Unwilling { address: new.address.clone(), reason };
        let channel = self.dialer.channel(&new.address, Role::Node).map_err(|error| unwilling(error.to_string()))?;
        let request = pb::JoinRequest { envelope: Some(self.name.envelope(new.node)), address: new.address.clone() };
        let joined = timeout(2 * ASK_PATIENCE, async { raft_client(channel).join(request).await }).await;
        match joined {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(unwilling(said(&status))),
            Err(_) => Err(unwilling("it does not answer".to_owned())),
        }
    }

    /// Returns once the member has almost everything that this leader has.
    async fn caught_up(&self, node: u64) -> Result<(), MembershipError> {
        if node == self.id {
            return Ok(());
        }
        let mut metrics = self.group.metrics();
        let wait = async {
            loop {
                {
                    let now = metrics.borrow_watched();
                    let Some(replication) = &now.replication else {
                        return Err(self.not_leader(&now));
                    };
                    let has = replication.get(&node).copied().flatten().map_or(0, |id: LogId| id.index + 1);
                    if has > 0 && has + CAUGHT_UP_WITHIN > now.last_log_index.map_or(0, |last| last + 1) {
                        return Ok(());
                    }
                }
                metrics.changed().await.map_err(unavailable)?;
            }
        };
        timeout(CATCH_UP_PATIENCE, wait).await.unwrap_or(Err(MembershipError::Behind { node }))
    }

    /// Removes a member, alive or dead. A leader that removes itself lets another one lead first, which then has to be asked.
    ///
    /// # Errors
    /// Where it was not removed.
    pub async fn remove(&self, node: u64) -> Result<(), MembershipError> {
        self.settled().await;
        let metrics = self.leading()?;
        let membership = metrics.membership_config.membership();
        if membership.get_node(&node).is_none() {
            return Err(MembershipError::NoMember { node });
        }
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        if voters == BTreeSet::from([node]) {
            return Err(MembershipError::LastVoter { node });
        }
        if node == self.id {
            let leader = self.transfer(None).await?;
            let leader =
                self.group.metrics().borrow_watched().membership_config.membership().get_node(&leader).cloned();
            return Err(MembershipError::NotLeader { leader: leader.map(|node| node.addr) });
        }
        let gone = BTreeSet::from([node]);
        let change =
            if voters.contains(&node) { ChangeMembers::RemoveVoters(gone) } else { ChangeMembers::RemoveNodes(gone) };
        self.change(change).await?;
        tracing::info!(node, "a member was removed");
        Ok(())
    }

    /// Lets another voter lead: `to`, or whoever is most up to date. Answers who leads then.
    ///
    /// # Errors
    /// Where nobody took it over in time.
    pub async fn transfer(&self, to: Option<u64>) -> Result<u64, MembershipError> {
        self.settled().await;
        let metrics = self.leading()?;
        if to == Some(self.id) {
            return Ok(self.id);
        }
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let heir = match to {
            Some(to) if voters.contains(&to) => to,
            Some(to) => return Err(MembershipError::NoMember { node: to }),
            None => most_up_to_date(&metrics, self.id, &voters, self.timing.election_max)
                .ok_or(MembershipError::NoSuccessor)?,
        };
        tracing::info!(to = heir, "handing the leadership over");
        self.group.trigger().transfer_leader(heir).await.map_err(unavailable)?;
        let is_over = |metrics: &RaftMetrics<Types>| metrics.current_leader.is_some_and(|leader| leader != self.id);
        let wait = self.group.wait(Some(self.timing.hand_over));
        let metrics = wait.metrics(is_over, "another leader").await.map_err(|_| MembershipError::NoSuccessor)?;
        metrics.current_leader.ok_or(MembershipError::NoSuccessor)
    }

    /// Lets another member lead where this one does and can, for a bounded time: it is about to stop.
    pub async fn hand_over(&self) {
        let Ok(metrics) = self.leading() else { return };
        let is_alone = self.group.voter_ids().eq([self.id]);
        // Where no quorum answers there is nobody who could take over.
        let is_deserted = metrics.last_quorum_acked.is_none_or(|at| at.elapsed() > 2 * self.timing.election_max);
        if is_alone || is_deserted {
            return;
        }
        match self.transfer(None).await {
            Ok(leader) => tracing::info!(leader, "another node leads now"),
            Err(error) => tracing::warn!(%error, "the leadership was not handed over: the others will elect"),
        }
    }

    /// One change of the membership, committed when this returns.
    pub(crate) async fn change(&self, change: ChangeMembers<u64, BasicNode>) -> Result<(), MembershipError> {
        let changed = async {
            loop {
                match self.group.change_membership(change.clone(), false).await {
                    Ok(_) => return Ok(()),
                    Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => match forward.reason {
                        // This member leads, and its reign has just begun. Nothing of this step was appended.
                        ForwardReason::LeaseExpired => self.confirm_leadership().await?,
                        _ => return Err(not_leader(forward)),
                    },
                    Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(
                        ChangeMembershipError::InProgress(_),
                    ))) => return Err(MembershipError::Busy),
                    Err(error) => return Err(unavailable(error)),
                }
            }
        };
        // What was begun goes on though nobody waits any more.
        timeout(self.timing.patience * 2, changed).await.unwrap_or_else(|_| Err(no_quorum()))
    }

    /// Makes sure by a quorum that this member leads now.
    async fn confirm_leadership(&self) -> Result<(), MembershipError> {
        match timeout(self.timing.patience, self.group.ensure_linearizable(ReadPolicy::ReadIndex)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => Err(not_leader(forward)),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(no_quorum()),
        }
    }

    /// Returns once it is clear who leads, or does not become so in time: whoever was just elected may be asked before it
    /// knows.
    async fn settled(&self) {
        if self.name.get().is_none() {
            return;
        }
        let is_settled = |metrics: &RaftMetrics<Types>| {
            let leads = metrics.state == openraft::ServerState::Leader;
            metrics.current_leader.is_some_and(|leader| leader != self.id || leads)
        };
        // Where it stays unclear, the caller is told that no leader is known.
        let _ = self.group.wait(Some(self.timing.hand_over)).metrics(is_settled, "a leader").await;
    }

    /// What raft says, where this member leads.
    pub(crate) fn leading(&self) -> Result<RaftMetrics<Types>, MembershipError> {
        if self.name.get().is_none() {
            return Err(MembershipError::Waiting);
        }
        let metrics = self.group.metrics().borrow_watched().clone();
        if metrics.current_leader == Some(self.id) && metrics.state == openraft::ServerState::Leader {
            Ok(metrics)
        } else {
            Err(self.not_leader(&metrics))
        }
    }

    fn not_leader(&self, metrics: &RaftMetrics<Types>) -> MembershipError {
        let leader = metrics.current_leader.filter(|leader| *leader != self.id);
        let leader = leader.and_then(|leader| metrics.membership_config.membership().get_node(&leader));
        MembershipError::NotLeader { leader: leader.map(|node| node.addr.clone()) }
    }

    /// A leader was heard.
    pub(crate) fn heard(&self) {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether this member hears of what the group decides. One that is cut off shows what it has, but must not let watchers
    /// believe that nothing has happened since.
    pub(crate) fn is_current(&self) -> bool {
        let lately = limits::WATCH_SILENCE_MAX / 2;
        if self.group.voter_ids().eq([self.id]) {
            return true;
        }
        match self.leading() {
            Ok(metrics) => metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < lately),
            Err(_) => {
                let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
                heard_at.is_some_and(|at| at.elapsed() < lately)
            }
        }
    }
}

/// The other voter with the longest log, among those that were heard of last.
fn most_up_to_date(metrics: &RaftMetrics<Types>, me: u64, voters: &[u64], lately: Duration) -> Option<u64> {
    let replication = metrics.replication.as_ref()?;
    let has = |voter: &u64| replication.get(voter).copied().flatten();
    let acked = |voter: &u64| metrics.heartbeat.as_ref().and_then(|heard| heard.get(voter).cloned()).flatten();
    let others = voters.iter().filter(|voter| **voter != me);
    others.max_by_key(|voter| (acked(voter).is_some_and(|at| at.elapsed() < lately), has(voter))).copied()
}

fn not_leader(forward: ForwardToLeader<Types>) -> MembershipError {
    MembershipError::NotLeader { leader: forward.leader_node.map(|node| node.addr) }
}

fn no_quorum() -> MembershipError {
    MembershipError::Unavailable("no quorum answered in time".to_owned())
}

fn unavailable(error: impl std::fmt::Display) -> MembershipError {
    MembershipError::Unavailable(error.to_string())
}

/// What the other side said.
pub(crate) fn said(status: &tonic::Status) -> String {
    match status.code() {
        tonic::Code::FailedPrecondition | tonic::Code::PermissionDenied => status.message().to_owned(),
        _ => roadstead_proto::rpc::status::from_status(status).to_string(),
    }
}
