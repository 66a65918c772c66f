//! The task behind a fill. It belongs to no client, and goes on until the bytes are here and kept, or cannot be had.
//!
//! ```text
//!            ┌────────────── the peer breaks off, hands over, ... ──────────────┐
//!            ▼                                                                  │
//!          seek ──► lead: from the upstream, and into object storage ───────────┤
//!                └► follow: from the gateway that leads ────────────────────────┤
//!                └► stored: from object storage, what is still missing          │
//!                                            what is here stays, and so does its hash
//! ```

use std::sync::Arc;

use futures::StreamExt as _;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{EntryRef, Right};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::{FencingToken, LeaseKey};
use tracing::warn;

use super::blobs::{Blobs, FillKey};
use super::error::FillFailure;
use super::fill::{Fill, Kept, Part, Phase};
use super::intake::{Intake, Taken};
use super::seek::{Seeker, Supply};
use crate::catalog::{Era, Known};
use crate::meta::snapshot::UpstreamView;

/// Takes the fill off the map when its tasks end, however they end.
pub(super) struct Finish {
    pub(super) blobs: Arc<Blobs>,
    key: FillKey,
    pub(super) fill: Arc<Fill>,
}

impl Finish {
    pub(super) fn new(blobs: Arc<Blobs>, key: FillKey, fill: Arc<Fill>) -> Self {
        Self { blobs, key, fill }
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.blobs.take_off(&self.key, &self.fill);
        // For a task that panicked; a phase that was reached stays.
        self.fill.abandon();
        self.fill.class().end();
    }
}

/// See the module's text.
pub(super) struct Task {
    pub(super) finish: Finish,
    pub(super) view: Arc<UpstreamView>,
    pub(super) repository: RepositoryName,
    pub(super) digest: Digest,
    /// What a manifest says of its size.
    pub(super) promised: Option<u64>,
    /// The object found missing or damaged that this download heals.
    pub(super) replaces: Option<FencingToken>,
    /// When it was asked for: what was purged since is not kept.
    pub(super) era: Era,
    /// Who may download it.
    pub(super) standing: Standing,
}

/// How a download stands to the others of the same blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is the one of the cluster, or follows it.
    Common,
    /// Another gateway chose this one to lead while nobody grants leases.
    Chosen,
    /// Another one of this gateway has moved on without being kept, and has the lease: this one is not recorded.
    Beside,
}

/// What is here of a blob while its download changes hands.
pub(super) struct Download<'a> {
    pub(super) got: Got<'a>,
    /// As it was said first.
    pub(super) size: Option<u64>,
    /// The right by which it is copied from another region, where it is: no upstream delivers it then.
    pub(super) copied: Option<Right>,
    /// When the first of those who supplied it began: what was purged since is dropped.
    pub(super) began: Option<Revision>,
}

/// How much of it.
pub(super) enum Got<'a> {
    /// Nobody has answered yet.
    Nothing,
    /// What the intake has taken.
    Some(Intake<'a>),
    /// Everything, and it is right.
    All(Taken),
}

impl<'a> Download<'a> {
    /// Bytes that are here and need not be asked for again.
    pub(super) fn offset(&self) -> u64 {
        match &self.got {
            Got::Nothing => 0,
            Got::Some(intake) => intake.taken(),
            Got::All(taken) => taken.size,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.got, Got::Nothing)
    }

    /// Takes out the intake, which is put back where it did not come to its end.
    pub(super) fn take_intake(&mut self) -> Option<Intake<'a>> {
        match std::mem::replace(&mut self.got, Got::Nothing) {
            Got::Some(intake) => Some(intake),
            other => {
                self.got = other;
                None
            }
        }
    }

    /// Somebody began to supply it at `revision`.
    pub(super) fn began_at(&mut self, revision: Revision) {
        self.began = Some(self.began.map_or(revision, |began| began.min(revision)));
    }
}

/// What comes after one who supplied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: the fill's phase says how it ended.
    Ended,
    /// Another one is sought.
    Again,
}

