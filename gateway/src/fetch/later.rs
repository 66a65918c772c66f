//! What was fetched while the metadata took no writes, recorded when it does again.
//!
//! The bytes lie in object storage already, under a name that nobody was granted; here waits what is to be said of them. It
//! waits in memory: a gateway that ends meanwhile leaves objects that nothing names, for the collector.

use std::sync::{Mutex, MutexGuard, PoisonError};

use roadstead_proto::domain::entry::{EntryRef, ObjectKey};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::lease::{Completion, Holder, LeaseKey, TagVerdict};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::MetaError;
use roadstead_proto::state::command::Recorded;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Tools;
use super::record::Content;
use super::waiting::{InHand, Waiting};
use crate::lease::Lease;
use crate::metrics::Counted;

/// What is to be recorded.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) key: LeaseKey,
    pub(super) entry: EntryRef,
    pub(super) upstream_epoch: Epoch,
    pub(super) began: Revision,
    /// The content that came, where any did.
    pub(super) content: Option<Content>,
    /// What the upstream said of the tag, and when.
    pub(super) tag: Option<(TagVerdict, Timestamp)>,
    /// As long as it waits it is not recorded.
    pub(super) _unrecorded: Counted,
}

/// Results that wait.
#[derive(Debug, Default)]
pub struct Later {
    waiting: Mutex<Waiting>,
    /// Rung where somebody waits for one of them.
    hurry: Notify,
}

/// How often the lease on something that is waited for is asked for, in a row: who waits gives it back.
const HURRIED_TRIES: u32 = 4;

/// What became of one.
enum Ended {
    Done,
    /// Nobody can record it any more.
    Void,
    /// Another try may succeed: at once, or when the metadata is back.
    Waits(Box<Deferred>),
    /// One may once this holder has given the lease back.
    Held(Box<Deferred>, Holder),
}

impl Later {
    fn queue(&self) -> MutexGuard<'_, Waiting> {
        // Every section only inserts or removes.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, deferred: Deferred) {
        self.queue().push(deferred);
    }

    /// Whether something of this key is to be recorded. It is tried next, and now.
    pub(super) fn hurry(&self, key: &LeaseKey) -> bool {
        let waits = self.queue().hurry(key);
        if waits {
            self.hurry.notify_one();
        }
        waits
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue().len()
    }
}

impl Tools {
    /// Records what waits whenever the metadata is there, until `stop`.
    pub(crate) async fn record_what_waits(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.session.is_back() => {}
                () = self.later.hurry.notified() => {}
                () = tokio::time::sleep(limits::LATER_EVERY) => {}
            }
            self.record_waiting().await;
        }
        // The last chance.
        self.record_waiting().await;
        let left = self.later.waiting();
        if left > 0 {
            warn!(left, "results of the time without metadata are lost with this process: they will be fetched again");
        }
    }

    async fn record_waiting(&self) {
        let waiting = self.later.waiting();
        let mut recorded = 0;
        // Each is tried once: what has to wait goes to the end.
        for _ in 0..waiting {
            if self.session.is_away() {
                break;
            }
            let Some(InHand { deferred, is_hurried }) = self.later.queue().take() else { break };
            let key = deferred.key.clone();
            let mut tries = if is_hurried { HURRIED_TRIES } else { 1 };
            let mut ended = self.record_deferred(deferred).await;
            while let Ended::Held(deferred, holder) = ended {
                tries -= 1;
                if tries == 0 {
                    ended = Ended::Waits(deferred);
                    break;
                }
                self.session.ended(&key, &holder, limits::HOLDER_PATIENCE).await;
                ended = self.record_deferred(*deferred).await;
            }
            match ended {
                Ended::Waits(deferred) | Ended::Held(deferred, _) => self.later.queue().put_back(*deferred),
                Ended::Done | Ended::Void => {
                    recorded += u32::from(matches!(ended, Ended::Done));
                    self.later.queue().settle(&key);
                }
            }
        }
        if recorded > 0 {
            info!(recorded, "results of the time without metadata are recorded");
        }
    }

    async fn record_deferred(&self, deferred: Deferred) -> Ended {
        let object = deferred.content.as_ref().map(|content| content.object);
        let (key, entry, epoch) = (deferred.key.clone(), deferred.entry.clone(), deferred.upstream_epoch);
        // What it heals does not count as stored.
        let distrusts = deferred.content.as_ref().and_then(|content| content.replaces);
        match self.session.acquire(key, entry, epoch, distrusts).await {
            Ok(Lease::Held(held)) => {
                let completion = deferred.completion(self.clock.now(), self.session.region());
                match held.complete(|key, token| Completion { key, token, ..completion }).await {
                    Ok(Recorded::Live(location)) => {
                        self.discard_unless(object, location.map(|location| location.key)).await;
                        Ended::Done
                    }
                    Ok(Recorded::Outdated) => {
                        self.discard_unless(object, None).await;
                        Ended::Void
                    }
                    Err(MetaError::Refused(refusal)) => {
                        debug!(%refusal, "a late result was refused");
                        Ended::Waits(Box::new(deferred))
                    }
                    Err(_) => Ended::Waits(Box::new(deferred)),
                }
            }
            // Somebody else brought the same home; it may also be our own first try, whose answer was lost.
            Ok(Lease::Stored(stored)) => {
                self.discard_unless(object, Some(stored.0.key)).await;
                Ended::Done
            }
            Ok(Lease::Elsewhere(holder)) => Ended::Held(Box::new(deferred), holder),
            Err(MetaError::Refused(refusal)) => {
                debug!(%refusal, "a late result is void");
                self.discard_unless(object, None).await;
                Ended::Void
            }
            Err(_) => Ended::Waits(Box::new(deferred)),
        }
    }

    /// Deletes our object where another one is the live one.
    async fn discard_unless(&self, ours: Option<ObjectKey>, live: Option<ObjectKey>) {
        if let Some(ours) = ours
            && live != Some(ours)
        {
            // First what is known of it here: whoever asks looks again.
            self.catalog.forget_object(ours);
            self.discard(&ours).await;
        }
    }
}

impl Deferred {
    /// What is recorded; key and token are the lease's.
    fn completion(&self, now: Timestamp, region: &roadstead_proto::domain::registry::RegionId) -> Completion {
        let tag = self.tag.clone().map(|(verdict, said)| match verdict {
            TagVerdict::Names { digest, upstream_etag, registry, not_here, routing, .. } => {
                TagVerdict::Names { digest, upstream_etag, registry, not_here, routing, age: now.since(said) }
            }
            TagVerdict::Gone => TagVerdict::Gone,
        });
        Completion {
            key: self.key.clone(),
            token: roadstead_proto::domain::lease::FencingToken(0),
            began: self.began,
            entry: self.entry.clone(),
            delivered: self.content.as_ref().map(|content| content.delivered(region.clone())),
            tag,
        }
    }
}
