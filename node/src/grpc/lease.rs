//! The service `Leases`: signs of life, and waits for the end of a lease. What changes a lease is a proposal.

use std::sync::Arc;

use roadstead_proto::domain::limits;
use roadstead_proto::meta::{Leases as _, MetaError};
use roadstead_proto::rpc::Guard;
use roadstead_proto::rpc::status::to_status;
use roadstead_proto::wire::pb::meta::v1 as pb;
use roadstead_proto::wire::pb::meta::v1::leases_server::{Leases, LeasesServer};
use roadstead_proto::wire::{AwaitRelease, KeepAlive, Record};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::USERS;
use super::meta::malformed;
use crate::local::LocalMeta;

/// The service over a member's metadata. Waits end with `stop`.
pub(super) fn service(meta: Arc<LocalMeta>, guard: Guard, stop: CancellationToken) -> LeasesServer<impl Leases> {
    LeasesServer::new(LeaseService { meta, guard, stop }).max_decoding_message_size(limits::RPC_MESSAGE_MAX)
}

struct LeaseService {
    meta: Arc<LocalMeta>,
    guard: Guard,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Leases for LeaseService {
    async fn keep_alive(&self, request: Request<pb::KeepAliveRequest>) -> Result<Response<pb::Fleet>, Status> {
        self.guard.admit(&request, &USERS)?;
        let sign = KeepAlive::from_message(request.into_inner()).map_err(malformed)?;
        let fleet = self.meta.keep_alive(sign.session, &sign.report).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(fleet.to_message()))
    }

    async fn await_release(
        &self,
        request: Request<pb::AwaitReleaseRequest>,
    ) -> Result<Response<pb::AwaitReleaseResponse>, Status> {
        self.guard.admit(&request, &USERS)?;
        let wait = AwaitRelease::from_message(request.into_inner()).map_err(malformed)?;
        let waited = self.stop.run_until_cancelled(self.meta.await_release(&wait.key, wait.token, wait.patience)).await;
        let waited = waited.unwrap_or_else(|| Err(MetaError::Unavailable("this member stops".to_owned())));
        let released = waited.map_err(|error| to_status(&error))?;
        Ok(Response::new(pb::AwaitReleaseResponse { released }))
    }
}
