//! The metadata on this process: the seams of `roadstead-proto` over this member of the group.
//!
//! Reads run right here on the caller's task, not on the blocking pool: a read is a few microseconds from redb's cache,
//! less than the way to another thread and back (`examples/latency.rs` measures both).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardReason, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::vote::RaftLeaderId;
use openraft::{LinearizerOption, ReadPolicy};
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::entry::{CachedEntry, EntryRef, TagEntry, TagKey, Usage};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::lease::{
    AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SESSION_TTL, SessionId,
};
use roadstead_proto::domain::registry::{GroupId, UpstreamId};
use roadstead_proto::meta::{self, Consistency, Leases, MetaError, MetaStore, Watch};
use roadstead_proto::offload::offload;
use roadstead_proto::state::command::{Command, Outcome, Proposal, Recorded, Refusal};
use roadstead_proto::state::read::{self, ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView};
use roadstead_proto::state::rows::RowsError;
use tokio::time::timeout;

use crate::raft::compaction::Compactor;
use crate::raft::{Answer, Group, Types, Write};
use crate::sessions::Sessions;
use crate::store::rows::{ReadRows, is_unreadable};
use crate::store::state::{StateFile, View};
use crate::watch::Publisher;

/// How long a leader whose lease is over looks for its quorum before it sends a write elsewhere: one that answers does so
/// within a few heartbeats.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);

/// [`MetaStore`] and [`Leases`] on this member.
pub struct LocalMeta {
    pub(crate) group: Group,
    pub(crate) compactor: Arc<Compactor>,
    pub(crate) state: Arc<StateFile>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) sessions: Sessions,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a call waits for a quorum.
    pub(crate) patience: Duration,
}

