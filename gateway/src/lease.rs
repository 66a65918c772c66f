//! The gateway's session with the cluster, and leases on it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use futures::future::poll_immediate;
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::epoch::Epoch;
use roadstead_proto::domain::fleet::{Fleet, Registration};
use roadstead_proto::domain::lease::{
    AcquireRequest, Acquired, Completion, FencingToken, GatewayId, Holder, KEEP_ALIVE_EVERY, LeaseKey, SESSION_TTL,
    SessionId,
};
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::meta::{Leases, MetaError};
use roadstead_proto::state::command::{Recorded, Refusal};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::fleet::News;

/// One gateway's session: opened when first needed, kept alive, opened anew when it was lost.
pub struct Session {
    leases: Arc<dyn Leases>,
    registration: Registration,
    /// What was heard of the fleet last.
    fleet: ArcSwap<Fleet>,
    away: AtomicBool,
    /// Since when it is back.
    back_since: ArcSwapOption<Instant>,
    /// Rung when the metadata is back.
    back: Notify,
    /// The last session that ended: its leases, and those of all before it, are others' now.
    ended: watch::Sender<SessionId>,
    /// Async, because it is held while a session is opened: callers that come meanwhile want that one.
    current: Mutex<Option<SessionId>>,
}

/// A lease in hand. Dropping it without [`Held::complete`] releases it in the background.
#[derive(Debug)]
pub struct Held {
    session: Arc<Session>,
    /// It ends with this.
    id: SessionId,
    key: Option<LeaseKey>,
    /// The token of the grant.
    pub token: FencingToken,
}

/// The answer to a wish for a lease.
#[derive(Debug)]
pub enum Lease {
    /// It is ours.
    Held(Held),
    /// Another gateway works on it.
    Elsewhere(Holder),
    /// Nothing to do.
    Stored(Box<(roadstead_proto::domain::entry::BlobLocation, roadstead_proto::domain::entry::Right)>),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("gateway", &self.registration.gateway).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that is opened when first needed.
    pub fn new(leases: Arc<dyn Leases>, registration: Registration) -> Self {
        let (fleet, away, back) = (ArcSwap::default(), AtomicBool::new(false), Notify::new());
        let back_since = ArcSwapOption::empty();
        let ended = watch::Sender::new(SessionId(0));
        Self { leases, registration, fleet, away, back_since, back, ended, current: Mutex::new(None) }
    }

    /// The name of this gateway.
    pub fn gateway(&self) -> &GatewayId {
        &self.registration.gateway
    }

    /// The region of this gateway.
    pub fn region(&self) -> &RegionId {
        &self.registration.region
    }

    /// The session, or a new one. Whoever waited here for another's attempt does not make one more of its own.
    async fn current(&self) -> Result<SessionId, MetaError> {
        let mut current = self.current.lock().await;
        if let Some(session) = *current {
            return Ok(session);
        }
        if self.is_away() {
            return Err(MetaError::Unavailable("the metadata is away".to_owned()));
        }
        self.open(&mut current).await
    }

    async fn open(&self, current: &mut Option<SessionId>) -> Result<SessionId, MetaError> {
        let session = self.leases.open_session(&self.registration).await?;
        debug!(session = session.0, "session opened");
        *current = Some(session);
        Ok(session)
    }

    async fn lost(&self, session: SessionId) {
        self.ended.send_if_modified(|ended| {
            *ended < session && {
                *ended = session;
                true
            }
        });
        let mut current = self.current.lock().await;
        if *current == Some(session) {
            *current = None;
        }
    }

