//! The service `Meta`: reads, proposals and watches of gateways.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _, stream};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore as _};
use roadstead_proto::rpc::Guard;
use roadstead_proto::rpc::revision::{behind, put_revision, revision_of};
use roadstead_proto::rpc::status::to_status;
use roadstead_proto::state::command::Proposal;
use roadstead_proto::state::read::{self, EntryQuery};
use roadstead_proto::state::rows::RowsError;
use roadstead_proto::wire::pb::meta::v1 as pb;
use roadstead_proto::wire::pb::meta::v1::meta_server::{Meta, MetaServer};
use roadstead_proto::wire::{Asked, AskedEntry, DecodeError, Record};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::USERS;
use crate::Node;
use crate::local::LocalMeta;
use crate::store::rows::ReadRows;

/// The service over a member's metadata. Watches end with `stop`.
pub(super) fn service(node: Arc<Node>, guard: Guard, stop: CancellationToken) -> MetaServer<impl Meta> {
    let meta = node.meta();
    MetaServer::new(MetaService { node, meta, guard, stop }).max_decoding_message_size(limits::RPC_MESSAGE_MAX)
}

struct MetaService {
    node: Arc<Node>,
    meta: Arc<LocalMeta>,
    guard: Guard,
    stop: CancellationToken,
}

pub(super) fn malformed(error: DecodeError) -> Status {
    Status::invalid_argument(error.to_string())
}

impl MetaService {
    /// What is asked for, once this member may answer it.
    async fn asked<Q>(&self, request: Request<<Asked<Q> as Record>::Message>) -> Result<Asked<Q>, Status>
    where
        Asked<Q>: Record,
    {
        self.guard.admit(&request, &USERS)?;
        let seen = revision_of(request.metadata());
        let asked = Asked::<Q>::from_message(request.into_inner()).map_err(malformed)?;
        if asked.consistency == Consistency::Local && !self.meta.catches_up(seen, limits::READ_CATCH_UP).await {
            return Err(behind(self.meta.applied(), seen));
        }
        Ok(asked)
    }

    /// One read, whatever it is of. The answer says which revision it shows.
    async fn read<Q, A>(
        &self,
        request: Request<<Asked<Q> as Record>::Message>,
        query: impl FnOnce(&ReadRows, &Q, Revision) -> Result<A, RowsError>,
    ) -> Result<Response<A::Message>, Status>
    where
        Asked<Q>: Record,
        A: Record,
    {
        let asked = self.asked::<Q>(request).await?;
        let answer =
            self.meta.read_at(asked.consistency, |rows, revision| query(rows, &asked.question, revision)).await;
        let (answer, revision) = answer.map_err(|error| to_status(&error))?;
        Ok(at(revision, answer.to_message()))
    }
}

fn at<T>(revision: Revision, message: T) -> Response<T> {
    let mut response = Response::new(message);
    put_revision(response.metadata_mut(), revision);
    response
}

#[tonic::async_trait]
impl Meta for MetaService {
    async fn get_configuration(
        &self,
        request: Request<pb::GetConfigurationRequest>,
    ) -> Result<Response<pb::Configuration>, Status> {
        self.read(request, |rows, (), revision| read::configuration(rows, revision)).await
    }

    async fn get_tag(&self, request: Request<pb::GetTagRequest>) -> Result<Response<pb::TagView>, Status> {
        self.read(request, |rows, key, _| read::tag(rows, key)).await
    }

    async fn get_tag_entry(
        &self,
        request: Request<pb::GetTagEntryRequest>,
    ) -> Result<Response<pb::TagEntryView>, Status> {
        self.read(request, |rows, (upstream, repository, tag), _| read::tag_entry(rows, *upstream, repository, tag))
            .await
    }

    async fn get_content(&self, request: Request<pb::GetContentRequest>) -> Result<Response<pb::ContentView>, Status> {
        self.read(request, |rows, query, revision| read::content(rows, query, revision)).await
    }

    async fn get_usage(&self, request: Request<pb::GetUsageRequest>) -> Result<Response<pb::UsageView>, Status> {
        self.read(request, |rows, entry, _| read::usage(rows, entry)).await
    }

    async fn get_entries(&self, request: Request<pb::GetEntriesRequest>) -> Result<Response<pb::EntryPage>, Status> {
        let Asked::<EntryQuery> { question, consistency } = self.asked(request).await?;
        let answer = self.meta.entries_at(&question, consistency).await;
        let (page, revision) = answer.map_err(|error| to_status(&error))?;
        Ok(at(revision, page.to_message()))
    }

    async fn get_tokens(&self, request: Request<pb::GetTokensRequest>) -> Result<Response<pb::TokensView>, Status> {
        self.read(request, |rows, group, _| read::tokens(rows, *group)).await
    }

    async fn get_entry(&self, request: Request<pb::GetEntryRequest>) -> Result<Response<pb::EntryView>, Status> {
        self.read(request, |rows, AskedEntry(entry), _| read::entry(rows, entry)).await
    }

    async fn propose(&self, request: Request<pb::Proposal>) -> Result<Response<pb::Outcome>, Status> {
        self.guard.admit(&request, &USERS)?;
        let proposal = Proposal::from_message(request.into_inner()).map_err(malformed)?;
        let outcome = match self.meta.propose(proposal.command).await {
            Ok(outcome) => Ok(outcome),
            Err(MetaError::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(to_status(&error)),
        };
        // At least the revision of the proposal: it is applied here.
        Ok(at(self.meta.applied(), outcome.to_message()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchEvent, Status>> + Send>>;

    /// Nothing waits for a slow watcher: its events wait in the hub's window, and whoever falls out of it is told
    /// [`MetaError::Compacted`].
    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.guard.admit(&request, &USERS)?;
        // A watch begins with how far this member is. One that is cut off must not say so: whoever hears it would believe that
        // nothing has happened since, and ask here again when it falls silent.
        if !self.node.membership().is_current() {
            return Err(to_status(&MetaError::Unavailable("this member hears of no quorum".to_owned())));
        }
        let watch = self.meta.watch(Revision(request.into_inner().after)).await.map_err(|error| to_status(&error))?;
        let events = stream::unfold(Some(watch), async |watch| {
            let mut watch = watch?;
            match watch.next().await {
                Ok(event) => Some((Ok(event.to_message()), Some(watch))),
                Err(error) => Some((Err(to_status(&error)), None)),
            }
        });
        let stopped = MetaError::Unavailable("this member stops".to_owned());
        let end = stream::once(async move { Err(to_status(&stopped)) });
        let events = events.take_until(self.stop.clone().cancelled_owned()).chain(end);
        Ok(Response::new(Box::pin(events)))
    }
}
