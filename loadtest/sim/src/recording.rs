//! The metadata as a gateway sees it, with what it asks and hears written down.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::entry::{CachedEntry, EntryRef, TagEntry, TagKey, Usage};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use roadstead_proto::domain::registry::{GroupId, UpstreamId};
use roadstead_proto::meta::{Consistency, Leases, MetaError, MetaStore, Watch, WatchEvent};
use roadstead_proto::state::command::{Command, Outcome, Recorded, Refusal};
use roadstead_proto::state::read::{ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView};
use tokio::sync::mpsc;

use crate::history::{Counter, Recorder, What};
use crate::sabotage::Sabotage;

/// See the module's text.
pub(crate) struct Recording<M> {
    inner: Arc<M>,
    recorder: Recorder,
    calls: Counter,
    sabotage: Option<Sabotage>,
}

impl<M> Recording<M> {
    pub(crate) fn new(inner: Arc<M>, recorder: Recorder, calls: Counter, sabotage: Option<Sabotage>) -> Self {
        Self { inner, recorder, calls, sabotage }
    }
}

impl<M> Recording<M> {
    fn sabotaged(&self, answer: Result<Acquired, MetaError>) -> Result<Acquired, MetaError> {
        match (self.sabotage, answer) {
            (Some(Sabotage::EverybodyLeads), Ok(Acquired::Held(_))) => {
                Ok(Acquired::Granted(FencingToken(1_000_000 + self.calls.next())))
            }
            (Some(Sabotage::OneToken), Ok(Acquired::Granted(_))) => Ok(Acquired::Granted(FencingToken(7))),
            (_, answer) => answer,
        }
    }
}

/// The revision that a watch speaks of.
pub(crate) fn revision_of(event: &WatchEvent) -> u64 {
    match event {
        WatchEvent::Changed(change) => change.revision.0,
        WatchEvent::Progress(revision) => revision.0,
    }
}

#[async_trait]
impl<M: MetaStore> MetaStore for Recording<M> {
    async fn configuration(&self, consistency: Consistency) -> Result<Configuration, MetaError> {
        self.inner.configuration(consistency).await
    }

    async fn tag(&self, key: &TagKey, consistency: Consistency) -> Result<TagView, MetaError> {
        self.inner.tag(key, consistency).await
    }

    async fn tag_entry(
        &self,
        upstream: UpstreamId,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Result<Option<TagEntry>, MetaError> {
        self.inner.tag_entry(upstream, repository, tag, consistency).await
    }

    async fn content(&self, query: &ContentQuery, consistency: Consistency) -> Result<ContentView, MetaError> {
        self.inner.content(query, consistency).await
    }

    async fn usage(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<Usage>, MetaError> {
        self.inner.usage(entry, consistency).await
    }

    async fn entries(&self, query: &EntryQuery, consistency: Consistency) -> Result<EntryPage, MetaError> {
        self.inner.entries(query, consistency).await
    }

    async fn entry(&self, entry: &EntryRef, consistency: Consistency) -> Result<Option<CachedEntry>, MetaError> {
        self.inner.entry(entry, consistency).await
    }

    async fn tokens(&self, group: Option<GroupId>, consistency: Consistency) -> Result<Vec<TokenView>, MetaError> {
        self.inner.tokens(group, consistency).await
    }

    async fn propose(&self, command: Command) -> Result<Outcome, MetaError> {
        self.inner.propose(command).await
    }

    async fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        let mut watch = self.inner.watch(after).await?;
        let recorder = self.recorder.clone();
        let watcher = format!("{}#{}", recorder.host(), self.calls.next());
        recorder.record(What::WatchBegan { watcher: watcher.clone(), after: after.0 });
        let is_sabotaged = self.sabotage == Some(Sabotage::OldNews);
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            loop {
                let event = watch.next().await;
                if let Ok(event) = &event {
                    recorder.record(What::Heard { watcher: watcher.clone(), revision: revision_of(event) });
                }
                let is_over = event.is_err();
                if is_sabotaged && event.is_ok() {
                    recorder.record(What::Heard { watcher: watcher.clone(), revision: 0 });
                }
                if sender.send(event).await.is_err() || is_over {
                    return;
                }
            }
        });
        Ok(Watch::relay(receiver))
    }
}

#[async_trait]
impl<M: Leases> Leases for Recording<M> {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        self.inner.open_session(registration).await
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        let answer = self.inner.keep_alive(session, report).await;
        if matches!(answer, Err(MetaError::Refused(Refusal::NoSession))) {
            self.recorder.record(What::SessionLost);
        }
        answer
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.inner.close_session(session).await
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        let (call, key) = (self.calls.next(), format!("{:?}", request.key));
        self.recorder.record(What::AcquireAsked { call, key: key.clone() });
        let answer = self.sabotaged(self.inner.acquire(request).await);
        self.recorder.record(match &answer {
            Ok(Acquired::Granted(token)) => What::Granted { call, key, token: token.0 },
            _ => What::NotGranted { call },
        });
        if matches!(answer, Err(MetaError::Refused(Refusal::NoSession))) {
            self.recorder.record(What::SessionLost);
        }
        answer
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        let (call, key, token) = (self.calls.next(), format!("{:?}", completion.key), completion.token.0);
        self.recorder.record(What::CompleteAsked { call, key, token });
        let answer = self.inner.complete(completion).await;
        let accepted = match &answer {
            Ok(_) => Some(true),
            Err(MetaError::Refused(_)) => Some(false),
            Err(_) => None,
        };
        self.recorder.record(What::Completed { call, accepted });
        answer
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.inner.release(key, token).await
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        self.inner.await_release(key, token, patience).await
    }
}
