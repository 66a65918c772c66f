//! Outgoing RPCs: openraft's network over gRPC.
//!
//! Each call looks up where its target is *now*, so that a member may move while others replicate to it, and says which
//! group and which member it is for. Every call has a deadline, and calls to one member never wait for another one:
//! openraft drives each from tasks of its own, over a connection of its own.
//!
//! A group of one asks nobody and uses the same code.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::future::{Either, select};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::metrics::RaftServerMetrics;
use openraft::network::RPCOption;
use openraft::network::RPCTypes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use roadstead_proto::domain::limits;
use roadstead_proto::rpc::{Dialer, Role};
use roadstead_proto::wire::pb::raft::v1 as pb;
use roadstead_proto::wire::pb::raft::v1::raft_client::RaftClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::codec::Stored;
use super::snapshot::SnapshotFile;
use super::{Snapshot, Types, Vote, wire};
use crate::blocking::blocking;
use crate::group_name::GroupName;

/// How long an append with entries may take. openraft's own limit is a heartbeat's interval, which is shorter than an
/// fsync on a busy disk: the same entries would be sent again and again.
const APPEND_PATIENCE: Duration = Duration::from_secs(3);

/// A snapshot travels in pieces of this size.
const SNAPSHOT_PIECE: usize = 256 << 10;

/// A transfer of a snapshot that moves no byte for so long is ended, and begun anew.
const SNAPSHOT_STALL: Duration = Duration::from_secs(10);

/// The membership as this member knows it; set once raft has started.
pub(crate) type MembershipWatch = openraft::alias::WatchReceiverOf<Types, RaftServerMetrics<Types>>;

/// Makes the connections to the other members.
#[derive(Clone)]
pub(crate) struct Peers {
    me: u64,
    name: Arc<GroupName>,
    dialer: Dialer,
    membership: Arc<OnceLock<MembershipWatch>>,
    /// Those that did not answer last: what changes is logged, and nothing else.
    silent: Arc<Mutex<BTreeSet<u64>>>,
}

impl Peers {
    pub(crate) fn new(me: u64, name: Arc<GroupName>, dialer: Dialer) -> Self {
        Self { me, name, dialer, membership: Arc::default(), silent: Arc::default() }
    }

    /// From here on addresses are looked up in the group's membership.
    pub(crate) fn follow(&self, membership: MembershipWatch) {
        let _ = self.membership.set(membership);
    }

    fn address(&self, target: u64) -> Option<String> {
        let watch = self.membership.get()?;
        let metrics = watch.borrow_watched();
        metrics.membership_config.membership().get_node(&target).map(|node| node.addr.clone())
    }

    fn heard_of(&self, target: u64, address: &str, error: Option<&str>) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) if silent.insert(target) => {
                tracing::warn!(node = target, address, error, "a member does not answer");
            }
            None if silent.remove(&target) => tracing::info!(node = target, address, "a member answers again"),
            _ => {}
        }
    }
}

impl RaftNetworkFactory<Types> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Peer {
        Peer { peers: self.clone(), target, known_address: node.addr.clone() }
    }
}

/// The way to one member.
pub(crate) struct Peer {
    peers: Peers,
    target: u64,
    /// Where it was when this was made.
    known_address: String,
}

type Called<T> = Result<Response<T>, Status>;

impl Peer {
    fn address(&self) -> String {
        self.peers.address(self.target).unwrap_or_else(|| self.known_address.clone())
    }

    fn envelope(&self) -> pb::Envelope {
        self.peers.name.envelope(self.target)
    }

    fn client(&self, address: &str) -> Result<RaftClient<Channel>, Unreachable<Types>> {
        let channel = self.peers.dialer.channel(address, Role::Node).map_err(|error| Unreachable::new(&error))?;
        Ok(raft_client(channel))
    }

    /// One call with a deadline.
    async fn call<T, F: Future<Output = Called<T>>>(
        &self,
        action: RPCTypes,
        patience: Duration,
        call: impl FnOnce(RaftClient<Channel>) -> F,
    ) -> Result<T, RPCError<Types>> {
        let address = self.address();
        let answered = tokio::time::timeout(patience, call(self.client(&address)?)).await;
        match answered {
            Ok(Ok(response)) => {
                self.peers.heard_of(self.target, &address, None);
                Ok(response.into_inner())
            }
            Ok(Err(status)) => {
                let error = roadstead_proto::rpc::status::from_status(&status).to_string();
                self.peers.heard_of(self.target, &address, Some(&error));
                Err(Unreachable::from_string(error).into())
            }
            // A heartbeat that takes long is nothing to tell of: one that gets no answer at all breaks the connection.
            Err(_) if patience < APPEND_PATIENCE && action == RPCTypes::AppendEntries => {
                Err(Timeout { action, id: self.peers.me, target: self.target, timeout: patience }.into())
            }
            Err(_) => {
                self.peers.heard_of(self.target, &address, Some(&format!("no answer within {patience:?}")));
                Err(Timeout { action, id: self.peers.me, target: self.target, timeout: patience }.into())
            }
        }
    }
}