    /// One sign of life, and what comes back.
    async fn exchange(&self, news: &News) -> Result<(), MetaError> {
        let session = {
            let mut current = self.current.lock().await;
            match *current {
                Some(session) => session,
                None => self.open(&mut current).await?,
            }
        };
        let (report, at) = news.report();
        match self.leases.keep_alive(session, &report).await {
            Ok(fleet) => {
                self.heard(Ok(&fleet));
                news.heard(&fleet, at);
            }
            // A new one is opened the next time.
            Err(MetaError::Refused(Refusal::NoSession)) => {
                warn!(
                    session = session.0, gateway = %self.registration.gateway.0,
                    "the session was lost: this gateway was silent for too long, or another process goes by the same gateway id"
                );
                self.lost(session).await;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks for a lease on `key`, to record `entry`.
    pub async fn acquire(
        self: &Arc<Self>,
        key: LeaseKey,
        entry: EntryRef,
        upstream_epoch: Epoch,
        distrusts: Option<FencingToken>,
    ) -> Result<Lease, MetaError> {
        let mut reopened = false;
        loop {
            let session = self.current().await.inspect_err(|error| self.heard(Err(error)))?;
            let request = AcquireRequest {
                session,
                key: key.clone(),
                entry: entry.clone(),
                upstream_epoch,
                region: self.registration.region.clone(),
                distrusts,
            };
            match self.leases.acquire(request).await {
                Ok(Acquired::Granted(token)) => {
                    return Ok(Lease::Held(Held { session: Arc::clone(self), id: session, key: Some(key), token }));
                }
                Ok(Acquired::Held(holder)) => return Ok(Lease::Elsewhere(holder)),
                Ok(Acquired::Stored { location, right }) => return Ok(Lease::Stored(Box::new((location, right)))),
                Err(MetaError::Refused(Refusal::NoSession)) if !reopened => {
                    reopened = true;
                    self.lost(session).await;
                }
                Err(error) => {
                    self.heard(Err(&error));
                    return Err(error);
                }
            }
        }
    }

    /// Waits until another's lease has ended, at most for `patience`; whether that came to be.
    pub async fn ended(&self, key: &LeaseKey, holder: &Holder, patience: Duration) -> bool {
        match self.leases.await_release(key, holder.token, patience).await {
            Ok(has_ended) => has_ended,
            Err(_) => {
                // The metadata is away: who asks next will hear of it.
                tokio::time::sleep(patience.min(RELEASE_PAUSE)).await;
                false
            }
        }
    }

    /// The gateways, as last heard.
    pub fn fleet(&self) -> Arc<Fleet> {
        self.fleet.load_full()
    }

    /// The other gateways of this region that can be called.
    pub fn neighbours<'a>(&'a self, fleet: &'a Fleet) -> impl Iterator<Item = &'a Registration> {
        let others = fleet.gateways.iter().map(|member| &member.registration);
        others.filter(|there| {
            there.gateway != *self.gateway() && there.region == *self.region() && !there.address.is_empty()
        })
    }

    /// Whether the metadata takes no writes, as far as is known. What needs a lease does not wait for one then.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Whether the metadata came back less than `lately` ago: others may not have noticed yet.
    pub fn is_back_since(&self, lately: Duration) -> bool {
        self.back_since.load().as_ref().is_some_and(|since| since.elapsed() < lately)
    }

    /// Returns while the metadata takes writes: at once, or when it does again.
    pub async fn is_there(&self) {
        while self.is_away() {
            let mut back = pin!(self.is_back());
            // What rings between the question and the wait is heard.
            if poll_immediate(back.as_mut()).await.is_none() && self.is_away() {
                back.await;
            }
        }
    }

    /// Returns when the metadata takes writes again.
    pub async fn is_back(&self) {
        self.back.notified().await;
    }

    fn heard(&self, answer: Result<&Fleet, &MetaError>) {
        match answer {
            Ok(fleet) => {
                self.fleet.store(Arc::new(fleet.clone()));
                if self.away.swap(false, Ordering::Relaxed) {
                    info!("the metadata is back");
                    self.back_since.store(Some(Arc::new(Instant::now())));
                    self.back.notify_waiters();
                }
            }
            Err(MetaError::Refused(_)) => {}
            Err(error) => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    warn!(%error, "the metadata is away: what is fetched is recorded later");
                }
            }
        }
    }

    /// Keeps the session alive until `stop`, and exchanges news with the fleet as it does; then closes it.
    pub async fn keep_alive(self: Arc<Self>, news: Arc<News>, stop: CancellationToken) {
        let exchanges = async {
            loop {
                // One that hangs is as good as none, and by then the session has ended.
                let answer = tokio::time::timeout(SESSION_TTL, self.exchange(&news)).await;
                let answer =
                    answer.unwrap_or_else(|_| Err(MetaError::Unavailable(format!("silent for {SESSION_TTL:?}"))));
                if let Err(error) = answer {
                    debug!(%error, "the session could not be kept alive");
                    self.heard(Err(&error));
                    news.unheard();
                }
                // Sooner, where there is something to find out.
                let pause = if self.is_away() { KEEP_ALIVE_EVERY / 4 } else { KEEP_ALIVE_EVERY };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = exchanges => {}
        }
        if let Some(session) = self.current.lock().await.take()
            && let Err(error) = self.leases.close_session(session).await
        {
            debug!(%error, "the session could not be closed; it ends by itself");
        }
    }
}

/// Pause where the end of another's lease cannot be waited for.
const RELEASE_PAUSE: Duration = Duration::from_millis(200);
/// Pause before a lease that could not be given back is tried again.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);
/// Tries at recording a result; what is to be recorded is kept meanwhile.
const COMPLETE_TRIES: u32 = 5;
/// First pause between two of them; doubles each time.
const COMPLETE_PAUSE: Duration = Duration::from_millis(50);

impl Held {
    /// What it is on.
    pub fn key(&self) -> Option<&LeaseKey> {
        self.key.as_ref()
    }

    /// Returns once the session has ended, and the lease with it: another gateway may have it by now.
    pub async fn lost(&self) {
        // The sender is the session's, which is in our hands.
        drop(self.session.ended.subscribe().wait_for(|ended| *ended >= self.id).await);
    }

    /// Records a result and gives the lease back. `build` gets the key and the token.
    pub async fn complete(
        mut self,
        build: impl FnOnce(LeaseKey, FencingToken) -> Completion,
    ) -> Result<Recorded, MetaError> {
        let Some(key) = self.key.take() else { return Err(MetaError::Refused(Refusal::LeaseLost)) };
        let completion = build(key.clone(), self.token);
        let mut attempt = 0;
        loop {
            match self.session.leases.complete(completion.clone()).await {
                // After an answer that was lost, "lease lost" may mean that the first try was recorded.
                Err(error) if attempt + 1 < COMPLETE_TRIES && error.code().is_retryable() => {
                    tokio::time::sleep(COMPLETE_PAUSE * 2u32.pow(attempt)).await;
                    attempt += 1;
                }
                Err(error) if error.code().is_retryable() => {
                    // It may be held still, as long as the session lives: given back when this is dropped.
                    self.key = Some(key);
                    return Err(error);
                }
                ended => return ended,
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let (session, token) = (Arc::clone(&self.session), self.token);
        // Without a runtime the process is ending, and the lease ends with the session.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let id = self.id;
            runtime.spawn(async move {
                // A lease that is not given back keeps the others waiting as long as the session lives, and that outlives outages.
                while let Err(error) = session.leases.release(&key, token).await {
                    debug!(%error, "a lease could not be given back yet");
                    let has_ended = *session.ended.borrow() >= id;
                    if has_ended || !error.code().is_retryable() {
                        break;
                    }
                    tokio::select! {
                        () = session.is_back() => {}
                        () = tokio::time::sleep(RELEASE_AGAIN) => {}
                    }
                }
            });
        }
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
