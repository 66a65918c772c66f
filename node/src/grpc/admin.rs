//! Administration of the group. Any member answers; what needs the leader is passed on to it.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use prost::Message;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore as _};
use roadstead_proto::rpc::Role;
use roadstead_proto::rpc::status::{LEADER_HEADER, was_sent};
use roadstead_proto::wire::pb::admin::v1 as pb;
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use roadstead_proto::wire::pb::admin::v1::admin_server::Admin;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::Service;
use crate::membership::{MembershipError, NewMember};

/// How often a call was passed on: a leader may change while it is, but not for ever.
const HOPS_HEADER: &str = "roadstead-hops";
const HOPS_MAX: u32 = 4;

fn to_status(error: &MembershipError) -> Status {
    let text = error.to_string();
    match error {
        MembershipError::NoMember { .. } => Status::not_found(text),
        MembershipError::InGroup { .. }
        | MembershipError::Promised { .. }
        | MembershipError::Waiting
        | MembershipError::NumberTaken { .. }
        | MembershipError::AddressTaken { .. }
        | MembershipError::NotFound { .. }
        | MembershipError::Forgetful { .. }
        | MembershipError::Unwilling { .. }
        | MembershipError::LastVoter { .. } => Status::failed_precondition(text),
        MembershipError::Invalid(_) => Status::invalid_argument(text),
        MembershipError::Behind { .. } | MembershipError::Busy => Status::aborted(text),
        MembershipError::NoSuccessor | MembershipError::Unavailable(_) => Status::unavailable(text),
        MembershipError::NotLeader { leader } => {
            let mut status = Status::unavailable(text);
            if let Some(leader) = leader.as_ref().and_then(|leader| leader.parse().ok()) {
                status.metadata_mut().insert(LEADER_HEADER, leader);
            }
            status
        }
    }
}

/// A change, and how it is asked of another member.
trait Passed: Message + Clone + 'static {
    type Answer;

    async fn pass(client: AdminClient<Channel>, request: Request<Self>) -> Result<Response<Self::Answer>, Status>;
}

macro_rules! passed {
    ($request:ident, $answer:ident, $call:ident) => {
        impl Passed for pb::$request {
            type Answer = pb::$answer;

            async fn pass(
                mut client: AdminClient<Channel>,
                request: Request<Self>,
            ) -> Result<Response<pb::$answer>, Status> {
                client.$call(request).await
            }
        }
    };
}

passed!(AddNodeRequest, AddNodeResponse, add_node);
passed!(RemoveNodeRequest, RemoveNodeResponse, remove_node);
passed!(TransferLeaderRequest, TransferLeaderResponse, transfer_leader);

impl Service {
    fn admit_admin<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.guard.admit(request, &[Role::Admin, Role::Node])
    }

    /// Answers with what was done here, or with what the leader says of it.
    async fn or_leader<T: Passed>(
        &self,
        request: Request<T>,
        done: Result<T::Answer, MembershipError>,
    ) -> Result<Response<T::Answer>, Status> {
        let error = match done {
            Ok(answer) => return Ok(Response::new(answer)),
            Err(error) => error,
        };
        let MembershipError::NotLeader { leader: Some(leader) } = &error else {
            return Err(to_status(&error));
        };
        let (channel, passed) = self.passed(leader, request)?;
        T::pass(AdminClient::new(channel), passed).await
    }

    /// A call as it is passed on to `leader`.
    fn passed<T>(&self, leader: &str, request: Request<T>) -> Result<(Channel, Request<T>), Status> {
        let hops = request.metadata().get(HOPS_HEADER).and_then(|hops| hops.to_str().ok()?.parse().ok()).unwrap_or(0);
        if hops >= HOPS_MAX {
            return Err(Status::unavailable("no node leads for long enough to be asked; try again"));
        }
        let dialer = &self.node.membership().dialer;
        let channel = dialer.channel(leader, Role::Node).map_err(|error| Status::unavailable(error.to_string()))?;
        let mut passed = Request::new(request.into_inner());
        passed.metadata_mut().insert(HOPS_HEADER, MetadataValue::from(hops + 1));
        Ok((channel, passed))
    }
}

/// There is no copy of what the group has.
fn only_local(why: impl std::fmt::Display) -> Status {
    let text = format!("{why}; by `local`, this node gives what it has, which may be older than what others have");
    Status::unavailable(text)
}

type Pieces = Pin<Box<dyn Stream<Item = Result<pb::SnapshotPiece, Status>> + Send>>;

#[tonic::async_trait]
impl Admin for Service {
    async fn init(&self, request: Request<pb::InitRequest>) -> Result<Response<pb::InitResponse>, Status> {
        self.admit_admin(&request)?;
        let cluster = self.node.membership().init().await.map_err(|error| to_status(&error))?;
        Ok(Response::new(pb::InitResponse { cluster }))
    }

    async fn add_node(&self, request: Request<pb::AddNodeRequest>) -> Result<Response<pb::AddNodeResponse>, Status> {
        self.admit_admin(&request)?;
        let asked = request.get_ref();
        let new = NewMember { node: asked.node, address: asked.address.clone(), voter: asked.voter };
        let done = self.node.membership().add(&new).await.map(|()| pb::AddNodeResponse {});
        self.or_leader(request, done).await
    }

    async fn remove_node(
        &self,
        request: Request<pb::RemoveNodeRequest>,
    ) -> Result<Response<pb::RemoveNodeResponse>, Status> {
        self.admit_admin(&request)?;
        let done = self.node.membership().remove(request.get_ref().node).await.map(|()| pb::RemoveNodeResponse {});
        self.or_leader(request, done).await
    }

    async fn transfer_leader(
        &self,
        request: Request<pb::TransferLeaderRequest>,
    ) -> Result<Response<pb::TransferLeaderResponse>, Status> {
        self.admit_admin(&request)?;
        let to = Some(request.get_ref().to).filter(|to| *to != 0);
        let done = self.node.membership().transfer(to).await.map(|leader| pb::TransferLeaderResponse { leader });
        self.or_leader(request, done).await
    }

    async fn status(&self, request: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        self.admit_admin(&request)?;
        let status =
            if request.get_ref().local { self.node.own_status().await } else { self.node.group_status().await };
        Ok(Response::new(status))
    }

    type SnapshotStream = Pieces;

    async fn snapshot(&self, request: Request<pb::SnapshotRequest>) -> Result<Response<Pieces>, Status> {
        self.admit_admin(&request)?;
        if !request.get_ref().local {
            match self.node.meta().configuration(Consistency::Linearizable).await {
                Ok(_) => {}
                Err(MetaError::NotLeader { leader: Some(leader) }) => {
                    let (channel, passed) = self.passed(&leader, request)?;
                    return match AdminClient::new(channel).snapshot(passed).await {
                        Ok(pieces) => Ok(Response::new(Box::pin(pieces.into_inner()))),
                        // Where nobody is elected in its place, it counts as the leader for good.
                        Err(status) if !was_sent(&status) => {
                            Err(only_local(format_args!("the leader at {leader} cannot be reached")))
                        }
                        Err(status) => Err(status),
                    };
                }
                Err(error) => return Err(only_local(error)),
            }
        }
        let view = self.node.meta().state.read().map_err(|error| Status::unavailable(error.to_string()))?;
        let pieces = super::export::pieces(view).take_until(self.closing.clone().cancelled_owned());
        Ok(Response::new(Box::pin(pieces)))
    }
}
