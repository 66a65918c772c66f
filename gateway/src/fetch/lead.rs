//! The part of the gateway that downloads: upstream and object storage side by side, then the metadata.

use std::convert::Infallible;
use std::sync::Arc;

use futures::StreamExt as _;
use roadstead_proto::domain::entry::{ContentKind, ObjectKey, Right};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::meta::{Consistency, MetaError};
use roadstead_storage::blob::Body;
use roadstead_storage::error::StorageError;
use roadstead_storage::staged::Staged;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::budget::Budget;
use super::error::FillFailure;
use super::fill::{Kept, Part, Phase, Reach};
use super::intake::{Intake, Taken};
use super::pump::Pump;
use super::record::Content;
use super::seek::{Mandate, Seeker};
use super::spool::SpoolError;
use super::task::{Download, Got, Step, Task};
use crate::lease::Lease;
use crate::upstream::content::BlobBody;
use crate::upstream::error::Answer;
use crate::upstream::exchange::ExchangeError;

/// How far this gateway came.
#[expect(clippy::large_enum_variant, reason = "one for each download, taken apart at once")]
enum Pumped {
    All(Taken),
    Failed(FillFailure),
    HandedOver,
    /// The lease is another's.
    Lost,
}

impl Task {
    /// Downloads what is still missing, keeps it, and records it.
    pub(super) async fn lead<'a>(&'a self, mandate: Mandate, download: &mut Download<'a>, seeker: &mut Seeker) -> Step {
        let (fill, tools) = (&self.finish.fill, &self.finish.blobs.tools);
        fill.play(if matches!(mandate, Mandate::Beside) { Part::Beside } else { Part::Leading });
        download.began_at(mandate.began(self));
        fill.begin(download.began.unwrap_or_default());
        let mut object = mandate.object(self);
        let _unrecorded = tools.metrics.unrecorded();
        let running = tools.metrics.fill_began();
        let (taken, is_uploaded) = match std::mem::replace(&mut download.got, Got::Nothing) {
            // It came from another gateway, which did not come to keeping it.
            Got::All(taken) => (taken, false),
            got => {
                let mut budget = Budget::new(&tools.timeouts);
                download.got = got;
                let body = match self.open(object.as_ref(), download, &mut budget).await {
                    Ok(body) => body,
                    Err(None) => return Step::Ended,
                    Err(Some(failure)) => {
                        running.ended(failure.reason());
                        return self.fail(failure);
                    }
                };
                let Some(mut intake) = download.take_intake() else { return self.fail(FillFailure::Abandoned) };
                // A body that is written where it will stay needs no upload beside it.
                let upload = object.filter(|_| !intake.is_staged());
                let (pumped, is_uploaded) =
                    self.pump_and_upload(&mandate, body, download.size, &mut intake, &mut budget, upload).await;
                match pumped {
                    Pumped::All(taken) => (taken, is_uploaded),
                    Pumped::Failed(failure) => {
                        running.ended(failure.reason());
                        return self.fail(failure);
                    }
                    Pumped::HandedOver => {
                        running.ended("handed_over");
                        download.got = Got::Some(intake);
                        return self.handed_over(mandate, seeker);
                    }
                    Pumped::Lost => {
                        running.ended("lease_lost");
                        info!(digest = %self.digest, offset = intake.taken(), "the lease was lost: looking for who has it");
                        download.got = Got::Some(intake);
                        return Step::Again;
                    }
                }
            }
        };
        if let Some(staged) = &taken.staged {
            object = Some(*staged.key());
        }
        let size = taken.size;
        let is_stored = is_uploaded || self.commit(object, taken).await;
        running.ended(if is_stored { "stored" } else { "not_stored" });
        let Some(object) = object.filter(|_| is_stored) else { return Step::Ended };
        let (began, copied) = (download.began.unwrap_or_default(), download.copied.take());
        self.record(mandate, object, size, (began, copied), seeker).await;
        Step::Ended
    }

    fn pump(&self) -> Pump<'_> {
        let tools = &self.finish.blobs.tools;
        Pump {
            client: &tools.client,
            timeouts: tools.timeouts,
            promised: self.promised,
            view: &self.view,
            repository: &self.repository,
            fill: &self.finish.fill,
        }
    }

    /// Asks the upstream for what is missing, and makes room for it. `Err(None)` where it said that it has nothing.
    async fn open<'a>(
        &'a self,
        object: Option<&ObjectKey>,
        download: &mut Download<'a>,
        budget: &mut Budget,
    ) -> Result<BlobBody, Option<FillFailure>> {
        let (fill, pump) = (&self.finish.fill, self.pump());
        if let Got::Some(intake) = &download.got {
            let (offset, size) = (intake.taken(), download.size);
            info!(digest = %self.digest, offset, "taking over a download");
            return match self.copy(offset, download).await {
                Some(body) => Ok(body),
                None => pump.take_over(offset, size, budget).await.map_err(Some),
            };
        }
        let body = match self.copy(0, download).await {
            Some(body) => body,
            None => match pump.open().await.map_err(Some)? {
                Answer::Here(body) => body,
                Answer::NotHere(not_here) => {
                    fill.enter(Phase::NotHere(not_here));
                    return Err(None);
                }
            },
        };
        fill.enter(Phase::Open { size: body.size });
        download.size = body.size;
        let Ok(staged) = self.stage(object, body.size).await else {
            // Nobody reads it, and it would not be kept.
            return Err(Some(FillFailure::Spool(SpoolError::Unread)));
        };
        let standstill = self.finish.blobs.tools.timeouts.standstill;
        download.got = Got::Some(Intake::new(fill, body.size, staged, standstill));
        Ok(body)
    }

    /// What is missing, from another region's copy, where the right to it holds. Breaks off like an upstream's body, and then
    /// the upstream is asked for the rest.
    async fn copy(&self, offset: u64, download: &mut Download<'_>) -> Option<BlobBody> {
        let tools = &self.finish.blobs.tools;
        if tools.regions.is_empty() {
            return None;
        }
        let views = std::slice::from_ref(&self.view);
        let looked_up =
            tools.catalog.look_up_among(views, &self.repository, &self.digest, Consistency::Local).await.ok()?;
        let (_, right) = looked_up.elsewhere.entitled.into_iter().next()?;
        if self.finish.fill.class().only_size().is_some_and(|size| size != right.size) {
            return None;
        }
        let copy = tools.regions.open(&looked_up.elsewhere.copies, offset).await?;
        debug!(digest = %self.digest, object = %copy.location.key, offset, "from another region");
        download.copied = Some(right);
        self.finish.fill.is_a_copy();
        let body = copy.bytes.map(|item| item.map_err(|error| ExchangeError::Connection(error.to_string())));
        Some(BlobBody { offset, size: Some(copy.location.size), body: body.boxed(), is_from_upstream: false })
    }

    /// Both at once: the upload follows the spool. A hand-over leaves in the intake what was taken, and so does a lost lease.
    async fn pump_and_upload(
        &self,
        mandate: &Mandate,
        body: BlobBody,
        size: Option<u64>,
        intake: &mut Intake<'_>,
        budget: &mut Budget,
        upload: Option<ObjectKey>,
    ) -> (Pumped, bool) {
        let (fill, pump) = (&self.finish.fill, self.pump());
        let given_up = CancellationToken::new();
        let pumping = async {
            let pumped = tokio::select! {
                pumped = pump.run(intake, body, size, budget) => pumped,
                () = self.is_to_hand_over() => {
                    given_up.cancel();
                    return Pumped::HandedOver;
                }
                () = mandate.lost() => {
                    given_up.cancel();
                    return Pumped::Lost;
                }
            };
            let taken = match pumped {
                Ok(()) => intake.finish().await,
                Err(failure) => Err(failure),
            };
            match taken {
                Ok(taken) => {
                    fill.enter(Phase::Verified { size: taken.size });
                    Pumped::All(taken)
                }
                Err(failure) => {
                    // The upload hears of it by the fill.
                    fill.enter(Phase::Failed(failure.clone()));
                    Pumped::Failed(failure)
                }
            }
        };
        let uploading = given_up.run_until_cancelled(self.upload(upload));
        let pumping = async {
            tokio::select! {
                pumped = pumping => pumped,
                never = self.adopt(mandate) => match never {},
            }
        };
        let (pumped, is_uploaded) = tokio::join!(pumping, uploading);
        (pumped, is_uploaded.unwrap_or(false))
    }

    /// Takes the lease on a download that began without one, as soon as somebody grants it: whoever wants the same follows then.
    async fn adopt(&self, mandate: &Mandate) -> Infallible {
        let session = &self.finish.blobs.tools.session;
        if let Mandate::Outage(lease) = mandate {
            loop {
                session.is_there().await;
                let (asking, key, entry) = (Arc::clone(session), self.key(), self.entry());
                let (epoch, replaces) = (self.view.upstream.epoch, self.replaces);
                // A task of its own: a lease that is granted when the download has ended is then given back, and not forgotten.
                let asked = tokio::spawn(async move { asking.acquire(key, entry, epoch, replaces).await });
                let Ok(asked) = asked.await else { break };
                match asked {
                    Ok(Lease::Held(held)) => {
                        debug!(digest = %self.digest, "a download that began without a lease has one now");
                        drop(lease.set(held));
                        break;
                    }
                    // One that means to follow this gives it back; one that leads as well comes to its end, as this does, and
                    // what is recorded second is discarded.
                    Ok(Lease::Elsewhere(holder)) => {
                        while !session.is_away() && !session.ended(&self.key(), &holder, limits::HOLDER_PATIENCE).await
                        {
                        }
                    }
                    Ok(Lease::Stored(_)) | Err(MetaError::Refused(_)) => break,
                    // The session knows by now that the metadata is away.
                    Err(error) => debug!(%error, digest = %self.digest, "no lease yet"),
                }
            }
        }
        std::future::pending().await
    }

    /// Returns where the process is to end and another gateway could go on.
    async fn is_to_hand_over(&self) {
        let Self { finish, .. } = self;
        finish.blobs.draining.cancelled().await;
        finish.fill.followed().await;
    }

    /// Lets another gateway go on; this one follows it, if anybody reads here.
    fn handed_over(&self, mandate: Mandate, seeker: &mut Seeker) -> Step {
        let fill = &self.finish.fill;
        info!(digest = %self.digest, "handing a download over");
        // Released by this; then the followers are told.
        drop(mandate);
        fill.play(Part::Seeking);
        if fill.spool().is_read() {
            seeker.yields();
            Step::Again
        } else {
            fill.enter(Phase::Failed(FillFailure::Abandoned));
            Step::Ended
        }
    }

    async fn record(
        &self,
        mandate: Mandate,
        object: ObjectKey,
        size: u64,
        (began, copied): (Revision, Option<Right>),
        seeker: &Seeker,
    ) {
        let (fill, tools) = (&self.finish.fill, &self.finish.blobs.tools);
        let is_copied = copied.is_some();
        let content = Content {
            entry: self.entry(),
            upstream_epoch: self.view.upstream.epoch,
            object,
            size,
            media_type: copied.map_or_else(MediaType::octet_stream, |right| right.media_type),
            kind: ContentKind::Blob,
            // A second hash would cost as much as everything else that happens to a byte; whoever shows one computes
            // it from the stored object.
            sha1: None,
            children: Vec::new(),
            replaces: seeker.replaces,
            copied: is_copied,
            began,
        };
        let known = match mandate {
            Mandate::Lease(held) => tools.record(held, content, None).await,
            Mandate::Outage(lease) => match lease.into_inner() {
                Some(held) => tools.record(held, content, None).await,
                None => Some(tools.record_later(self.key(), content, None)),
            },
            Mandate::Beside => None,
        };
        match known {
            Some(known) => {
                self.learn(known);
                self.finish.blobs.earn_admitted(fill).await;
            }
            None => fill.keep(Kept::Not),
        }
    }

    /// The store's own file for a body that memory will not hold. Without one the body goes by way of a spool.
    ///
    /// # Errors
    /// Where the store has no file for what nobody has asked for.
    async fn stage(&self, object: Option<&ObjectKey>, size: Option<u64>) -> Result<Option<Staged>, StorageError> {
        let object = object.filter(|_| size.is_none_or(|size| size > limits::SPOOL_MEMORY_PER_FILL));
        let Some(object) = object else { return Ok(None) };
        match self.finish.blobs.tools.store.stage(object).await {
            Err(error) if self.finish.fill.class().is_unasked() => Err(error),
            Err(error) => {
                warn!(%object, %error, "no file in the store: the download goes by way of the spool folder");
                Ok(None)
            }
            staged => staged,
        }
    }

    /// Makes what was written into the store's own file the object; a body that memory held is put.
    async fn commit(&self, object: Option<ObjectKey>, taken: Taken) -> bool {
        let Some(object) = object else { return false };
        match taken.staged {
            None if taken.is_whole => self.upload(Some(object)).await,
            None => false,
            Some(staged) => match self.finish.blobs.tools.store.commit(staged).await {
                Ok(_) => true,
                Err(error) => {
                    warn!(%object, %error, "not stored");
                    false
                }
            },
        }
    }

    async fn upload(&self, object: Option<ObjectKey>) -> bool {
        let Some(object) = object else { return false };
        let fill = &self.finish.fill;
        let Some(reader) = fill.spool().attach() else { return false };
        let bytes = fill.stream(reader, 0..u64::MAX, Reach::Received);
        let body = bytes.map(|item| item.map_err(|failure| failure.into_body_error())).boxed();
        self.finish.blobs.tools.store_object(&object, Body::vouched(body)).await
    }
}
