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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::poll_immediate;
use futures::stream::BoxStream;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_storage::staged::Staged;
use tokio::sync::watch;

use super::budget::Budget;
use super::error::FillFailure;
use super::intake::{Intake, Taken};
use super::spool::{Reader, Spool};
use crate::catalog::Known;
use crate::config::Timeouts;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::Client;
use crate::upstream::client::{Patience, transport_fault};
use crate::upstream::content::BlobBody;
use crate::upstream::error::{Answer, Fault, NotHere};

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

/// See the module's text.
#[derive(Debug)]
pub(super) struct Fill {
    digest: Digest,
    /// On whose behalf the upstream is asked.
    led_for: (UpstreamId, RepositoryName),
    spool: Arc<Spool>,
    progress: watch::Sender<Progress>,
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
    pub(super) fn new(digest: Digest, spool: Spool, upstream: UpstreamId, repository: RepositoryName) -> Self {
        let progress = Progress { phase: Phase::Asking, received: 0, released: 0 };
        let (led_for, admitted) = ((upstream, repository), Mutex::default());
        Self { digest, led_for, spool: Arc::new(spool), progress: watch::Sender::new(progress), admitted }
    }

    pub(super) fn admits(&self, upstream: UpstreamId, repository: &RepositoryName) -> bool {
        self.is_led_for(upstream, repository) || self.admitted().by.contains_key(&(upstream, repository.clone()))
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

    /// The whole blob's size, as far as it is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self.progress.borrow().phase {
            Phase::Open { size } => size,
            Phase::Verified { size } => Some(size),
            _ => None,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn spool(&self) -> &Arc<Spool> {
        &self.spool
    }
}

/// Downloads a blob into its fill.
pub(super) struct Pump<'a> {
    pub(super) client: &'a Client,
    pub(super) timeouts: Timeouts,
    /// What a manifest says of the size: bounds a body that says nothing of it.
    pub(super) promised: Option<u64>,
    pub(super) view: &'a UpstreamView,
    pub(super) repository: &'a RepositoryName,
    pub(super) fill: &'a Fill,
}

/// How an opened download went on.
enum Piece {
    /// The body came to its end.
    End,
    /// It broke off.
    Broke(Fault),
}

impl Pump<'_> {
    fn upstream_failed(&self, fault: Fault) -> FillFailure {
        FillFailure::Upstream { upstream: self.view.upstream.settings.name.clone(), fault }
    }

    /// Asks for the whole blob.
    pub(super) async fn open(&self) -> Result<Answer<BlobBody>, FillFailure> {
        // Clients wait for their headers: both attempts together get what one is given.
        let patience = Patience::lasting(self.timeouts.answer);
        let answer = match self.ask(0, patience).await {
            // A dropped connection, or a redirect target that has expired: once more, from the registry on.
            Err(Fault::Connection(_) | Fault::RedirectTarget(_)) => self.ask(0, patience).await,
            answer => answer,
        };
        let answer = answer.map_err(|fault| self.upstream_failed(fault))?;
        if let Answer::Here(body) = &answer
            && body.size.is_some_and(|size| size > limits::BLOB_MAX_BYTES)
        {
            return Err(FillFailure::TooLarge(limits::BLOB_MAX_BYTES));
        }
        Ok(answer)
    }

    async fn ask(&self, offset: u64, patience: Patience) -> Result<Answer<BlobBody>, Fault> {
        self.client.blob(self.view, self.repository, &self.fill.digest, offset, patience).await
    }

    /// Reads an opened body to its end, continues it where it breaks off, and gives the verdict.
    pub(super) async fn run(&self, mut body: BlobBody, staged: Option<Staged>) -> Result<Taken, FillFailure> {
        let size = body.size;
        let mut intake = Intake::new(self.fill, size, staged, self.timeouts.standstill);
        let mut budget = Budget::new(&self.timeouts);
        loop {
            match self.read(&mut intake, body, size).await? {
                Piece::End => break,
                Piece::Broke(fault) => {
                    intake.publish();
                    body = self.resume(fault, intake.taken(), size, &mut budget).await?;
                }
            }
        }
        intake.finish().await
    }

    async fn read(&self, intake: &mut Intake<'_>, mut body: BlobBody, size: Option<u64>) -> Result<Piece, FillFailure> {
        // What an upstream that ignores ranges sends again.
        let mut skip = intake.taken().saturating_sub(body.offset);
        let most = size.or(self.promised).unwrap_or(limits::BLOB_MAX_BYTES);
        loop {
            let next = match poll_immediate(body.body.next()).await {
                Some(next) => next,
                None => {
                    intake.publish();
                    body.body.next().await
                }
            };
            let mut piece = match next {
                Some(Ok(piece)) => piece,
                // All is here, and only the word that it is all is missing.
                Some(Err(_)) if self.promised == Some(intake.taken()) => return Ok(Piece::End),
                Some(Err(error)) => return Ok(Piece::Broke(transport_fault(error))),
                None => break,
            };
            self.client.metrics().received(self.view.upstream.id, piece.len() as u64);
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(piece.len()));
            if piece.is_empty() {
                continue;
            }
            if intake.taken() + piece.len() as u64 > most {
                return Err(FillFailure::TooLarge(most));
            }
            intake.take(piece).await?;
        }
        if size.is_none_or(|size| intake.taken() == size) {
            Ok(Piece::End)
        } else {
            Ok(Piece::Broke(Fault::Connection("the body ended before its length".to_owned())))
        }
    }

    /// Asks for the rest: with a fresh token and a fresh redirect, since each request resolves both anew.
    async fn resume(
        &self,
        mut fault: Fault,
        offset: u64,
        size: Option<u64>,
        budget: &mut Budget,
    ) -> Result<BlobBody, FillFailure> {
        loop {
            let Some(pause) = budget.spend(offset, fault.retry_after()) else {
                return Err(self.upstream_failed(fault));
            };
            tracing::info!(digest = %self.fill.digest, offset, %fault, ?pause, "download broke off, asking for the rest");
            tokio::time::sleep(pause).await;
            self.client.metrics().fill_resumed(fault.reason());
            match self.ask(offset, Patience::lasting(self.timeouts.answer)).await {
                Ok(Answer::Here(body)) => {
                    if body.offset < offset {
                        budget.restarts();
                    }
                    if let (Some(before), Some(now)) = (size, body.size)
                        && before != now
                    {
                        return Err(FillFailure::SizeChanged { before, now });
                    }
                    return Ok(body);
                }
                Ok(Answer::NotHere(not_here)) => {
                    fault = Fault::BadAnswer(format!("began to send the blob and now says {}", not_here.reason()));
                    return Err(self.upstream_failed(fault));
                }
                Err(again) => fault = again,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
