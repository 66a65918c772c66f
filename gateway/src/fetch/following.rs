//! The part of a gateway that follows: another one's download into its own spool, hashed here, for its own clients.

use std::pin::pin;

use futures::future::poll_immediate;
use roadstead_proto::domain::entry::{BlobLocation, ContentKind, Right};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use tracing::{debug, info};

use super::error::{FetchError, FillFailure};
use super::fill::{Admission, Kept, Part, Phase};
use super::intake::Intake;
use super::join::Wanted;
use super::peer::follow::{Ask, Event, Following, Lost, OnBehalf};
use super::seek::{Peer, Seeker};
use super::task::{Download, Got, Step, Task};
use crate::catalog::Known;
use crate::upstream::error::Answer;

impl Task {
    /// Follows `peer` to the end, or until it is lost.
    pub(super) async fn follow<'a>(&'a self, peer: &Peer, download: &mut Download<'a>, seeker: &mut Seeker) -> Step {
        let tools = &self.finish.blobs.tools;
        self.finish.fill.play(Part::Following);
        if let Some(holder) = &peer.holder {
            download.began_at(Revision(holder.token.0));
        } else {
            download.began_at(tools.snapshots.reached());
        }
        let key = self.key();
        let ask = Ask {
            address: &peer.address,
            key: &key,
            offset: download.offset(),
            begin: peer.begin.clone(),
            gateway: tools.session.gateway(),
        };
        let followed = match Following::begin(&tools.dialer, ask).await {
            Ok(following) => self.take_from(following, peer.holder.is_some(), download, seeker).await,
            Err(lost) => Err(lost),
        };
        match followed {
            Ok(Some(step)) => {
                tools.metrics.followed("ended");
                step
            }
            Ok(None) => {
                debug!(digest = %self.digest, address = peer.address, "another gateway no longer leads a download");
                tools.metrics.followed("handed_over");
                seeker.miss(peer);
                Step::Again
            }
            Err(lost) => {
                info!(digest = %self.digest, offset = download.offset(), %lost, "another gateway's download was lost");
                tools.metrics.followed(if matches!(lost, Lost::Broke { .. }) { "broke" } else { "unreachable" });
                seeker.miss(peer);
                Step::Again
            }
        }
    }

    /// Takes what comes. `None` where the other one does not lead any more.
    async fn take_from<'a>(
        &'a self,
        mut following: Following,
        is_leased: bool,
        download: &mut Download<'a>,
        seeker: &mut Seeker,
    ) -> Result<Option<Step>, Lost> {
        let fill = &self.finish.fill;
        let mut on_behalf = None;
        loop {
            let at_hand = poll_immediate(pin!(following.next())).await;
            let event = match at_hand {
                Some(event) => event?,
                None => {
                    if let Got::Some(intake) = &mut download.got {
                        intake.publish();
                    }
                    match self.next_if_wanted(&mut following, matches!(download.got, Got::All(_))).await {
                        Some(event) => event?,
                        None => return Ok(Some(Step::Ended)),
                    }
                }
            };
            match event {
                Event::Opened { size, who, began } => {
                    // Without a lease nobody has seen to it that it knows the upstream as it is now.
                    if !is_leased && began.is_some_and(|began| began.0 < self.view.upstream.epoch.0) {
                        return Ok(None);
                    }
                    if let Some(began) = began {
                        download.began_at(began);
                    }
                    seeker.reached();
                    if let Some(ended) = self.opened(size, &who, download).await {
                        return Ok(Some(ended));
                    }
                    on_behalf = Some(who);
                }
                Event::Data(piece) => {
                    let Got::Some(intake) = &mut download.got else { continue };
                    let most = download.size.or(self.promised).unwrap_or(limits::BLOB_MAX_BYTES);
                    if intake.taken() + piece.len() as u64 > most {
                        return Ok(Some(self.fail(FillFailure::TooLarge(most))));
                    }
                    if let Err(failure) = intake.take(piece).await {
                        return Ok(Some(self.fail(failure)));
                    }
                }
                Event::Verified(size) => {
                    let Some(mut intake) = download.take_intake() else { continue };
                    if intake.taken() != size {
                        download.got = Got::Some(intake);
                        return Ok(None);
                    }
                    match intake.finish().await {
                        Ok(taken) => download.got = Got::All(taken),
                        Err(failure) => return Ok(Some(self.fail(failure))),
                    }
                    fill.enter(Phase::Verified { size });
                }
                Event::Recorded(location) => {
                    if let Some(who) = &on_behalf {
                        self.recorded(location, who, download.began.unwrap_or_default()).await;
                    }
                    return Ok(Some(Step::Ended));
                }
                Event::NotHere(not_here, who) if self.is_ours(&who) && download.is_nothing() => {
                    fill.enter(Phase::NotHere(not_here));
                    return Ok(Some(Step::Ended));
                }
                Event::Stored(known) => return Ok(Some(self.take_stored(*known, download).await)),
                // It was said to another repository: this one asks itself.
                Event::NotHere(..) | Event::Gone => return Ok(None),
                Event::Failed(fault) => {
                    let upstream = self.view.upstream.settings.name.clone();
                    return Ok(Some(self.fail(FillFailure::Upstream { upstream, fault })));
                }
            }
        }
    }

    /// The next event; `None` where the process is to end and only the record is still awaited.
    async fn next_if_wanted(&self, following: &mut Following, is_all: bool) -> Option<Result<Event, Lost>> {
        let unwanted = async {
            if !is_all {
                std::future::pending::<()>().await;
            }
            self.finish.blobs.draining.cancelled().await;
        };
        tokio::select! {
            event = following.next() => Some(event),
            () = unwanted => None,
        }
    }

    fn is_ours(&self, (upstream, repository): &OnBehalf) -> bool {
        *upstream == self.view.upstream.id && *repository == self.repository
    }

    /// The other's upstream has answered. The right to its bytes is earned here, where they were asked for another.
    async fn opened<'a>(&'a self, size: Option<u64>, who: &OnBehalf, download: &mut Download<'a>) -> Option<Step> {
        let fill = &self.finish.fill;
        if !download.is_nothing() {
            if let (Some(before), Some(now)) = (download.size, size)
                && before != now
            {
                return Some(self.fail(FillFailure::SizeChanged { before, now }));
            }
            return None;
        }
        if !self.is_ours(who) {
            match self.prove(size).await {
                Ok(Answer::Here(())) => {}
                Ok(Answer::NotHere(not_here)) => {
                    fill.enter(Phase::NotHere(not_here));
                    return Some(Step::Ended);
                }
                Err(FetchError::Upstream { upstream, fault }) => {
                    return Some(self.fail(FillFailure::Upstream { upstream, fault }));
                }
                Err(_) => return Some(self.fail(FillFailure::Abandoned)),
            }
        }
        fill.enter(Phase::Open { size });
        download.size = size;
        // No file of the store's: who leads stores it.
        let standstill = self.finish.blobs.tools.timeouts.standstill;
        download.got = Got::Some(Intake::new(fill, size, None, standstill));
        None
    }

    /// The upstream's own word that its repository has the blob.
    async fn prove(&self, size: Option<u64>) -> Result<Answer<()>, FetchError> {
        let (view, repository, digest) = (&self.view, &self.repository, &self.digest);
        let wanted = Wanted { view, repository, digest, size: self.promised, lost: None, elsewhere: false };
        match self.finish.blobs.has(&wanted).await? {
            Answer::Here(shown) => shown.proves(view, size).map(Answer::Here),
            Answer::NotHere(not_here) => Ok(Answer::NotHere(not_here)),
        }
    }

    /// What became of the bytes at the other gateway.
    async fn recorded(&self, location: Option<BlobLocation>, who: &OnBehalf, began: Revision) {
        let Self { finish, view, repository, digest, .. } = self;
        let Some(location) = location else { return finish.fill.keep(Kept::Not) };
        if self.is_ours(who) {
            let right = Right {
                size: location.size,
                media_type: MediaType::octet_stream(),
                kind: ContentKind::Blob,
                sha1: None,
                created_at: finish.blobs.tools.clock.now(),
                upstream_epoch: view.upstream.epoch,
            };
            self.learn(Known { right, location: Some(location) });
        } else {
            finish.fill.keep(Kept::Stored(location));
            let (view, repository) = (view.clone(), repository.clone());
            finish.blobs.earn(digest, &Admission { view, repository, began }).await;
        }
        finish.blobs.earn_admitted(&finish.fill).await;
    }
}
