//! One gateway's way to the metadata, which a test can cut while the others keep theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use roadstead_proto::domain::fleet::{Fleet, Registration, Report};
use roadstead_proto::domain::lease::{AcquireRequest, Acquired, Completion, FencingToken, LeaseKey, SessionId};
use roadstead_proto::meta::{Leases, MetaError};
use roadstead_proto::state::command::Recorded;

/// Leases by way of a line that can be cut.
pub(crate) struct Line {
    leases: Arc<dyn Leases>,
    cut: AtomicBool,
    acquired: AtomicUsize,
}

impl Line {
    pub(crate) fn new(leases: Arc<dyn Leases>) -> Arc<Self> {
        Arc::new(Self { leases, cut: AtomicBool::new(false), acquired: AtomicUsize::new(0) })
    }

    /// While it is cut, every call says that the metadata cannot be reached.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }

    /// How often this gateway was granted a lease.
    pub(crate) fn acquired(&self) -> usize {
        self.acquired.load(Ordering::SeqCst)
    }

    fn through(&self) -> Result<&dyn Leases, MetaError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(MetaError::Unavailable("the test has cut the line".to_owned()));
        }
        Ok(&*self.leases)
    }
}

#[async_trait]
impl Leases for Line {
    async fn open_session(&self, registration: &Registration) -> Result<SessionId, MetaError> {
        self.through()?.open_session(registration).await
    }

    async fn keep_alive(&self, session: SessionId, report: &Report) -> Result<Fleet, MetaError> {
        self.through()?.keep_alive(session, report).await
    }

    async fn close_session(&self, session: SessionId) -> Result<(), MetaError> {
        self.through()?.close_session(session).await
    }

    async fn acquire(&self, request: AcquireRequest) -> Result<Acquired, MetaError> {
        let acquired = self.through()?.acquire(request).await;
        if matches!(acquired, Ok(Acquired::Granted(_))) {
            self.acquired.fetch_add(1, Ordering::SeqCst);
        }
        acquired
    }

    async fn complete(&self, completion: Completion) -> Result<Recorded, MetaError> {
        self.through()?.complete(completion).await
    }

    async fn release(&self, key: &LeaseKey, token: FencingToken) -> Result<(), MetaError> {
        self.through()?.release(key, token).await
    }

    async fn await_release(&self, key: &LeaseKey, token: FencingToken, patience: Duration) -> Result<bool, MetaError> {
        self.through()?.await_release(key, token, patience).await
    }
}
