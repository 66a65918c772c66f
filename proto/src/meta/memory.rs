//! The in-memory twin: the same state machine over a `BTreeMap`, for tests of everything above the seam.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::{Consistency, Hub, Leases, MetaError, MetaStore, Watch};
use crate::clock::Clock;
use crate::domain::configuration::Configuration;
use crate::domain::entry::{CachedEntry, EntryRef, TagEntry, TagKey, Usage};
use crate::domain::epoch::Revision;
use crate::domain::fleet::{Fleet, Gathered, Registration, Report};
use crate::domain::image::{RepositoryName, Tag};
use crate::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use crate::domain::registry::{GroupId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::state::command::{Command, Outcome, Proposal, Recorded, Refusal};
use crate::state::read::{self, ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView};
use crate::state::rows::{Row, Rows, RowsError, RowsMut, Session};
use crate::state::table::Table;

/// Rows in a map.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryRows(BTreeMap<(Table, Vec<u8>), Vec<u8>>);

impl Rows for MemoryRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, RowsError> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded((table, after.to_vec())),
            _ => Bound::Included((table, prefix.to_vec())),
        };
        Ok(self
            .0
            .range((start, Bound::Unbounded))
            .take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
}

impl RowsMut for MemoryRows {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowsError> {
        self.0.insert((table, key.to_vec()), value.to_vec());
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowsError> {
        self.0.remove(&(table, key.to_vec()));
        Ok(())
    }
}

/// Metadata in memory: linearizable by one lock, gone with the process. Sessions never expire by themselves.
pub struct InMemoryMeta {
    clock: Arc<dyn Clock>,
    state: Mutex<(MemoryRows, Revision)>,
    hub: Hub,
    reports: Mutex<BTreeMap<SessionId, (Timestamp, Report)>>,
    /// Rung with every command.
    applied: Notify,
    outage: std::sync::atomic::AtomicBool,
}

impl InMemoryMeta {
    /// Empty metadata.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
            hub: Hub::new(1024, Revision(0)),
            reports: Mutex::default(),
            applied: Notify::new(),
            outage: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// While `out`, every call answers [`MetaError::Unavailable`].
    pub fn set_outage(&self, out: bool) {
        self.outage.store(out, std::sync::atomic::Ordering::SeqCst);
    }

    /// Ends the sessions of a gateway, as it comes to pass when it falls silent.
    ///
    /// # Errors
    /// During an outage.
    pub async fn lose(&self, gateway: &str) -> Result<(), MetaError> {
        let open = self.with(|(rows, _)| read::sessions(rows))?;
        let its = open.into_iter().filter(|(_, session)| session.gateway == gateway).map(|(id, _)| id).collect();
        self.propose(Command::EndSessions(its)).await.map(drop)
    }

    fn with<T>(&self, act: impl FnOnce(&mut (MemoryRows, Revision)) -> Result<T, RowsError>) -> Result<T, MetaError> {
        if self.outage.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(MetaError::Unavailable("outage set by the test".to_owned()));
        }
        let mut state = self.state.lock().expect("a test that panicked while it held the metadata has failed already");
        act(&mut state).map_err(|error| MetaError::Damaged(error.to_string()))
    }
}

#[async_trait]
impl MetaStore for InMemoryMeta {
    async fn configuration(&self, _: Consistency) -> Result<Configuration, MetaError> {
        self.with(|(rows, revision)| read::configuration(rows, *revision))
    }

    async fn tag(&self, key: &TagKey, _: Consistency) -> Result<TagView, MetaError> {
        self.with(|(rows, _)| read::tag(rows, key))
    }

    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        _: Consistency,
    ) -> Result<Option<TagEntry>, MetaError> {
        self.with(|(rows, _)| read::tag_entry(rows, upstream, repository, tag))
    }

    async fn content(&self, query: &ContentQuery, _: Consistency) -> Result<ContentView, MetaError> {
        self.with(|(rows, revision)| read::content(rows, query, *revision))
    }

    async fn usage(&self, entry: &EntryRef, _: Consistency) -> Result<Option<Usage>, MetaError> {
        self.with(|(rows, _)| read::usage(rows, entry))
    }

    async fn entries(&self, query: &EntryQuery, _: Consistency) -> Result<EntryPage, MetaError> {
        self.with(|(rows, _)| read::entries(rows, query))
    }

    async fn entry(&self, entry: &EntryRef, _: Consistency) -> Result<Option<CachedEntry>, MetaError> {
        self.with(|(rows, _)| read::entry(rows, entry))
    }

    async fn tokens(&self, group: Option<GroupId>, _: Consistency) -> Result<Vec<TokenView>, MetaError> {
        self.with(|(rows, _)| read::tokens(rows, group))
    }

    async fn propose(&self, command: Command) -> Result<Outcome, MetaError> {
        let proposal = Proposal { at: self.clock.now(), command };
        let applied = self.with(|(rows, revision)| {
            revision.0 += 1;
            let applied = crate::state::apply(rows, &proposal, *revision)?;
            for change in &applied.changes {
                self.hub.publish(change.clone());
            }
            self.hub.reached(*revision);
            self.hub.beat();
            Ok(applied)
        })?;
        self.applied.notify_waiters();
        Ok(applied.outcome?)
    }

    async fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        self.hub.watch(after)
    }
}

#[async_trait]
impl Leases for InMemoryMeta {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        super::open_session(self, registration).await
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        let open = self.with(|(rows, _)| read::sessions(rows))?;
        if open.iter().all(|(id, _)| *id != session) {
            return Err(Refusal::NoSession.into());
        }
        let mut reports = self.reports.lock().expect("no test panics while it holds the reports");
        let now = self.clock.now();
        reports.insert(session, (now, report.clone()));
        reports.retain(|session, _| open.iter().any(|(id, _)| id == session));
        let mut gathered = Gathered::default();
        for (at, report) in reports.values() {
            report.standings.iter().for_each(|said| gathered.add(said, now.since(*at)));
        }
        let member = |(id, session): (SessionId, Session)| {
            let said = reports.get(&id);
            let report = said.map(|(_, report)| Report { standings: Vec::new(), ..report.clone() });
            session.member(id, report, said.map_or(Duration::ZERO, |(at, _)| now.since(*at)))
        };
        let gateways = open.into_iter().map(member).collect();
        Ok(Fleet { gateways, standings: gathered.into_standings() })
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.propose(Command::EndSessions(vec![session])).await.map(drop)
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        super::acquire(self, request).await
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        super::complete(self, completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.propose(Command::Release { key: key.clone(), token }).await.map(drop)
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        let wait = async {
            loop {
                let mut applied = std::pin::pin!(self.applied.notified());
                applied.as_mut().enable();
                let lease = self.with(|(rows, _)| read::lease(rows, key))?;
                if lease.is_none_or(|lease| lease.token != token) {
                    return Ok(true);
                }
                applied.await;
            }
        };
        tokio::time::timeout(patience, wait).await.unwrap_or(Ok(false))
    }
}
