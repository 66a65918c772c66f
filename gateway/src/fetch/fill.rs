//! One download of one blob: from the upstream into the spool, hashed on the way; readers and storage follow the spool.
//!
//! ```text
//!   upstream ──► pump ──► intake ──► spool ──► readers (each at its own pace, up to the held-back end)
//!                           │          └─────► object storage: the spool's own file, or an upload ──► commit ──► record
//!                           └─ hash ──► verdict: releases the end, or breaks every reader off
//! ```
//!
//! The fill runs as tasks of its own: a client that leaves cancels nothing. The final
//! [`limits::VERIFY_HOLD_BACK`] bytes wait for the verdict, so that no client takes wrong bytes for a whole body.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::BlobLocation;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use tokio::sync::watch;

use super::error::FillFailure;
use super::spool::{Reader, Spool};
use super::turns::Class;
use crate::cache_status::CacheStatus;
use crate::catalog::Known;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::error::NotHere;

/// Where a fill stands.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// The lease is sought, or the upstream asked: nothing is known yet.
    Asking,
    /// Nothing to download: the bytes are stored and the right holds.
    Stored(Box<Known>),
    /// The upstream does not have it.
    NotHere(NotHere),
    /// Bytes arrive. The size is the upstream's word.
    Open {
        /// The whole blob's, where the upstream says it.
        size: Option<u64>,
    },
    /// Every byte is here and right.
    Verified {
        /// Of the whole blob.
        size: u64,
    },
    /// It ended before its end.
    Failed(FillFailure),
}

#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) phase: Phase,
    /// Bytes in the spool.
    received: u64,
    /// Bytes that clients may have.
    released: u64,
}

/// What this gateway is to a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It is not settled who downloads.
    Seeking,
    /// It does.
    Leading,
    /// It does for its own clients alone: nobody follows.
    Beside,
    /// Another gateway does.
    Following,
}

/// What became of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is not settled.
    Unknown,
    /// They are stored, and recorded or to be recorded.
    Stored(BlobLocation),
    /// They are not.
    Not,
}

/// Another gateway that follows; counted as long as this lives.
pub(super) struct Follower(Arc<Fill>);

impl Follower {
    /// Returns once this gateway no longer leads.
    pub(super) async fn dismissed(&self) {
        let mut part = self.0.part.subscribe();
        // The sender is the fill's, which is in our hands.
        drop(part.wait_for(|part| *part != Part::Leading).await);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.followers.send_modify(|followers| *followers -= 1);
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Fill {
    digest: Digest,
    /// On whose behalf the upstream is asked.
    led_for: (UpstreamId, RepositoryName),
    /// When the upstream was first asked.
    began: OnceLock<Revision>,
    class: Class,
    spool: Arc<Spool>,
    progress: watch::Sender<Progress>,
    part: watch::Sender<Part>,
    kept: watch::Sender<Kept>,
    /// It comes from another region's bucket; an upstream may have been asked for the rest.
    copied: AtomicBool,
    /// Gateways that follow.
    followers: watch::Sender<usize>,
    /// Who may read it: the right to a running fill is earned like the right to stored bytes.
    admitted: Mutex<Admitted>,
}

/// Who may read a fill besides whoever leads it.
#[derive(Debug, Default)]
struct Admitted {
    by: HashMap<(UpstreamId, RepositoryName), Admission>,
    /// The bytes are recorded: who is admitted from now on sees to its right itself.
    settled: bool,
}

/// How one of them came to be admitted.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    pub(super) view: Arc<UpstreamView>,
    pub(super) repository: RepositoryName,
    /// The revision before the upstream was asked.
    pub(super) began: Revision,
}

/// How far a reader may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// What is released: for clients, who may have been promised a size.
    Released(Option<u64>),
    /// All that arrived: for storage, which commits only after the verdict.
    Received,
}

impl Phase {
    fn size(&self) -> Option<u64> {
        match self {
            Self::Open { size } => *size,
            Self::Verified { size } => Some(*size),
            Self::Stored(known) => Some(known.right.size),
            Self::Asking | Self::NotHere(_) | Self::Failed(_) => None,
        }
    }
}

impl Progress {
    /// What may be released to whoever was promised a size (a manifest's word, where the upstream kept silent): nothing of
    /// a body of another one, and its end only when that is known.
    fn released_under(&self, promised: Option<u64>) -> Result<u64, FillFailure> {
        let Some(before) = promised else { return Ok(self.released) };
        match self.phase {
            Phase::Open { size: Some(now) } | Phase::Verified { size: now } if now != before => {
                Err(FillFailure::SizeChanged { before, now })
            }
            Phase::Open { size: None } => Ok(self.released.min(before.saturating_sub(limits::VERIFY_HOLD_BACK))),
            _ => Ok(self.released),
        }
    }
}