/// A client with our limits.
pub(crate) fn raft_client(channel: Channel) -> RaftClient<Channel> {
    RaftClient::new(channel).max_decoding_message_size(limits::RPC_MESSAGE_MAX)
}

fn understood<T>(answer: io::Result<T>) -> Result<T, RPCError<Types>> {
    answer.map_err(|error| wire::nonsense(&error))
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let patience = if rpc.entries.is_empty() { option.soft_ttl() } else { APPEND_PATIENCE };
        let request = wire::append_request(self.envelope(), &rpc);
        let call = |mut client: RaftClient<Channel>| async move { client.append(request).await };
        understood(wire::append_response_from(self.call(RPCTypes::AppendEntries, patience, call).await?))
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = wire::vote_request(self.envelope(), &rpc);
        let call = |mut client: RaftClient<Channel>| async move { client.vote(request).await };
        understood(wire::vote_response_from(self.call(RPCTypes::Vote, option.soft_ttl(), call).await?))
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let request = wire::vote_request(self.envelope(), &rpc);
        let call = |mut client: RaftClient<Channel>| async move { client.pre_vote(request).await };
        understood(wire::vote_response_from(self.call(RPCTypes::Vote, option.soft_ttl(), call).await?))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let message = wire::transfer_request(self.envelope(), &request);
        let call = |mut client: RaftClient<Channel>| async move { client.transfer_leader(message).await };
        let answer = self.call(RPCTypes::TransferLeader, option.soft_ttl(), call).await?;
        understood(wire::transfer_response_from(answer, &request))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let progress = Arc::new(Progress::default());
        let first =
            pb::SnapshotPiece { envelope: Some(self.envelope()), vote: Some(vote.to_message()), data: Bytes::new() };
        let pieces = pieces(first, snapshot.snapshot, Arc::clone(&progress));
        let call = |mut client: RaftClient<Channel>| async move { client.snapshot(pieces).await };
        let transfer = pin!(self.call(RPCTypes::InstallSnapshot, option.hard_ttl(), call));
        let (cancel, stall) = (pin!(cancel), pin!(progress.stall()));
        let interruption = select(cancel, stall);
        match select(transfer, interruption).await {
            Either::Left((answer, _)) => Ok(understood(wire::snapshot_response_from(answer?))?),
            Either::Right((Either::Left((closed, _)), _)) => Err(closed.into()),
            Either::Right((Either::Right(((), _)), _)) => {
                let what = format!("a snapshot moved no byte for {SNAPSHOT_STALL:?}");
                Err(Unreachable::from_string(what).into())
            }
        }
    }
}

/// How far a transfer has come.
#[derive(Debug, Default)]
struct Progress(AtomicU64);

impl Progress {
    /// All was sent: what follows is the other side's verifying and installing, which moves no byte.
    const COMPLETE: u64 = u64::MAX;

    /// Returns once nothing was sent for too long.
    async fn stall(&self) {
        let mut seen = None;
        loop {
            let sent = self.0.load(Ordering::Relaxed);
            if sent == Self::COMPLETE {
                std::future::pending::<()>().await;
            }
            if seen.replace(sent) == Some(sent) {
                return;
            }
            tokio::time::sleep(SNAPSHOT_STALL).await;
        }
    }
}

/// A snapshot as the pieces it travels in. Where the file cannot be read to its end the stream ends early, and the other
/// side finds that the trailer is missing.
fn pieces(
    first: pb::SnapshotPiece,
    file: SnapshotFile,
    progress: Arc<Progress>,
) -> impl Stream<Item = pb::SnapshotPiece> + Send + 'static {
    futures::stream::unfold((Some(first), Some(file)), move |(first, file)| {
        let progress = Arc::clone(&progress);
        async move {
            if let Some(first) = first {
                return Some((first, (None, file)));
            }
            let mut file = file?;
            let read = blocking(move || {
                let mut data = vec![0; SNAPSHOT_PIECE];
                let length = file.read(&mut data)?;
                data.truncate(length);
                Ok((data, file))
            });
            match read.await {
                Ok((data, file)) if !data.is_empty() => {
                    progress.0.fetch_add(1, Ordering::Relaxed);
                    let piece = pb::SnapshotPiece { envelope: None, vote: None, data: data.into() };
                    Some((piece, (None, Some(file))))
                }
                Ok(_) => {
                    progress.0.store(Progress::COMPLETE, Ordering::Relaxed);
                    None
                }
                Err(error) => {
                    tracing::error!(%error, "the snapshot could not be read");
                    None
                }
            }
        }
    })
}
