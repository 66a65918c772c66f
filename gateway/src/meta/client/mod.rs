//! `MetaStore` and `Leases` on nodes across the network.
//!
//! | file | what it holds |
//! |---|---|
//! | `members` | which nodes there are: names, addresses, the nearest, the leader |
//! | `failure` | what a failed call says, and whether another member may be asked |
//! | `leader` | calls that only the leader serves: one after the other, never twice where that could change something twice |
//! | `nearest` | calls that any member serves: the nearest, and all others where it does not answer at once |
//! | `watch` | a watch that a member serves, relayed |
//!
//! # What a caller may rely on
//!
//! - **Nothing goes back.** Each member is at a point of its own. Every answer carries the revision it shows, every question the
//!   highest that this client has seen in an answer, an outcome or a watch; a member behind it waits a moment or says so, and
//!   another is asked. Where every member that answers is behind (those that were ahead are gone, and there is no quorum to
//!   bring the others forward), rows are read all the same, since an older tag is worth more than none; the
//!   configuration is not, or a revoked token could come back: the caller keeps the one it has.
//! - **A write happens at most once.** What surely was not executed is tried elsewhere; where an answer was lost the caller
//!   hears [`MetaError::Unavailable`], unless doing it twice is doing it once.
//! - **No call outlives its deadline**, and a node that hangs costs one call of a few its time: it is remembered.

mod failure;
mod leader;
mod members;
mod nearest;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::entry::{CachedEntry, EntryRef, TagEntry, TagKey, Usage};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::{GroupId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::{self, Consistency, Leases, MetaError, MetaStore, Watch};
use roadstead_proto::rpc::Dialer;
use roadstead_proto::rpc::revision::{put_revision, revision_of};
use roadstead_proto::state::command::{Command, Outcome, Proposal, Recorded, Refusal};
use roadstead_proto::state::read::{ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView};
use roadstead_proto::wire::pb::meta::v1 as pb;
use roadstead_proto::wire::{Asked, AskedEntry, AwaitRelease, DecodeError, KeepAlive, Record};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use failure::Effects;
use members::Members;

type MetaClient = pb::meta_client::MetaClient<Channel>;
type LeasesClient = pb::leases_client::LeasesClient<Channel>;

/// The metadata of a group of nodes. A clone is the same client.
#[derive(Clone)]
pub struct GrpcMeta {
    members: Arc<Members>,
    seen: Arc<Seen>,
}

/// The highest revision that this client has seen.
#[derive(Debug, Default)]
struct Seen(AtomicU64);

impl Seen {
    fn revision(&self) -> Revision {
        Revision(self.0.load(Ordering::Acquire))
    }

    fn raise(&self, revision: Revision) {
        self.0.fetch_max(revision.0, Ordering::AcqRel);
    }
}

/// What a read may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Staleness {
    /// Nothing older than what this client has seen.
    Never,
    /// Something older where every member that answers is older.
    IfNobodyKnowsBetter,
}

impl std::fmt::Debug for GrpcMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcMeta").field("nodes", &self.members.names()).finish_non_exhaustive()
    }
}

impl GrpcMeta {
    /// The metadata of the group that `nodes` (`host:port`) are members of; a name may stand for several of them. They are
    /// called when they are needed, so that nothing here can fail.
    pub fn new(nodes: Vec<String>, dialer: Dialer) -> Self {
        Self { members: Arc::new(Members::new(nodes, dialer)), seen: Arc::default() }
    }

    /// One read. `call` makes it of one member.
    async fn read<Q, A, F>(
        &self,
        question: Q,
        consistency: Consistency,
        staleness: Staleness,
        call: impl Fn(MetaClient, Request<<Asked<Q> as Record>::Message>) -> F,
    ) -> Result<A, MetaError>
    where
        Asked<Q>: Record,
        <Asked<Q> as Record>::Message: Clone,
        A: Record,
        F: Future<Output = Result<Response<A::Message>, Status>>,
    {
        let message = Asked { question, consistency }.to_message();
        let ask = |floor: Revision| {
            let (message, call) = (&message, &call);
            move |channel: Channel, patience: Duration| {
                let mut request = bounded(message.clone(), patience);
                put_revision(request.metadata_mut(), floor);
                call(meta_client(channel), request)
            }
        };
        let answer = match consistency {
            Consistency::Linearizable => {
                let deadline = Instant::now() + limits::META_LEADER_PATIENCE;
                leader::call(&self.members, deadline, Effects::None, ask(Revision(0))).await?
            }
            Consistency::Local => {
                let deadline = Instant::now() + limits::META_LOCAL_PATIENCE;
                let floor = self.seen.revision();
                match nearest::call(&self.members, deadline, ask(floor)).await {
                    Err(error) if error.all_are_behind && staleness == Staleness::IfNobodyKnowsBetter => {
                        nearest::call(&self.members, deadline, ask(Revision(0))).await?
                    }
                    answered => answered?,
                }
            }
        };
        self.seen.raise(revision_of(answer.metadata()));
        A::from_message(answer.into_inner()).map_err(|error| undecodable(&error))
    }

