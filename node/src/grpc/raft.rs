//! What the other members say to this one.

use std::io;

use openraft::async_runtime::WatchReceiver;
use roadstead_proto::rpc::Role;
use roadstead_proto::wire::pb::raft::v1 as pb;
use roadstead_proto::wire::pb::raft::v1::raft_server::Raft;
use tonic::{Request, Response, Status, Streaming};

use super::Service;
use crate::blocking::blocking;
use crate::group_name::{AdoptError, Misdirected};
use crate::membership::JoinError;
use crate::raft::codec::Stored;
use crate::raft::{Snapshot, wire};

impl Service {
    /// Lets through what a node of this group says to this member.
    fn admit<T>(
        &self,
        request: Request<T>,
        envelope: impl FnOnce(&mut T) -> Option<pb::Envelope>,
    ) -> Result<(pb::Envelope, T), Status> {
        self.guard.admit(&request, &[Role::Node])?;
        let mut message = request.into_inner();
        let envelope = self.node.membership().name.check(envelope(&mut message)).map_err(misdirected)?;
        Ok((envelope, message))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn misdirected(error: Misdirected) -> Status {
    Status::failed_precondition(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: io::Error) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this node has stopped: {error}"))
}

#[tonic::async_trait]
impl Raft for Service {
    async fn append(&self, request: Request<pb::AppendRequest>) -> Result<Response<pb::AppendResponse>, Status> {
        let (envelope, message) = self.admit(request, |message| message.envelope.take())?;
        let rpc = wire::append_request_from(message).map_err(|error| {
            // To leave the entry out would let this member's rows go another way than everybody else's.
            self.node.membership().ending.because(format!(
                "an entry of the log that node {} sent cannot be read ({error}): it runs a newer version than this \
                 one, which has to be upgraded",
                envelope.from
            ));
            unreadable(error)
        })?;
        self.node.membership().heard();
        let answer = self.node.group().append_entries(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::append_response(answer)))
    }

    async fn vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let (_, message) = self.admit(request, |message| message.envelope.take())?;
        let rpc = wire::vote_request_from(message).map_err(unreadable)?;
        let answer = self.node.group().vote(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response(&answer)))
    }

    async fn pre_vote(&self, request: Request<pb::VoteRequest>) -> Result<Response<pb::VoteResponse>, Status> {
        let (_, message) = self.admit(request, |message| message.envelope.take())?;
        let rpc = wire::vote_request_from(message).map_err(unreadable)?;
        let answer = self.node.group().pre_vote(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::vote_response(&answer)))
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        let (_, message) = self.admit(request, |message| message.envelope.take())?;
        let rpc = wire::transfer_request_from(message).map_err(unreadable)?;
        let answer = self.node.group().handle_transfer_leader(rpc).await.map_err(stopped)?;
        Ok(Response::new(wire::transfer_response(&answer)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<pb::SnapshotPiece>>,
    ) -> Result<Response<pb::SnapshotResponse>, Status> {
        self.guard.admit(&request, &[Role::Node])?;
        let mut pieces = request.into_inner();
        let mut first = pieces.message().await?.ok_or_else(|| Status::invalid_argument("no piece of a snapshot"))?;
        self.node.membership().name.check(first.envelope.take()).map_err(misdirected)?;
        self.node.membership().heard();
        let vote = wire::snapshot_vote(first.vote.take()).map_err(unreadable)?;
        let not_kept = |error: io::Error| Status::internal(format!("the snapshot cannot be kept: {error}"));
        let mut incoming = self.node.snapshots.receive().map_err(not_kept)?;
        let mut data = first.data;
        loop {
            if !data.is_empty() {
                let write = blocking(move || {
                    incoming.write(&data)?;
                    Ok(incoming)
                });
                incoming = write.await.map_err(not_kept)?;
            }
            match pieces.message().await? {
                Some(piece) => data = piece.data,
                None => break,
            }
        }
        let received = blocking(move || {
            let snapshot = incoming.finish()?;
            Ok(Snapshot { meta: snapshot.reader()?.meta()?, snapshot })
        });
        let snapshot = received.await.map_err(unreadable)?;
        tracing::info!(snapshot = ?snapshot.meta.last_log_id, "a snapshot has arrived");
        let answer = self.node.group().install_full_snapshot(vote, snapshot).await.map_err(stopped)?;
        Ok(Response::new(wire::snapshot_response(&answer)))
    }

    async fn join(&self, request: Request<pb::JoinRequest>) -> Result<Response<pb::JoinResponse>, Status> {
        self.guard.admit(&request, &[Role::Node])?;
        let pb::JoinRequest { envelope, address } = request.into_inner();
        let name = &self.node.membership().name;
        let envelope = name.check_node(envelope).map_err(|error| match error {
            Misdirected::OtherNode { found, .. } => Status::failed_precondition(format!(
                "{error}: add it under the number {found}, or name the address of the node that is meant"
            )),
            error => misdirected(error),
        })?;
        self.node.membership().accept(envelope.cluster, &address).await.map_err(|error| match error {
            JoinError::Name(AdoptError::Storage(_)) => Status::internal(error.to_string()),
            JoinError::Stopped(_) => Status::unavailable(error.to_string()),
            _ => Status::failed_precondition(error.to_string()),
        })?;
        Ok(Response::new(pb::JoinResponse { version: env!("CARGO_PKG_VERSION").to_owned() }))
    }

    async fn greet(&self, request: Request<pb::GreetRequest>) -> Result<Response<pb::GreetResponse>, Status> {
        let (envelope, message) = self.admit(request, |message| message.envelope.take())?;
        let metrics = self.node.group().server_metrics().borrow_watched().clone();
        let committed = &metrics.committed_membership_config;
        let effective = metrics.membership_config.membership();
        let is_member =
            [effective, committed.membership()].iter().any(|known| known.get_node(&envelope.from).is_some());
        let (found, refusal) = match self.node.membership().hear_address(envelope.from, &message.address).await {
            Ok(found) => (found, String::new()),
            Err(error) => (false, error.to_string()),
        };
        Ok(Response::new(pb::GreetResponse {
            is_member,
            membership: committed.log_id().as_ref().map(Stored::to_message),
            found,
            refusal,
        }))
    }
}
