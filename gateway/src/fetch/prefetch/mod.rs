//! Fetches what a client will ask for next: the configuration and the layers of an image whose manifest it was just given,
//! and which the upstream had to be asked for.
//!
//! A prefetch is the fill that a client's GET would start, with the same lease, rights and record; there is no second way to
//! download. It differs in when it begins: a few at a time, and only while few downloads are under way. What still waits here
//! holds nothing, so that a client that asks first starts the download itself at once; the prefetch then finds it running. A
//! client that asks for a running one joins it, and it is the client's from then on: its place here is free.
//!
//! Nothing here fails a pull, and nothing is tried again: who needs the blob asks for it. While an upstream fails, or what
//! was fetched could not be kept, nothing is fetched for nobody.
//!
//! | file | what it holds |
//! |---|---|
//! | `plan` | what of a manifest is fetched (pure) |

mod plan;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::plan::Planned;
use super::blobs::Blobs;
use super::error::FillFailure;
use super::fill::{Fill, Phase};
use super::join::Wanted;
use super::source::Lost;
use crate::config::Prefetch;
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::upstream::standing::Circuit;

/// See the module's text.
pub struct Prefetcher {
    blobs: Arc<Blobs>,
    /// For prefetches under way.
    places: Arc<Semaphore>,
    queue: mpsc::Sender<Queued>,
    /// What is in the way, and until when that is believed.
    troubles: Mutex<HashMap<Trouble, Timestamp>>,
    /// What was prefetched and nobody has asked for yet.
    unused: Cache<Digest, ()>,
}

/// The other end of a prefetcher's queue: a job of the gateway.
pub struct Waiting {
    prefetcher: Arc<Prefetcher>,
    queue: mpsc::Receiver<Queued>,
    /// The next one, while it waits for its place.
    next: Option<Queued>,
}

/// A blob to be prefetched, some time soon.
struct Queued {
    /// For the one upstream that the manifest is from.
    permit: Permit,
    view: Arc<UpstreamView>,
    blob: Planned,
    since: Timestamp,
}

/// Why prefetching would be for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trouble {
    /// An upstream failed, or asks to be left alone: it has no strength to spare for what nobody waits for.
    Upstream(UpstreamId),
    /// What was fetched was not kept: who asks for it has it fetched again.
    Keeping,
}

/// What is to be done about a blob.
enum Now {
    /// This is its download, and nobody else's so far.
    Leads(Arc<Fill>),
    /// Nothing, for this reason.
    Nothing(&'static str),
}

impl std::fmt::Debug for Prefetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefetcher").field("places", &self.places).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}

impl Prefetcher {
    /// A prefetcher, and the queue that has to be run for anything to happen.
    pub fn new(blobs: Arc<Blobs>, settings: Prefetch) -> (Arc<Self>, Waiting) {
        let (sender, queue) = mpsc::channel(limits::PREFETCH_QUEUE_MAX);
        let prefetcher = Arc::new(Self {
            blobs,
            places: Arc::new(Semaphore::new(settings.at_once.get())),
            queue: sender,
            troubles: Mutex::default(),
            unused: Cache::new(limits::PREFETCHED_IN_MEMORY),
        });
        (Arc::clone(&prefetcher), Waiting { prefetcher, queue, next: None })
    }

    /// Takes note of a manifest that an upstream was asked for and that a client is now given. Waits for nothing: what does
    /// not fit into the queue is let go.
    pub fn manifest_served(&self, permit: &Permit, upstream: UpstreamId, manifest: &[u8]) {
        let Some(view) = permit.registry().upstream(upstream) else { return };
        let (permit, since) = (permit.at(view), self.blobs.tools.clock.now());
        for blob in plan::plan(manifest) {
            let queued = Queued { permit: permit.clone(), view: Arc::clone(view), blob, since };
            match self.queue.try_send(queued) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => self.count("full"),
                Err(mpsc::error::TrySendError::Closed(_)) => self.count("draining"),
            }
        }
    }

    /// Takes note of a blob that a client gets.
    pub fn blob_served(&self, digest: &Digest) {
        if self.unused.contains_key(digest) && self.unused.remove(digest).is_some() {
            self.blobs.tools.metrics.prefetch_used();
        }
    }

    fn count(&self, outcome: &'static str) {
        self.blobs.tools.metrics.prefetch_ended(outcome);
    }

    /// Gives a blob its place.
    fn begin(self: &Arc<Self>, place: OwnedSemaphorePermit, queued: Queued) {
        let prefetcher = Arc::clone(self);
        self.blobs.tools.tasks.spawn(async move {
            let outcome = prefetcher.prefetch(&queued).await;
            debug!(digest = %queued.blob.digest, upstream = %queued.view.upstream.id, outcome, "prefetch");
            prefetcher.count(outcome);
            drop(place);
        });
    }

