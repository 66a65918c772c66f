//! One gateway's way to the leases: tests see what goes over it, and hold it up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::meta::{Leases, MetaError};
use roadstead_proto::state::command::Recorded;
use tokio::sync::watch;

use crate::world::World;

/// See the module's text.
pub(crate) struct Line {
    meta: Arc<InMemoryMeta>,
    is_cut: AtomicBool,
    is_silent: watch::Sender<bool>,
    is_slow: watch::Sender<bool>,
    granted: Mutex<Vec<FencingToken>>,
    completed: Mutex<Vec<FencingToken>>,
}

impl Line {
    pub(crate) fn of(world: &World) -> Arc<Self> {
        let (granted, completed) = (Mutex::default(), Mutex::default());
        let (is_cut, is_silent, is_slow) =
            (AtomicBool::new(false), watch::Sender::new(false), watch::Sender::new(false));
        Arc::new(Self { meta: Arc::clone(&world.meta), is_cut, is_silent, is_slow, granted, completed })
    }

    /// While it is cut, every call says that the metadata cannot be reached.
    pub(crate) fn is_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    fn through(&self) -> Result<&InMemoryMeta, MetaError> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(MetaError::Unavailable("the test has cut the line".to_owned()));
        }
        Ok(&self.meta)
    }

    /// Signs of life wait while it is silent: the gateway does not hear that its session has ended.
    pub(crate) fn is_silent(&self, is_silent: bool) {
        self.is_silent.send_replace(is_silent);
    }

    /// Grants wait while it is slow.
    pub(crate) fn is_slow(&self, is_slow: bool) {
        self.is_slow.send_replace(is_slow);
    }

    /// The tokens that downloads were granted over it.
    pub(crate) fn granted(&self) -> Vec<FencingToken> {
        self.granted.lock().unwrap().clone()
    }

    /// The tokens under which results were to be recorded, whether they were or not.
    pub(crate) fn completed(&self) -> Vec<FencingToken> {
        self.completed.lock().unwrap().clone()
    }
}

#[async_trait]
impl Leases for Line {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        self.through()?.open_session(registration).await
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await.unwrap();
        self.through()?.keep_alive(session, report).await
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.through()?.close_session(session).await
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        let is_of_a_blob = matches!(request.key, LeaseKey::Fill { .. });
        let acquired = self.through()?.acquire(request).await?;
        if let (Acquired::Granted(token), true) = (&acquired, is_of_a_blob) {
            self.granted.lock().unwrap().push(*token);
            self.is_slow.subscribe().wait_for(|is_slow| !is_slow).await.unwrap();
        }
        Ok(acquired)
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        self.completed.lock().unwrap().push(completion.token);
        self.through()?.complete(completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.through()?.release(key, token).await
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        self.through()?.await_release(key, token, patience).await
    }
}
