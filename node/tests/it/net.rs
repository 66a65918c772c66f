//! Members in one process that speak gRPC over loopback, by mutual TLS, over lines that a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use roadstead_node::testing::power::Power;
use roadstead_node::{Compaction, Components, Config, Formation, LocalMeta, Node, Timing};
use roadstead_proto::meta::{Consistency, MetaStore};
use roadstead_proto::rpc::{Connect, Connection, Dialer, Identity, Role};
use roadstead_proto::wire::pb::admin::v1 as pb;
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use roadstead_proto::wire::pb::meta::v1::WatchRequest;
use roadstead_proto::wire::pb::meta::v1::meta_client::MetaClient;
use roadstead_proto::wire::pb::raft::v1 as raft;
use roadstead_proto::wire::pb::raft::v1::raft_client::RaftClient;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::Channel;
use tonic::transport::server::TcpIncoming;

use crate::certificates::Authority;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Net {
    root: TempDir,
    pub(crate) authority: Authority,
    node_identity: Identity,
    admin: Dialer,
    lines: Arc<Lines>,
    addresses: BTreeMap<u64, String>,
    /// What members say that their address is, where it is not true.
    said: BTreeMap<u64, String>,
    members: BTreeMap<u64, Member>,
    pub(crate) timing: Timing,
    pub(crate) compaction: Compaction,
}

