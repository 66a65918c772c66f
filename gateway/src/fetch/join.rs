//! One download for all who want a blob of a source: join the one that runs, or lead a new one.

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::RepositoryName;

use super::blobs::{Blobs, FillKey};
use super::error::{FetchError, FillFailure, upstream_fault};
use super::fill::{Fill, Phase};
use super::source::{ByteOrigin, Lost, Source, stored};
use super::spool::{Reader, SpoolError};
use super::task::{Finish, Standing, Task};
use super::turns::Class;
use crate::catalog::LookedUp;
use crate::config::Timeouts;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::error::{Answer, Fault};
use crate::upstream::standing::Circuit;

/// How often a joiner looks for another download after one that was not its own failed.
const JOIN_ATTEMPTS: usize = 3;

/// A blob that is wanted of one upstream.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) view: &'a Arc<UpstreamView>,
    pub(super) repository: &'a RepositoryName,
    pub(super) digest: &'a Digest,
    /// What a manifest says of its size.
    pub(super) size: Option<u64>,
    pub(super) lost: Option<Lost>,
    /// Another region may have a copy: it does not take the upstream.
    pub(super) elsewhere: bool,
}

/// A place in a download.
struct Seat {
    fill: Arc<Fill>,
    /// A place that its spool keeps: for those who are let in.
    reader: Option<Reader>,
    /// Whether the download began for whoever sits here.
    led: bool,
}

impl Blobs {
    /// A blob from one upstream: by the right to stored bytes, else from a download.
    pub(super) async fn from_upstream(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        looked_up: &LookedUp,
    ) -> Result<Answer<Source>, FetchError> {
        let Wanted { view, repository, digest, lost, .. } = wanted;
        if lost.is_none() && looked_up.delivered.contains(&view.upstream.id) {
            match self.earn_by_head(&wanted, looked_up).await? {
                Answer::Here(known) => {
                    if let Some(source) = known.and_then(|known| stored(view, &known)) {
                        return Ok(Answer::Here(source));
                    }
                }
                Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
            }
        }
        for _ in 0..JOIN_ATTEMPTS {
            let seat = self.join_or_lead(&wanted, Class::client(), Standing::Common)?;
            if let Answer::NotHere(not_here) = self.admit(&wanted, looked_up, &seat.fill).await? {
                return Ok(Answer::NotHere(not_here));
            }
            let Seat { fill, reader, led } = seat;
            // A spool that could not be kept may have moved on meanwhile: then this client needs a download of its own.
            let Some(reader) = reader.or_else(|| fill.spool().attach()) else { continue };
            let origin = (Arc::clone(&fill), reader);
            match await_headers(&wanted, origin, led, self.tools.timeouts).await {
                // What the upstream said to another repository is not said to this one.
                Ok(Answer::NotHere(_)) | Err(_) if !fill.is_led_for(view.upstream.id, repository) => {
                    self.take_off(&(view.source.clone(), *digest), &fill);
                }
                // It began before this client asked: an attempt of its own is still to come.
                Err(_) if !led && fill.class().is_prefetch() => {
                    self.take_off(&(view.source.clone(), *digest), &fill);
                }
                answered => return answered,
            }
        }
        Err(FetchError::Abandoned)
    }

    /// Leads the download of a blob that nobody has asked for; `None` where one runs.
    pub(super) fn lead_prefetch(self: &Arc<Self>, wanted: &Wanted<'_>, size: u64) -> Option<Arc<Fill>> {
        if self.running().contains_key(&(wanted.view.source.clone(), *wanted.digest)) {
            return None;
        }
        // Its reader goes at once: nobody stands still there.
        let seat = self.join_or_lead(wanted, Class::prefetch(size), Standing::Common).ok()?;
        seat.led.then_some(seat.fill)
    }

    /// Leads a download that another gateway asks for, since nobody grants leases; one that runs meanwhile is it.
    pub(super) fn lead_for_peer(self: &Arc<Self>, wanted: &Wanted<'_>) -> Option<Arc<Fill>> {
        // Its reader goes at once: the other gateway reads.
        self.join_or_lead(wanted, Class::client(), Standing::Chosen).ok().map(|seat| seat.fill)
    }