impl LocalMeta {
    /// Reads one consistent state.
    pub(crate) async fn read<T>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&View) -> Result<T, RowsError>,
    ) -> Result<T, MetaError> {
        if consistency == Consistency::Linearizable {
            self.confirm_leadership(ReadPolicy::ReadIndex.into()).await?;
        }
        let view = self.state.read().map_err(|error| MetaError::Unavailable(error.to_string()))?;
        query(&view).map_err(unanswered)
    }

    /// The same, with the revision of that state.
    pub(crate) async fn read_at<T>(
        &self,
        consistency: Consistency,
        query: impl FnOnce(&ReadRows, Revision) -> Result<T, RowsError>,
    ) -> Result<(T, Revision), MetaError> {
        let query = |view: &View| {
            let revision = revision(view)?;
            Ok((query(view.rows(), revision)?, revision))
        };
        self.read(consistency, query).await
    }

    /// A page of the list of entries, with the revision of the state it is of. The one read that may look at many rows: it
    /// is not for the caller's thread.
    pub(crate) async fn entries_at(
        &self,
        query: &EntryQuery,
        consistency: Consistency,
    ) -> Result<(EntryPage, Revision), MetaError> {
        if consistency == Consistency::Linearizable {
            self.confirm_leadership(ReadPolicy::ReadIndex.into()).await?;
        }
        let view = self.state.read().map_err(|error| MetaError::Unavailable(error.to_string()))?;
        let query = query.clone();
        let read = offload(move || Ok::<_, RowsError>((read::entries(view.rows(), &query)?, revision(&view)?)));
        read.await.map_err(|error| MetaError::Unavailable(error.to_string()))?.map_err(unanswered)
    }

    /// The revision that this member has applied.
    pub(crate) fn applied(&self) -> Revision {
        Revision(self.state.applied_index().unwrap_or(0))
    }

    /// Waits until this member has applied `revision`, at most for `patience`; whether that came to be.
    pub(crate) async fn catches_up(&self, revision: Revision, patience: Duration) -> bool {
        if self.applied() >= revision {
            return true;
        }
        let wait = self.group.wait(Some(patience));
        wait.applied_index_at_least(Some(revision.0), "this member catches up").await.is_ok()
    }

    /// Returns once this member has applied everything that was committed when it was called.
    async fn confirm_leadership(&self, option: LinearizerOption) -> Result<(), MetaError> {
        match timeout(self.patience, self.group.ensure_linearizable(option)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)))) => Err(not_leader(&forward)),
            Ok(Err(error)) => Err(MetaError::Unavailable(error.to_string())),
            Err(_) => Err(MetaError::Unavailable(self.no_quorum())),
        }
    }

    /// Appends one proposal; returns once it is committed and applied here.
    async fn write(&self, proposal: Proposal) -> Result<Answer, MetaError> {
        loop {
            match self.group.client_write(Write(proposal.clone())).await {
                Ok(response) => return Ok(response.data),
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => match forward.reason {
                    // This member leads, but has not heard from a quorum for a while: its reign has just begun, or the
                    // machine was asleep. Nothing was appended, so that it may be tried again.
                    ForwardReason::LeaseExpired => {
                        let confirmed = timeout(LEASE_PATIENCE, self.confirm_leadership(by_lease())).await;
                        if !matches!(confirmed, Ok(Ok(()))) {
                            return Err(MetaError::NotLeader { leader: None });
                        }
                    }
                    _ => return Err(not_leader(&forward)),
                },
                // Everything else leaves open what became of it.
                Err(error) => return Err(MetaError::Unavailable(error.to_string())),
            }
        }
    }

    fn no_quorum(&self) -> String {
        format!("no quorum answered within {:?}", self.patience)
    }

    /// The term in which this member leads, if it does.
    pub(crate) fn reign(&self) -> Option<u64> {
        self.group.as_leader().ok().map(|leader| leader.leader_id().term())
    }

    /// Whether this member, which leads, heard from a quorum a moment ago.
    fn hears_a_quorum(&self) -> bool {
        let metrics = self.group.metrics().borrow_watched().clone();
        let lately = SESSION_TTL / 3;
        self.group.voter_ids().eq([metrics.id]) || metrics.last_quorum_acked.is_some_and(|at| at.elapsed() < lately)
    }

    /// Ends the sessions that fell silent. One step of the leader's job; nothing on any other member.
    ///
    /// # Errors
    /// Where the sessions could not be read or ended; the next step tries again.
    pub async fn end_silent_sessions(&self) -> Result<Vec<SessionId>, MetaError> {
        // Without a quorum no sign of life is taken: whose silence it is, is not known.
        let Some(term) = self.reign().filter(|_| self.hears_a_quorum()) else {
            self.sessions.resign();
            return Ok(Vec::new());
        };
        let open = self.read(Consistency::Local, |view| read::sessions(view.rows())).await?;
        let open: Vec<_> = open.into_iter().map(|(id, session)| (id, session.opened_at)).collect();
        let silent = self.sessions.silent(term, self.clock.now(), &open);
        if !silent.is_empty() {
            tracing::info!(sessions = ?silent, "ending sessions that fell silent");
            self.propose(Command::EndSessions(silent.clone())).await?;
        }
        Ok(silent)
    }
}

/// Leadership is sure while the lease is fresh; else a round of heartbeats makes it so.
fn by_lease() -> LinearizerOption {
    LinearizerOption::new(None, true)
}

/// "The store did not answer" and "the store is damaged" stay different values all the way up.
fn unanswered(error: RowsError) -> MetaError {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(%error, cause, "the metadata could not be read");
    if is_unreadable(&error) {
        MetaError::Unavailable(error.to_string())
    } else {
        MetaError::Damaged(error.to_string())
    }
}

fn not_leader(forward: &ForwardToLeader<Types>) -> MetaError {
    MetaError::NotLeader { leader: forward.leader_node.as_ref().map(|node| node.addr.clone()) }
}

fn revision(view: &View) -> Result<Revision, RowsError> {
    let applied = view.applied().map_err(RowsError::new)?;
    Ok(Revision(applied.map_or(0, |applied| applied.index)))
}