    async fn propose_with(&self, command: Command, effects: Effects) -> Result<Outcome, MetaError> {
        // The member that proposes stamps.
        let message = Proposal { at: Timestamp(0), command }.to_message();
        let deadline = Instant::now() + limits::META_LEADER_PATIENCE;
        let ask = |channel: Channel, patience: Duration| {
            let request = bounded(message.clone(), patience);
            async move { meta_client(channel).propose(request).await }
        };
        let answer = leader::call(&self.members, deadline, effects, ask).await?;
        self.seen.raise(revision_of(answer.metadata()));
        let outcome = Result::<Outcome, Refusal>::from_message(answer.into_inner());
        Ok(outcome.map_err(|error| undecodable(&error))??)
    }
}

fn meta_client(channel: Channel) -> MetaClient {
    MetaClient::new(channel).max_decoding_message_size(limits::RPC_MESSAGE_MAX)
}

fn leases_client(channel: Channel) -> LeasesClient {
    LeasesClient::new(channel).max_decoding_message_size(limits::RPC_MESSAGE_MAX)
}

/// A request that tells the member how long its answer is waited for.
fn bounded<T>(message: T, patience: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(patience);
    request
}

fn undecodable(error: &DecodeError) -> MetaError {
    MetaError::Damaged(error.to_string())
}

#[async_trait]
impl MetaStore for GrpcMeta {
    async fn configuration(&self, consistency: Consistency) -> Result<Configuration, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_configuration(request).await };
        self.read((), consistency, Staleness::Never, call).await
    }

    async fn tag(&self, key: &TagKey, consistency: Consistency) -> Result<TagView, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_tag(request).await };
        self.read(key.clone(), consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Result<Option<TagEntry>, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_tag_entry(request).await };
        let question = (upstream, repository.clone(), tag.clone());
        self.read(question, consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn content(&self, query: &ContentQuery, consistency: Consistency) -> Result<ContentView, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_content(request).await };
        self.read(query.clone(), consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn usage(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<Usage>, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_usage(request).await };
        self.read(entry.clone(), consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn entries(&self, query: &EntryQuery, consistency: Consistency) -> Result<EntryPage, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_entries(request).await };
        self.read(query.clone(), consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn entry(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<CachedEntry>, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_entry(request).await };
        self.read(AskedEntry(entry.clone()), consistency, Staleness::IfNobodyKnowsBetter, call).await
    }

    async fn tokens(&self, group: Option<GroupId>, consistency: Consistency) -> Result<Vec<TokenView>, MetaError> {
        let call = |mut client: MetaClient, request| async move { client.get_tokens(request).await };
        self.read(group, consistency, Staleness::Never, call).await
    }

    async fn propose(&self, command: Command) -> Result<Outcome, MetaError> {
        self.propose_with(command, Effects::Once).await
    }

    async fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        watch::open(&self.members, &self.seen, after).await
    }
}

#[async_trait]
impl Leases for GrpcMeta {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        // The first of two is ended by the second, and nobody has heard of it.
        let command = Command::OpenSession(registration.clone());
        meta::session_opened(self.propose_with(command, Effects::Repeatable).await?)
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        let message = KeepAlive { session, report: report.clone() }.to_message();
        let deadline = Instant::now() + limits::META_LEADER_PATIENCE;
        let ask = |channel: Channel, patience: Duration| {
            let request = bounded(message.clone(), patience);
            async move { leases_client(channel).keep_alive(request).await }
        };
        let answer = leader::call(&self.members, deadline, Effects::None, ask).await?;
        Fleet::from_message(answer.into_inner()).map_err(|error| undecodable(&error))
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.propose_with(Command::EndSessions(vec![session]), Effects::Repeatable).await.map(drop)
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        // A session that asks for what it holds is granted it anew, and the token that nobody has heard of is void.
        meta::acquired(self.propose_with(Command::Acquire(request), Effects::Repeatable).await?)
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        meta::complete(self, completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.propose_with(Command::Release { key: key.clone(), token }, Effects::Repeatable).await.map(drop)
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        let until = Instant::now() + patience;
        let ask = |channel: Channel, _: Duration| {
            let patience = until.saturating_duration_since(Instant::now());
            let message = AwaitRelease { key: key.clone(), token, patience }.to_message();
            // The member's answer at the end of its patience has to travel.
            let request = bounded(message, patience + limits::META_LOCAL_PATIENCE);
            async move { leases_client(channel).await_release(request).await }
        };
        let answer = nearest::wait(&self.members, until + limits::META_LOCAL_PATIENCE, ask).await?;
        Ok(answer.into_inner().released)
    }
}