    /// A seat in the running download of a digest from a source, or in a new one that this caller leads. A client that joins
    /// a prefetch makes it its own.
    fn join_or_lead(
        self: &Arc<Self>,
        wanted: &Wanted<'_>,
        class: Class,
        standing: Standing,
    ) -> Result<Seat, FetchError> {
        let Wanted { view, repository, digest, lost, .. } = *wanted;
        let key = (view.source.clone(), *digest);
        let (seat, beside) = {
            let mut running = self.running();
            let there = running.get(&key);
            if let Some(fill) = there
                && fill.spool().has_beginning()
            {
                if !class.is_prefetch() {
                    fill.class().promote();
                }
                // Whoever has yet to be let in must not be waited for.
                let is_in = fill.admits(view.upstream.id, repository);
                let reader = is_in.then(|| fill.spool().attach()).flatten();
                return Ok(Seat { fill: Arc::clone(fill), reader, led: false });
            }
            if !wanted.elsewhere
                && let Some(fault) = self.tools.client.left_alone(view, Circuit::Blobs)
            {
                return Err(upstream_fault(view, fault));
            }
            // One that could not be kept has moved on: whoever comes now needs another.
            let beside = there.is_some();
            let fill = Arc::new(Fill::new(*digest, self.space.spool(), view.upstream.id, repository.clone(), class));
            let reader = fill.spool().attach().ok_or(FillFailure::Spool(SpoolError::Passed))?;
            running.insert(key.clone(), Arc::clone(&fill));
            (Seat { fill, reader: Some(reader), led: true }, beside)
        };
        let task = Task {
            finish: Finish::new(Arc::clone(self), key, Arc::clone(&seat.fill)),
            view: Arc::clone(view),
            repository: repository.clone(),
            digest: *digest,
            promised: wanted.size,
            replaces: lost.map(|lost| lost.object),
            era: self.tools.catalog.era(),
            standing: if beside { Standing::Beside } else { standing },
        };
        let (fill, draining) = (Arc::clone(&seat.fill), self.draining.clone());
        let unwanted = async move {
            draining.cancelled().await;
            if !fill.class().is_unasked() {
                std::future::pending::<()>().await;
            }
        };
        self.tools.tasks.spawn(async move {
            tokio::select! {
                () = task.run() => {}
                () = unwanted => {}
            }
        });
        Ok(seat)
    }

    /// Takes a fill off the map, unless another is there by now.
    pub(super) fn take_off(&self, key: &FillKey, fill: &Arc<Fill>) {
        let mut running = self.running();
        if running.get(key).is_some_and(|there| Arc::ptr_eq(there, fill)) {
            running.remove(key);
        }
    }
}

/// Waits for what a download's headers need: the upstream's status, or, where the manifest told the size, at most
/// `timeouts.headers`; a later failure then aborts the body. Without a size there is an end to the wait too: clients give up
/// on headers that do not come.
async fn await_headers(
    wanted: &Wanted<'_>,
    (fill, reader): (Arc<Fill>, Reader),
    led: bool,
    timeouts: Timeouts,
) -> Result<Answer<Source>, FetchError> {
    let upstream = wanted.view.upstream.id;
    let patience = wanted.size.map_or(timeouts.answer, |_| timeouts.headers);
    let phase = tokio::time::timeout(patience, fill.answered()).await;
    let size = match (phase, wanted.size) {
        (Err(_), Some(promised)) => Some(promised),
        (Err(_), None) => return Err(upstream_fault(wanted.view, Fault::Timeout(patience))),
        // Where a manifest says another size, the upstream's word and the digest count: a manifest may lie.
        (Ok(Phase::Open { size }), _) => size,
        (Ok(Phase::Verified { size }), _) => Some(size),
        (Ok(Phase::Stored(known)), _) => {
            return stored(wanted.view, &known).map(Answer::Here).ok_or(FetchError::Abandoned);
        }
        (Ok(Phase::NotHere(not_here)), _) => return Ok(Answer::NotHere(not_here)),
        (Ok(Phase::Failed(failure)), _) => return Err(failure.into()),
        (Ok(Phase::Asking), _) => return Err(FetchError::Abandoned),
    };
    // Known by now, where anybody has answered.
    let status = fill.cache_status(led);
    Ok(Answer::Here(Source { upstream, size, status, origin: ByteOrigin::Fill(fill, reader, size) }))
}
