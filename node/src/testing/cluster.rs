//! Several members in one process, with real files, over a network that a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use roadstead_proto::clock::{Clock, SystemClock};
use roadstead_proto::meta::{Consistency, MetaStore};
use roadstead_proto::offload::offload;

use super::power::Power;
use crate::raft::codec::Stored;
use crate::raft::network::MembershipWatch;
use crate::raft::snapshot::{SnapshotFile, Snapshots};
use crate::raft::{Entry, Group, Snapshot, Types, Vote};
use crate::{Compaction, Components, Config, Formation, Node, Timing};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members 1 to n. They are told apart by their number.
pub struct Cluster {
    root: PathBuf,
    name: String,
    wire: Arc<Wire>,
    members: BTreeMap<u64, Member>,
    clock: Arc<dyn Clock>,
    timing: Timing,
    compaction: Compaction,
}

struct Member {
    node: Arc<Node>,
    power: Power,
}

impl Cluster {
    /// A group of `size` members below `root`, all of them voters.
    pub async fn start(root: &Path, size: u64) -> Self {
        Self::start_with(root, size, Compaction::default(), Arc::new(SystemClock)).await
    }

    /// The same, with its own compaction and clock.
    pub async fn start_with(root: &Path, size: u64, compaction: Compaction, clock: Arc<dyn Clock>) -> Self {
        let timing = Timing {
            // Short enough for a test, long enough for a machine that runs many of them at once.
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(1000),
            election_max: Duration::from_millis(1500),
            patience: Duration::from_secs(4),
            // Tests take this step by hand.
            session_check: Duration::from_secs(3600),
            // There is nobody at these addresses.
            greet: Duration::from_secs(3600),
            ..Timing::default()
        };
        let wire = Arc::new(Wire::default());
        let members = BTreeMap::new();
        let mut cluster = Self { root: root.to_owned(), name: String::new(), wire, members, clock, timing, compaction };
        cluster.start_member(1).await;
        cluster.node(1).ready().await.expect("member 1 founds the group");
        cluster.name = cluster.node(1).cluster().expect("it has a name").to_owned();
        for id in 2..=size {
            cluster.start_member(id).await;
            cluster.add_learner(1, id).await;
        }
        if size > 1 {
            let voters: BTreeSet<u64> = (1..=size).collect();
            cluster.group(1).change_membership(voters, false).await.expect("all become voters");
        }
        cluster
    }

    /// Starts a member, or starts it again.
    pub async fn start_member(&mut self, id: u64) {
        let formation = match id {
            1 => Formation::Alone,
            _ => Formation::Wait,
        };
        let power = Power::on(id);
        let config = Config {
            data_dir: self.directory(id),
            node_id: id,
            address: address(id),
            formation,
            timing: self.timing.clone(),
            compaction: self.compaction.clone(),
        };
        let medium = Arc::new(power.clone());
        let components = Components { clock: Arc::clone(&self.clock), medium, ..Components::default() };
        let network = Network { from: id, wire: Arc::clone(&self.wire) };
        let connect = |_| -> (Network, Box<dyn FnOnce(MembershipWatch) + Send>) { (network, Box::new(drop)) };
        let node = Node::start_with(config, components, connect).await.expect("the member starts");
        if !self.name.is_empty() {
            node.membership().join(self.name.clone()).await.expect("the name of the group");
        }
        let node = Arc::new(node);
        let (group, snapshots) = (node.meta().group.clone(), Arc::clone(&node.snapshots));
        self.wire.state().peers.insert(id, Peer { node: Arc::downgrade(&node), group, snapshots });
        self.members.insert(id, Member { node, power });
    }

    /// Lets the member `by`, which must lead, add the running member `id` as a learner; returns once it has caught up.
    pub async fn add_learner(&self, by: u64, id: u64) {
        self.group(by).add_learner(id, BasicNode::new(address(id)), true).await.expect("the leader adds a learner");
    }

    /// The directory of a member, running or not.
    pub fn directory(&self, id: u64) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// A running member.
    pub fn node(&self, id: u64) -> &Arc<Node> {
        &self.members[&id].node
    }

    fn group(&self, id: u64) -> Group {
        self.node(id).meta().group.clone()
    }