impl Fill {
    pub(super) fn new(
        digest: Digest,
        spool: Spool,
        upstream: UpstreamId,
        repository: RepositoryName,
        class: Class,
    ) -> Self {
        let progress = Progress { phase: Phase::Asking, received: 0, released: 0 };
        let (led_for, admitted) = ((upstream, repository), Mutex::default());
        Self {
            digest,
            led_for,
            began: OnceLock::new(),
            class,
            spool: Arc::new(spool),
            progress: watch::Sender::new(progress),
            part: watch::Sender::new(Part::Seeking),
            kept: watch::Sender::new(Kept::Unknown),
            copied: AtomicBool::new(false),
            followers: watch::Sender::new(0),
            admitted,
        }
    }

    /// What is said of it to whoever led it, or joined.
    pub(super) fn cache_status(&self, led: bool) -> CacheStatus {
        match led {
            false => CacheStatus::Collapsed,
            true if self.copied.load(Ordering::Relaxed) => CacheStatus::Copied,
            true => CacheStatus::Miss,
        }
    }

    /// It comes from another region's bucket.
    pub(super) fn is_a_copy(&self) {
        self.copied.store(true, Ordering::Relaxed);
    }

    pub(super) fn admits(&self, upstream: UpstreamId, repository: &RepositoryName) -> bool {
        self.is_led_for(upstream, repository) || self.admitted().by.contains_key(&(upstream, repository.clone()))
    }

    /// For whom the upstream is asked.
    pub(super) fn led_for(&self) -> &(UpstreamId, RepositoryName) {
        &self.led_for
    }

    /// The upstream is asked for the first time.
    pub(super) fn begin(&self, at: Revision) {
        // It was asked before by whoever led it first.
        let _ = self.began.set(at);
    }

    /// When it was.
    pub(super) fn began(&self) -> Option<Revision> {
        self.began.get().copied()
    }

    /// This gateway leads from now on, or no longer.
    pub(super) fn play(&self, part: Part) {
        self.part.send_replace(part);
    }

    /// Waits until it is settled who downloads.
    pub(super) async fn leads_or_follows(&self) -> Part {
        match self.part.subscribe().wait_for(|part| *part != Part::Seeking).await {
            Ok(part) => *part,
            Err(_) => Part::Seeking,
        }
    }

    /// Whether this gateway downloads it from the upstream.
    pub(super) fn leads(&self) -> bool {
        *self.part.borrow() == Part::Leading
    }

    /// One more gateway follows.
    pub(super) fn follow(self: &Arc<Self>) -> Follower {
        self.followers.send_modify(|followers| *followers += 1);
        Follower(Arc::clone(self))
    }

    /// Waits until another gateway follows.
    pub(super) async fn followed(&self) {
        drop(self.followers.subscribe().wait_for(|followers| *followers > 0).await);
    }

    /// What became of the bytes is settled.
    pub(super) fn keep(&self, kept: Kept) {
        self.kept.send_if_modified(|known| {
            let is_news = *known == Kept::Unknown;
            if is_news {
                *known = kept;
            }
            is_news
        });
    }

    /// Waits until it is settled what became of the bytes.
    pub(super) async fn kept(&self) -> Kept {
        match self.kept.subscribe().wait_for(|kept| *kept != Kept::Unknown).await {
            Ok(kept) => *kept,
            Err(_) => Kept::Not,
        }
    }

    pub(super) fn is_led_for(&self, upstream: UpstreamId, repository: &RepositoryName) -> bool {
        self.led_for.0 == upstream && self.led_for.1 == *repository
    }

    /// Lets one more read. Whether the bytes are recorded already, without a right for it.
    pub(super) fn admit(&self, admission: Admission) -> bool {
        let mut admitted = self.admitted();
        admitted.by.insert((admission.view.upstream.id, admission.repository.clone()), admission);
        admitted.settled
    }

    /// The bytes are recorded: everybody who was admitted, to get the right to them.
    pub(super) fn settle(&self) -> Vec<Admission> {
        let mut admitted = self.admitted();
        admitted.settled = true;
        admitted.by.values().cloned().collect()
    }