pub(crate) struct Member {
    pub(crate) node: Arc<Node>,
    power: Power,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Net {
    pub(crate) fn new() -> Self {
        let authority = Authority::new();
        Self {
            root: TempDir::new().expect("a temporary directory"),
            node_identity: authority.identity(Role::Node),
            admin: Dialer::new(Some(authority.identity(Role::Admin))),
            authority,
            lines: Arc::default(),
            addresses: BTreeMap::new(),
            said: BTreeMap::new(),
            members: BTreeMap::new(),
            timing: Timing { session_check: Duration::from_secs(3600), ..Timing::default() },
            compaction: Compaction::default(),
        }
    }

    /// Members that `other` takes for members of its own authority, and that it has never heard of.
    pub(crate) fn beside(other: &Self) -> Self {
        Self { node_identity: other.node_identity.clone(), ..Self::new() }
    }

    /// A group of `size` voters.
    pub(crate) async fn group(size: u64) -> Self {
        let mut net = Self::new();
        net.form(size).await;
        net
    }

    pub(crate) async fn form(&mut self, size: u64) {
        self.start(1).await;
        self.admin(1).init(pb::InitRequest {}).await.expect("the group is founded");
        self.node(1).ready().await.expect("member 1 leads");
        for id in 2..=size {
            self.start(id).await;
            self.add(1, id, true).await.expect("a member is added");
        }
    }

    /// Starts a member that waits, or starts one again where it was.
    pub(crate) async fn start(&mut self, id: u64) {
        self.start_as(id, Formation::Wait).await;
    }

    pub(crate) async fn start_as(&mut self, id: u64, formation: Formation) {
        let at = self.addresses.get(&id).cloned().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let listener = TcpListener::bind(at).await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        self.addresses.insert(id, address.clone());
        self.lines.state().by_address.insert(address.clone(), id);
        let power = Power::on(id);
        let config = Config {
            data_dir: self.directory(id),
            node_id: id,
            address: self.said.get(&id).cloned().unwrap_or(address),
            formation,
            timing: self.timing.clone(),
            compaction: self.compaction.clone(),
        };
        let line = Arc::new(Line { from: id, lines: Arc::clone(&self.lines) });
        let components = Components {
            medium: Arc::new(power.clone()),
            dialer: Dialer::new(Some(self.node_identity.clone())).with_connect(line),
            ..Components::default()
        };
        let node = Arc::new(Node::start(config, components).await.expect("the member starts"));
        let (stop, identity) = (CancellationToken::new(), self.node_identity.clone());
        let served = tokio::spawn({
            let (node, stop) = (Arc::clone(&node), stop.clone());
            async move {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                roadstead_node::grpc::serve(node, incoming, Some(&identity), stop).await.expect("it serves");
            }
        });
        self.members.insert(id, Member { node, power, stop, served });
    }

    pub(crate) fn directory(&self, id: u64) -> std::path::PathBuf {
        self.root.path().join(id.to_string())
    }

    pub(crate) fn root(&self) -> &std::path::Path {
        self.root.path()
    }

    pub(crate) fn address(&self, id: u64) -> String {
        self.addresses[&id].clone()
    }

    /// The member gets another address at its next start.
    pub(crate) fn forget_address(&mut self, id: u64) {
        self.addresses.remove(&id);
    }

    /// The member says from its next start on that this is its address.
    pub(crate) fn says(&mut self, id: u64, address: &str) {
        self.said.insert(id, address.to_owned());
    }

    /// The member has lost everything that it knew, at its next start.
    pub(crate) fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.directory(id)).expect("a stopped member's directory");
    }

    /// Where the members are, as `by` knows it.
    pub(crate) async fn addresses(&self, by: u64) -> BTreeMap<u64, String> {
        let status = self.admin(by).status(pb::StatusRequest { local: false }).await.expect("a status").into_inner();
        status.nodes.into_iter().map(|node| (node.node, node.address)).collect()
    }

    /// Opens a watch of a member's changes as a gateway does.
    pub(crate) async fn watch(&self, id: u64) -> Result<(), tonic::Status> {
        let dialer = Dialer::new(Some(self.authority.identity(Role::Gateway)));
        let channel = dialer.channel(&self.address(id), Role::Node).expect("a channel");
        let after = self.node(id).status().applied.unwrap_or(0);
        MetaClient::new(channel).watch(WatchRequest { after }).await.map(drop)
    }

    /// Greets a member as another one does that says that it is at `address`.
    pub(crate) async fn greet(&self, by: u64, to: u64, address: &str) -> raft::GreetResponse {
        let dialer = Dialer::new(Some(self.node_identity.clone()));
        let channel = dialer.channel(&self.address(to), Role::Node).expect("a channel");
        let cluster = self.node(to).cluster().expect("it is in a group").to_owned();
        let envelope = Some(raft::Envelope { cluster, from: by, to });
        let request = raft::GreetRequest { envelope, address: address.to_owned() };
        RaftClient::new(channel).greet(request).await.expect("an answer").into_inner()
    }

    pub(crate) fn node(&self, id: u64) -> &Node {
        &self.members[&id].node
    }

    pub(crate) fn meta(&self, id: u64) -> Arc<LocalMeta> {
        self.node(id).meta()
    }

    /// How often the member synced a file since it started.
    pub(crate) fn syncs(&self, id: u64) -> u64 {
        self.members[&id].power.syncs()
    }

    pub(crate) fn running(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// Asks a member as an administrator.
    pub(crate) fn admin(&self, id: u64) -> AdminClient<Channel> {
        AdminClient::new(self.admin.channel(&self.address(id), Role::Node).expect("a channel"))
    }

    pub(crate) async fn add(&self, by: u64, id: u64, voter: bool) -> Result<(), tonic::Status> {
        let request = pb::AddNodeRequest { node: id, address: self.address(id), voter };
        self.admin(by).add_node(request).await.map(drop)
    }

    pub(crate) async fn remove(&self, by: u64, id: u64) -> Result<(), tonic::Status> {
        self.admin(by).remove_node(pb::RemoveNodeRequest { node: id }).await.map(drop)
    }

    /// Returns the leader once all of `among` know the same one, among them, and a quorum confirms it.
    pub(crate) async fn leader(&self, among: &[u64]) -> u64 {
        let found = async {
            loop {
                let known: BTreeSet<_> = among.iter().map(|id| self.node(*id).status().leader).collect();
                if let [Some(leader)] = known.into_iter().collect::<Vec<_>>()[..]
                    && among.contains(&leader)
                    && self.meta(leader).configuration(Consistency::Linearizable).await.is_ok()
                {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("a leader is elected")
    }

    /// Returns once something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// Stops a member in an orderly way.
    pub(crate) async fn stop(&mut self, id: u64) {
        let member = self.members.remove(&id).expect("a running member");
        member.stop.cancel();
        member.served.await.expect("it served");
        member.node.shutdown().await.expect("an orderly stop");
    }

    /// Takes the power from a member.
    pub(crate) async fn crash(&mut self, id: u64) {
        let member = self.members.remove(&id).expect("a running member");
        member.power.cut();
        self.lines.hang_up(id);
        member.served.abort();
        member.node.crash().await;
    }

    /// Cuts a member off from all others, in both directions.
    pub(crate) fn isolate(&self, id: u64) {
        self.lines.state().isolated.insert(id);
        self.lines.hang_up(id);
    }

    /// Nothing that `from` says gets to `to` on a connection that it opens.
    pub(crate) fn cut(&self, from: u64, to: u64) {
        self.lines.state().cut.insert((from, to), 0);
    }

    /// How often `from` has tried to get through to `to` since it was cut off from it.
    pub(crate) fn tried(&self, from: u64, to: u64) -> u32 {
        self.lines.state().cut.get(&(from, to)).copied().unwrap_or(0)
    }

    /// Connects everybody again.
    pub(crate) fn heal(&self) {
        let mut state = self.lines.state();
        state.isolated.clear();
        state.cut.clear();
    }
}

pub(crate) fn others(of: u64) -> Vec<u64> {
    (1..=3).filter(|id| *id != of).collect()
}

/// Who is connected with whom.
#[derive(Default)]
struct Lines(Mutex<LinesState>);

#[derive(Default)]
struct LinesState {
    by_address: BTreeMap<String, u64>,
    isolated: BTreeSet<u64>,
    /// From whom to whom no connection comes about, and how often one was tried.
    cut: BTreeMap<(u64, u64), u32>,
    open: Vec<(u64, u64, CancellationToken)>,
}

impl Lines {
    fn state(&self) -> MutexGuard<'_, LinesState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hang_up(&self, id: u64) {
        self.state().open.retain(|(from, to, token)| {
            let ends = *from == id || *to == id;
            if ends {
                token.cancel();
            }
            !ends
        });
    }
}

struct Line {
    from: u64,
    lines: Arc<Lines>,
}

#[async_trait]
impl Connect for Line {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let token = CancellationToken::new();
        {
            let mut state = self.lines.state();
            let to = state.by_address.get(address).copied().unwrap_or(0);
            if let Some(tried) = state.cut.get_mut(&(self.from, to)) {
                *tried += 1;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            if state.isolated.contains(&self.from) || state.isolated.contains(&to) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            state.open.push((self.from, to, token.clone()));
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(Cuttable { stream, cut: Box::pin(token.cancelled_owned()) }))
    }
}

struct Cuttable {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for Cuttable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