impl Task {
    pub(super) async fn run(self) {
        let fill = &self.finish.fill;
        let turns = &self.finish.blobs.turns;
        let mut turn = Some(turns.take(&self.view.source).await);
        let mut download = Download { got: Got::Nothing, size: None, copied: None, began: None };
        let mut seeker = Seeker::healing(self.replaces);
        loop {
            let step = match self.seek(&mut seeker, !download.is_nothing()).await {
                Supply::Lead(mandate) => {
                    if turn.is_none() {
                        turn = Some(turns.take(&self.view.source).await);
                    }
                    self.lead(mandate, &mut download, &mut seeker).await
                }
                Supply::Follow(peer) => {
                    // Whoever waits for another gateway holds up nobody who downloads here, for it may be waiting for that one.
                    drop(turn.take());
                    let _follows = turns.follow().await;
                    self.follow(&peer, &mut download, &mut seeker).await
                }
                Supply::Stored(known) => self.take_stored(*known, &mut download).await,
                Supply::Nothing(phase) => {
                    fill.enter(phase);
                    Step::Ended
                }
            };
            if step == Step::Ended {
                return;
            }
            fill.play(Part::Seeking);
        }
    }

    /// What the lease is on.
    pub(super) fn key(&self) -> LeaseKey {
        let region = self.finish.blobs.tools.session.region().clone();
        LeaseKey::Fill { region, source: self.view.source.clone(), digest: self.digest }
    }

    /// Where it is recorded.
    pub(super) fn entry(&self) -> EntryRef {
        EntryRef {
            upstream: self.view.upstream.id,
            repository: self.repository.clone(),
            reference: Reference::Digest(self.digest),
        }
    }

    /// Ends with a failure.
    pub(super) fn fail(&self, failure: FillFailure) -> Step {
        // Of one that nobody asked for, whoever began it speaks.
        if !self.finish.fill.class().is_unasked() {
            warn!(digest = %self.digest, upstream = %self.view.upstream.id, %failure, "a download failed");
        }
        self.finish.fill.enter(Phase::Failed(failure));
        Step::Ended
    }

    /// It is stored: whatever is still missing comes from there.
    pub(super) async fn take_stored(&self, known: Known, download: &mut Download<'_>) -> Step {
        let Finish { blobs, fill, .. } = &self.finish;
        let Some(mut intake) = download.take_intake() else {
            if download.is_nothing() {
                fill.enter(Phase::Stored(Box::new(known)));
            } else {
                self.learn(known);
            }
            blobs.earn_admitted(fill).await;
            return Step::Ended;
        };
        let Some(location) = known.location else { return self.fail(FillFailure::Abandoned) };
        let rest = intake.taken()..location.size;
        let read = async {
            let mut bytes = blobs.tools.store.get(&location.key, location.size, rest).await?;
            while let Some(piece) = bytes.next().await {
                let piece = piece?;
                if let Err(failure) = intake.take(piece).await {
                    return Ok(Err(failure));
                }
            }
            Ok::<_, roadstead_storage::error::StorageError>(Ok(()))
        };
        match read.await {
            Ok(Ok(())) => match intake.finish().await {
                Ok(taken) => {
                    fill.enter(Phase::Verified { size: taken.size });
                    self.learn(known);
                    blobs.earn_admitted(fill).await;
                    Step::Ended
                }
                Err(failure) => self.fail(failure),
            },
            Ok(Err(failure)) => self.fail(failure),
            Err(error) => {
                warn!(digest = %self.digest, %error, "what another gateway stored cannot be read");
                self.fail(FillFailure::Abandoned)
            }
        }
    }

    /// It is stored, and recorded or to be recorded.
    pub(super) fn learn(&self, known: Known) {
        if let Some(location) = known.location {
            self.finish.fill.keep(Kept::Stored(location));
        }
        self.finish.blobs.tools.catalog.learn_of(self.era, &self.view, &self.repository, &self.digest, known);
    }
}