    async fn prefetch(&self, queued: &Queued) -> &'static str {
        let Queued { permit, view, blob, since } = queued;
        let now = self.blobs.tools.clock.now();
        if now.since(*since) > limits::PREFETCH_WAIT_MAX {
            return "late";
        }
        // Not even to find out whether it is well again: that is for who waits for the answer.
        let is_well = self.blobs.tools.client.is_well(view, Circuit::Blobs);
        if !is_well || self.is_in_the_way(Trouble::Upstream(view.upstream.id), now) {
            return "upstream_failing";
        }
        if self.is_in_the_way(Trouble::Keeping, now) {
            return "store_failing";
        }
        let fill = match self.blobs.prefetch(permit, view, blob).await {
            Now::Leads(fill) => fill,
            Now::Nothing(reason) => return reason,
        };
        // From the beginning: a client may ask for it while it runs.
        self.unused.insert(blob.digest, ());
        let _running = self.blobs.tools.metrics.prefetching();
        if !fill.class().ended_unasked().await {
            return "promoted";
        }
        let is_kept = self.blobs.tools.catalog.known(view, permit.repository(), &blob.digest).is_some();
        let ended = fill.answered().await;
        if let (Phase::Verified { size }, true) = (&ended, is_kept) {
            self.blobs.tools.metrics.prefetched(*size);
            return "fetched";
        }
        self.unused.invalidate(&blob.digest);
        match ended {
            Phase::Stored(_) => "stored",
            Phase::NotHere(_) => "not_here",
            Phase::Verified { .. } => {
                self.avoid(Trouble::Keeping, limits::PREFETCH_STORE_PAUSE);
                "not_stored"
            }
            // Whoever leads it keeps it for all.
            Phase::Failed(FillFailure::Elsewhere) => "elsewhere",
            Phase::Failed(failure) => {
                debug!(digest = %blob.digest, upstream = %view.upstream.id, %failure, "a prefetch failed");
                if matches!(failure, FillFailure::Spool(_)) {
                    self.avoid(Trouble::Keeping, limits::PREFETCH_STORE_PAUSE);
                }
                if let FillFailure::Upstream { fault, .. } = failure {
                    let pause = fault.retry_after().unwrap_or_default().max(limits::FAULT_MEMORY);
                    self.avoid(Trouble::Upstream(view.upstream.id), pause);
                }
                "failed"
            }
            Phase::Asking | Phase::Open { .. } => "failed",
        }
    }

    fn troubles(&self) -> MutexGuard<'_, HashMap<Trouble, Timestamp>> {
        // Every section only inserts or removes.
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in_the_way(&self, trouble: Trouble, now: Timestamp) -> bool {
        self.troubles().get(&trouble).is_some_and(|until| now < *until)
    }

    fn avoid(&self, trouble: Trouble, pause: Duration) {
        let now = self.blobs.tools.clock.now();
        let mut troubles = self.troubles();
        troubles.retain(|_, until| now < *until);
        troubles.insert(trouble, now.after(pause));
    }
}

impl Waiting {
    /// Gives places to what is queued until `stop`; what waits then is let go.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some((place, queued))) = stop.run_until_cancelled(self.next()).await {
            self.prefetcher.begin(place, queued);
        }
        self.queue.close();
        let in_hand = self.next.take().into_iter();
        in_hand
            .chain(std::iter::from_fn(|| self.queue.try_recv().ok()))
            .for_each(|_| self.prefetcher.count("draining"));
    }

    async fn next(&mut self) -> Option<(OwnedSemaphorePermit, Queued)> {
        if self.next.is_none() {
            self.next = Some(self.queue.recv().await?);
        }
        let place = Arc::clone(&self.prefetcher.places).acquire_owned().await.ok()?;
        self.prefetcher.blobs.turns.quiet().await;
        Some((place, self.next.take()?))
    }
}

impl Blobs {
    /// Begins the download of a blob that nobody has asked for, unless it is there, on its way, or of no use.
    async fn prefetch(self: &Arc<Self>, permit: &Permit, view: &Arc<UpstreamView>, blob: &Planned) -> Now {
        let (catalog, repository, digest) = (&self.tools.catalog, permit.repository(), &blob.digest);
        if catalog.known(view, repository, digest).is_some() {
            return Now::Nothing("stored");
        }
        let Ok(looked_up) = catalog.look_up(permit.registry(), repository, digest).await else {
            // It could not be recorded, and would be downloaded again.
            return Now::Nothing("no_metadata");
        };
        // What another repository of the same source has delivered is a HEAD away from whoever asks.
        if !looked_up.known.is_empty() || !looked_up.delivered.is_empty() {
            return Now::Nothing("stored");
        }
        if catalog.not_here(view, repository, &Reference::Digest(*digest), self.tools.clock.now()).is_some() {
            return Now::Nothing("not_here");
        }
        let lost = looked_up.damaged.map(|object| Lost { object });
        let wanted = Wanted { view, repository, digest, size: Some(blob.size), lost, elsewhere: false };
        self.lead_prefetch(&wanted, blob.size).map_or(Now::Nothing("running"), Now::Leads)
    }
}