#[async_trait]
impl MetaStore for LocalMeta {
    async fn configuration(&self, consistency: Consistency) -> Result<Configuration, MetaError> {
        self.read(consistency, |view| read::configuration(view.rows(), revision(view)?)).await
    }

    async fn tag(&self, key: &TagKey, consistency: Consistency) -> Result<TagView, MetaError> {
        self.read(consistency, |view| read::tag(view.rows(), key)).await
    }

    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Result<Option<TagEntry>, MetaError> {
        self.read(consistency, |view| read::tag_entry(view.rows(), upstream, repository, tag)).await
    }

    async fn content(&self, query: &ContentQuery, consistency: Consistency) -> Result<ContentView, MetaError> {
        self.read(consistency, |view| read::content(view.rows(), query, revision(view)?)).await
    }

    async fn usage(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<Usage>, MetaError> {
        self.read(consistency, |view| read::usage(view.rows(), entry)).await
    }

    async fn entries(&self, query: &EntryQuery, consistency: Consistency) -> Result<EntryPage, MetaError> {
        self.entries_at(query, consistency).await.map(|(page, _)| page)
    }

    async fn entry(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<CachedEntry>, MetaError> {
        self.read(consistency, |view| read::entry(view.rows(), entry)).await
    }

    async fn tokens(&self, group: Option<GroupId>, consistency: Consistency) -> Result<Vec<TokenView>, MetaError> {
        self.read(consistency, |view| read::tokens(view.rows(), group)).await
    }

    async fn propose(&self, command: Command) -> Result<Outcome, MetaError> {
        let proposal = Proposal { at: self.clock.now(), command };
        let answer = timeout(self.patience, self.write(proposal)).await;
        let answer = answer.map_err(|_| MetaError::Unavailable(self.no_quorum()))??;
        let applied = answer
            .0
            .ok_or_else(|| MetaError::Damaged("a proposal was answered like an entry of raft's own".to_owned()))?;
        Ok(applied.outcome?)
    }

    async fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        if !self.catches_up(after, self.patience).await {
            let applied = self.applied().0;
            return Err(MetaError::Unavailable(format!("this member has applied {applied}, not yet {}", after.0)));
        }
        self.publisher.watch(after)
    }
}

#[async_trait]
impl Leases for LocalMeta {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        meta::open_session(self, registration).await
    }

    /// Touches only the leader's memory. The leader makes sure by its lease that it still leads (by a round of heartbeats,
    /// where the lease is not fresh), or a gateway cut off with an old leader would believe in a session that the new one
    /// has ended.
    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        self.confirm_leadership(by_lease()).await?;
        let term = self.reign().ok_or(MetaError::NotLeader { leader: None })?;
        let open = self.read(Consistency::Local, |view| read::sessions(view.rows())).await?;
        if open.iter().all(|(id, _)| *id != session) {
            return Err(Refusal::NoSession.into());
        }
        Ok(self.sessions.heard(term, session, report, open, self.clock.now()))
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.propose(Command::EndSessions(vec![session])).await.map(drop)
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        meta::acquire(self, request).await
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        meta::complete(self, completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.propose(Command::Release { key: key.clone(), token }).await.map(drop)
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        let wait = async {
            // A member that has not come to the grant yet, which is the revision of its name, knows of no such lease.
            if !self.catches_up(Revision(token.0), patience).await {
                return Ok(false);
            }
            let mut metrics = self.group.metrics();
            loop {
                let lease = self.read(Consistency::Local, |view| read::lease(view.rows(), key)).await?;
                if lease.is_none_or(|lease| lease.token != token) {
                    return Ok(true);
                }
                if metrics.changed().await.is_err() {
                    return Err(MetaError::Unavailable("the node has stopped".to_owned()));
                }
            }
        };
        timeout(patience, wait).await.unwrap_or(Ok(false))
    }
}
