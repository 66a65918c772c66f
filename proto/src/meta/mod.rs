//! The metadata seams: configuration and entries behind [`MetaStore`], single flight behind [`Leases`].
//!
//! Promises, which `suite` checks for every implementation:
//! - A write that returned `Ok` survives; one that was refused changed nothing; after
//!   [`MetaError::Unavailable`] the outcome is unknown.
//! - A `Linearizable` read sees every write that returned before it began; a `Local` read sees some state this
//!   member had, and never an older one than this member showed before.
//! - Fencing tokens strictly increase; of two completions under one key only the token in force is recorded.
//! - A watcher hears every change after its revision, in order, or is told [`MetaError::Compacted`].

#[cfg(any(test, feature = "test-util"))]
pub mod memory;
#[cfg(any(test, feature = "test-util"))]
pub mod suite;
mod watch;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::configuration::Configuration;
use crate::domain::entry::{CachedEntry, EntryRef, TagEntry, TagKey, Usage};
use crate::domain::epoch::Revision;
use crate::domain::fleet::{Fleet, Registration, Report};
use crate::domain::image::{RepositoryName, Tag};
use crate::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use crate::domain::registry::{GroupId, UpstreamId};
use crate::error::ErrorCode;
use crate::state::command::{Command, Outcome, Recorded, Refusal};
use crate::state::read::{ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView};
pub use watch::{Hub, Watch, WatchEvent};

/// How up to date a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write that returned before. Needs a quorum.
    Linearizable,
    /// What this member has applied. Works without a quorum.
    Local,
}

/// Why the metadata gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// The rules refused; nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// This member is not the leader; nothing was done.
    #[error("this node is not the raft leader; the leader is {}", leader.as_deref().unwrap_or("not known"))]
    NotLeader {
        /// The leader's address, where known.
        leader: Option<String>,
    },
    /// No answer: a write may have happened.
    #[error("the metadata did not answer: {0}")]
    Unavailable(String),
    /// The changes asked for are no longer kept: take a new configuration and drop what was cached.
    #[error("changes after this revision are no longer kept")]
    Compacted,
    /// What is kept is damaged, or an answer has the wrong shape.
    #[error("the metadata is damaged: {0}")]
    Damaged(String),
}

impl MetaError {
    /// The code that callers decide on.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Compacted => ErrorCode::FailedPrecondition,
            Self::NotLeader { .. } => ErrorCode::NotLeader,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Damaged(_) => ErrorCode::DataLoss,
        }
    }
}

/// Configuration and entries.
#[async_trait]
pub trait MetaStore: Send + Sync + 'static {
    /// The whole configuration.
    async fn configuration(&self, consistency: Consistency) -> Result<Configuration, MetaError>;

    /// A tag of a virtual registry: the route that answered last and its upstream's entry.
    async fn tag(&self, key: &TagKey, consistency: Consistency) -> Result<TagView, MetaError>;

    /// A tag of one upstream.
    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Result<Option<TagEntry>, MetaError>;

    /// What is known of a digest, for upstreams in the order they would be asked.
    async fn content(&self, query: &ContentQuery, consistency: Consistency) -> Result<ContentView, MetaError>;

    /// How often an entry was downloaded.
    async fn usage(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<Usage>, MetaError>;

    /// A page of what is cached of an upstream, newest first.
    async fn entries(&self, query: &EntryQuery, consistency: Consistency) -> Result<EntryPage, MetaError>;

    /// One entry as it is listed; none where it is void or was never there.
    async fn entry(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<CachedEntry>, MetaError>;

    /// The tokens of a group, or all, and when they were last used.
    async fn tokens(&self, group: Option<GroupId>, consistency: Consistency) -> Result<Vec<TokenView>, MetaError>;

    /// Applies a command; returns once it is durable and applied.
    async fn propose(&self, command: Command) -> Result<Outcome, MetaError>;

    /// Every change after `after`, in order.
    async fn watch(&self, after: Revision) -> Result<Watch, MetaError>;
}

/// Sessions and leases: at most one worker per key in the whole cluster.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Opens a session; an earlier one of the same gateway ends. Keep it alive every
    /// [`crate::domain::lease::KEEP_ALIVE_EVERY`], or it ends after [`crate::domain::lease::SESSION_TTL`].
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError>;

    /// Keeps a session alive, and tells and hears news of the fleet; refused with [`Refusal::NoSession`] once it has ended.
    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError>;

    /// Ends a session and releases its leases.
    async fn close_session(&self, session: SessionId) -> Result<(), MetaError>;

    /// Asks for a lease; answers at once, never waits for a holder.
    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError>;

    /// Records a result and releases the lease, in one step; refused with [`Refusal::LeaseLost`] under an older token.
    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError>;

    /// Releases a lease without a result; an older token does nothing.
    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError>;

    /// Waits until a lease is not in force any more under `token`, at most for `patience`; whether that came to be. What
    /// this member has applied counts, so that it works without a quorum.
    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError>;
}

fn unexpected(outcome: &Outcome) -> MetaError {
    MetaError::Damaged(format!("unexpected outcome {outcome:?}"))
}

/// Brings everything into the index of entries that was recorded before there was one, a step at a time. Whoever does it
/// twice, or beside somebody else, does no harm.
///
/// # Errors
/// Where a step was not taken; the next call goes on from there.
pub async fn index_entries(store: &(impl MetaStore + ?Sized)) -> Result<(), MetaError> {
    loop {
        match store.propose(Command::IndexEntries).await? {
            Outcome::EntriesIndexed { complete: true } => return Ok(()),
            Outcome::EntriesIndexed { complete: false } => {}
            other => return Err(unexpected(&other)),
        }
    }
}

/// Lease calls as the commands they are, for implementations that only differ in how a command is proposed.
pub async fn open_session(
    store: &(impl MetaStore + ?Sized),
    registration: &Registration,
) -> Result<SessionId, MetaError> {
    session_opened(store.propose(Command::OpenSession(registration.clone())).await?)
}

/// The session of an outcome.
///
/// # Errors
/// Where the outcome is another one's.
pub fn session_opened(outcome: Outcome) -> Result<SessionId, MetaError> {
    match outcome {
        Outcome::SessionOpened(session) => Ok(session),
        other => Err(unexpected(&other)),
    }
}

/// See [`Leases::acquire`].
pub async fn acquire(store: &(impl MetaStore + ?Sized), request: AcquireRequest) -> Result<Acquired, MetaError> {
    acquired(store.propose(Command::Acquire(request)).await?)
}

/// The answer of an outcome.
///
/// # Errors
/// Where the outcome is another one's.
pub fn acquired(outcome: Outcome) -> Result<Acquired, MetaError> {
    match outcome {
        Outcome::Acquired(acquired) => Ok(acquired),
        other => Err(unexpected(&other)),
    }
}

/// See [`Leases::complete`].
pub async fn complete(store: &(impl MetaStore + ?Sized), completion: Completion) -> Result<Recorded, MetaError> {
    match store.propose(Command::Complete(completion)).await? {
        Outcome::Completed(recorded) => Ok(recorded),
        other => Err(unexpected(&other)),
    }
}