    /// Returns the leader once every one of `among` follows the same one of them, and a quorum confirms it.
    pub async fn leader_of(&self, among: &[u64]) -> u64 {
        loop {
            let mut leaders = BTreeSet::new();
            for id in among {
                let known = |leader: Option<u64>| leader.is_some_and(|leader| among.contains(&leader));
                let wait = self.group(*id).wait(Some(PATIENCE));
                let metrics = wait.metrics(|metrics| known(metrics.current_leader), "a leader among them").await;
                leaders.extend(metrics.expect("a leader is elected").current_leader);
            }
            if let [leader] = leaders.into_iter().collect::<Vec<_>>()[..]
                && self.node(leader).meta().configuration(Consistency::Linearizable).await.is_ok()
            {
                return leader;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns once the member has applied `index`.
    pub async fn applied(&self, id: u64, index: u64) {
        let wait = self.group(id).wait(Some(PATIENCE));
        wait.applied_index_at_least(Some(index), "the member catches up").await.expect("the member catches up");
    }

    /// Returns once the member's snapshot covers `index` and its log is purged.
    pub async fn compacted(&self, id: u64, index: u64) {
        let wait = self.group(id).wait(Some(PATIENCE));
        let covers = |id: Option<u64>| id.is_some_and(|id| id >= index);
        let is_compacted = |metrics: &openraft::RaftMetrics<Types>| {
            covers(metrics.snapshot.map(|id| id.index)) && metrics.purged.is_some()
        };
        wait.metrics(is_compacted, "the log is compacted").await.expect("the log is compacted");
    }

    /// Lets the leader hand over to another member, as before a planned stop.
    pub async fn transfer(&self, from: u64, to: u64) {
        self.group(from).trigger().transfer_leader(to).await.expect("the leader is running");
    }

    /// Cuts a member off from all others, in both directions.
    pub fn isolate(&self, id: u64) {
        self.wire.state().isolated.insert(id);
    }

    /// Connects everybody again.
    pub fn heal(&self) {
        self.wire.state().isolated.clear();
    }

    /// Stops a member in an orderly way.
    pub async fn stop(&mut self, id: u64) {
        self.wire.state().peers.remove(&id);
        self.members.remove(&id).expect("a running member").node.shutdown().await.expect("an orderly stop");
    }

    /// Takes the power from a member.
    pub async fn crash(&mut self, id: u64) {
        self.wire.state().peers.remove(&id);
        let member = self.members.remove(&id).expect("a running member");
        member.power.cut();
        member.node.crash().await;
    }
}

/// Where a member says that it is reached.
pub fn address(id: u64) -> String {
    format!("member-{id}:1")
}

/// What connects the members: calls, that a test can cut.
#[derive(Default)]
struct Wire(Mutex<WireState>);

#[derive(Default)]
struct WireState {
    peers: BTreeMap<u64, Peer>,
    isolated: BTreeSet<u64>,
}

#[derive(Clone)]
struct Peer {
    node: Weak<Node>,
    group: Group,
    snapshots: Arc<Snapshots>,
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, WireState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Network {
    from: u64,
    wire: Arc<Wire>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Link {
        Link { from: self.from, to: target, wire: Arc::clone(&self.wire) }
    }
}

struct Link {
    from: u64,
    to: u64,
    wire: Arc<Wire>,
}

impl Link {
    fn peer(&self) -> Result<Peer, Unreachable<Types>> {
        let state = self.wire.state();
        if state.isolated.contains(&self.from) || state.isolated.contains(&self.to) {
            return Err(Unreachable::from_string("the line is cut"));
        }
        state.peers.get(&self.to).cloned().ok_or_else(|| Unreachable::from_string("the member is down"))
    }

    /// One call; the answer too has to come through.
    async fn call<T, E, F>(&self, option: &RPCOption, act: impl FnOnce(Peer) -> F) -> Result<T, Unreachable<Types>>
    where
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        let peer = self.peer()?;
        let answer = tokio::time::timeout(option.hard_ttl(), act(peer)).await;
        self.peer()?;
        answer.map_err(Unreachable::from_string)?.map_err(Unreachable::from_string)
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        mut rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // Over the codec, as it will be over a real wire.
        rpc.entries = rpc
            .entries
            .iter()
            .map(|entry| Entry::decode(&entry.encode()))
            .collect::<Result<_, _>>()
            .expect("entries decode");
        let append = |peer: Peer| async move {
            peer.node.upgrade().iter().for_each(|node| node.membership().heard());
            peer.group.append_entries(rpc).await
        };
        Ok(self.call(&option, append).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.call(&option, |peer| async move { peer.group.vote(rpc).await }).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(self.call(&option, |peer| async move { peer.group.pre_vote(rpc).await }).await?)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        Ok(self.call(&option, |peer| async move { peer.group.handle_transfer_leader(request).await }).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let install = |peer: Peer| async move {
            let snapshots = Arc::clone(&peer.snapshots);
            let copy = offload(move || copy(&snapshots, snapshot));
            let snapshot = copy.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            peer.group.install_full_snapshot(vote, snapshot).await.map_err(|error| error.to_string())
        };
        Ok(self.call(&option, install).await?)
    }
}

/// Sends a snapshot piece by piece, as a transport will.
fn copy(to: &Snapshots, mut from: Snapshot) -> std::io::Result<Snapshot> {
    let mut incoming = to.receive()?;
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.snapshot.read(&mut piece)? {
            0 => return Ok(Snapshot { meta: from.meta, snapshot: incoming.finish()? }),
            read => incoming.write(&piece[..read])?,
        }
    }
}