    fn admitted(&self) -> MutexGuard<'_, Admitted> {
        // Every section only inserts.
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| {
            if let Phase::Verified { size } = phase {
                progress.released = size;
            }
            progress.phase = phase;
        });
    }

    /// Ends a fill whose task ended without a result; a phase that is final stays.
    pub(super) fn abandon(&self) {
        self.keep(Kept::Not);
        // Whoever waits to know who downloads need not wait any longer.
        self.part.send_if_modified(|part| {
            *part == Part::Seeking && {
                *part = Part::Following;
                true
            }
        });
        self.progress.send_if_modified(|progress| {
            let running = matches!(progress.phase, Phase::Asking | Phase::Open { .. });
            if running {
                progress.phase = Phase::Failed(FillFailure::Abandoned);
            }
            running
        });
    }

    /// Waits until more than "asking" is known.
    pub(super) async fn answered(&self) -> Phase {
        let mut progress = self.progress.subscribe();
        let answered = progress.wait_for(|progress| !matches!(progress.phase, Phase::Asking)).await;
        match answered {
            Ok(progress) => progress.phase.clone(),
            Err(_) => Phase::Failed(FillFailure::Abandoned),
        }
    }

    /// The bytes of `range` as they arrive; to the end of the blob where the range's end lies beyond it.
    pub(super) fn stream(
        &self,
        reader: Reader,
        range: Range<u64>,
        reach: Reach,
    ) -> BoxStream<'static, Result<Bytes, FillFailure>> {
        let progress = self.progress.subscribe();
        reader.skip_to(range.start);
        futures::stream::try_unfold((reader, progress, range), move |(reader, mut progress, range)| async move {
            loop {
                if range.is_empty() {
                    return Ok(None);
                }
                let seen = progress.borrow_and_update().clone();
                let limit = match reach {
                    Reach::Received => seen.received,
                    Reach::Released(promised) => seen.released_under(promised)?,
                };
                // Storage must not see the end of a body before the verdict on it.
                let may_end = matches!(seen.phase, Phase::Verified { .. });
                if range.start < limit {
                    let bytes = reader.read(range.start, limit.min(range.end)).await.map_err(FillFailure::Spool)?;
                    let rest = range.start + bytes.len() as u64..range.end;
                    return Ok(Some((bytes, (reader, progress, rest))));
                }
                match seen.phase {
                    _ if may_end => return Ok(None),
                    Phase::Failed(failure) => return Err(failure),
                    Phase::NotHere(_) | Phase::Stored(_) => return Err(FillFailure::Abandoned),
                    _ => progress.changed().await.map_err(|_| FillFailure::Abandoned)?,
                }
            }
        })
        .boxed()
    }

    /// Tells readers that `received` bytes are in the spool, of `size`.
    pub(super) fn publish(&self, received: u64, size: Option<u64>) {
        // Without a known size every byte might be among the last.
        let end = size.map_or(received, |size| size.max(received));
        let released = received.min(end.saturating_sub(limits::VERIFY_HOLD_BACK));
        self.progress.send_modify(|progress| {
            progress.received = received;
            progress.released = released;
        });
    }

    /// Whether it ended without bytes of its own.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.progress.borrow().phase, Phase::Failed(_) | Phase::NotHere(_))
    }

    /// The whole blob's size, as far as it is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.progress.borrow().phase.size()
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    /// On whose account it runs.
    pub(super) fn class(&self) -> &Class {
        &self.class
    }

    pub(super) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }
}

#[cfg(test)]
mod tests {
    use roadstead_proto::domain::entry::{ContentKind, Right};
    use roadstead_proto::domain::epoch::Epoch;
    use roadstead_proto::domain::media::MediaType;
    use roadstead_proto::domain::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_stored_has_a_size_to_compare_with() {
        let right = Right {
            size: 7,
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
            sha1: None,
            created_at: Timestamp(0),
            upstream_epoch: Epoch::default(),
        };
        let stored = Phase::Stored(Box::new(Known { right, location: None }));
        for (phase, size) in [(stored, Some(7)), (Phase::Asking, None), (Phase::Open { size: None }, None)] {
            assert_eq!(phase.size(), size, "{phase:?}");
        }
    }

    #[test]
    fn who_was_promised_a_size_gets_nothing_of_a_body_of_another() {
        let released = |phase, promised| {
            let progress = Progress { phase, received: 9_000_000, released: 8_000_000 };
            progress.released_under(promised).ok()
        };
        let held_back = 1_000_000 - limits::VERIFY_HOLD_BACK;
        for (phase, promised, expected) in [
            (Phase::Open { size: Some(9_000_000) }, None, Some(8_000_000)),
            (Phase::Open { size: Some(9_000_000) }, Some(9_000_000), Some(8_000_000)),
            (Phase::Open { size: Some(9_000_000) }, Some(1_000), None),
            (Phase::Verified { size: 9_000_000 }, Some(1_000), None),
            (Phase::Verified { size: 9_000_000 }, Some(9_000_000), Some(8_000_000)),
            // As long as nobody knows the size, the promised end waits for the verdict.
            (Phase::Open { size: None }, Some(1_000_000), Some(held_back)),
            (Phase::Open { size: None }, Some(1_000), Some(0)),
            (Phase::Open { size: None }, None, Some(8_000_000)),
        ] {
            assert_eq!(released(phase.clone(), promised), expected, "{phase:?}, promised {promised:?}");
        }
    }
}
