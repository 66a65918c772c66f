//! Who supplies a blob: this gateway from the upstream, the gateway that holds the lease, or object storage.
//!
//! Where the metadata takes no writes nobody grants leases. Then the gateways of the region choose by rendezvous hash, over
//! the members they heard of last.

use std::collections::HashSet;
use std::time::Duration;

use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::lease::{FencingToken, GatewayId, Holder};
use roadstead_proto::domain::limits;
use roadstead_proto::meta::{Consistency, MetaError};
use roadstead_proto::wire::pb::peer::v1 as pb;
use tokio::sync::SetOnce;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::error::{FetchError, FillFailure};
use super::fill::Phase;
use super::join::Wanted;
use super::peer::look::{Seen, look};
use super::rendezvous;
use super::task::{Standing, Task};
use crate::catalog::Known;
use crate::lease::{Held, Lease};
use crate::upstream::error::Answer;

/// Who supplies it.
pub(super) enum Supply {
    /// This gateway.
    Lead(Mandate),
    /// Another one.
    Follow(Peer),
    /// Object storage: the right to it holds.
    Stored(Box<Known>),
    /// Nobody.
    Nothing(Phase),
}

/// By what right this gateway downloads.
pub(super) enum Mandate {
    /// It holds the lease.
    Lease(Held),
    /// Nobody granted leases: what it brings home is recorded by the lease that it gets once somebody does, or later.
    Outage(SetOnce<Held>),
    /// Beside the download of the cluster, for its own clients alone: nothing of it is kept.
    Beside,
}

impl Mandate {
    /// The object that the bytes become; none where they are not kept.
    pub(super) fn object(&self, task: &Task) -> Option<ObjectKey> {
        let token = match self {
            Self::Lease(held) => held.token,
            Self::Outage(_) => FencingToken::provisional((task.finish.blobs.tools.random)()),
            Self::Beside => return None,
        };
        Some(ObjectKey { digest: task.digest, token })
    }

    /// Returns once another gateway may have it.
    pub(super) async fn lost(&self) {
        match self {
            Self::Lease(held) => held.lost().await,
            Self::Outage(lease) => lease.wait().await.lost().await,
            Self::Beside => std::future::pending().await,
        }
    }

    /// When the work under it began.
    pub(super) fn began(&self, task: &Task) -> Revision {
        match self {
            Self::Lease(held) => Revision(held.token.0),
            // What was heard of last: a purge since is one that this gateway did not hear of.
            Self::Outage(_) | Self::Beside => task.finish.blobs.tools.snapshots.reached(),
        }
    }
}

/// The gateway to follow.
pub(super) struct Peer {
    pub(super) address: String,
    /// Whose lease it is; `None` where it was chosen.
    pub(super) holder: Option<Holder>,
    /// Who it is, where it was chosen.
    pub(super) chosen: Option<GatewayId>,
    /// What it is to begin, where it was chosen.
    pub(super) begin: Option<pb::Wanted>,
}

/// What was learnt of the others on the way.
#[derive(Default)]
pub(super) struct Seeker {
    /// The holder that could not be followed, and since when.
    missed: Option<(FencingToken, Instant)>,
    /// Chosen ones, and those that were seen at work, that could not be followed.
    tried: HashSet<GatewayId>,
    /// Nobody was seen at work in this outage.
    saw_nobody: bool,
    /// The object found missing or damaged that this download heals.
    pub(super) replaces: Option<FencingToken>,
    /// This gateway has handed over: another one comes first.
    yields: bool,
}

impl Seeker {
    /// For a download that heals this object, where it does.
    pub(super) fn healing(replaces: Option<FencingToken>) -> Self {
        Self { replaces, ..Self::default() }
    }

    /// `peer` could not be followed, or no longer.
    pub(super) fn miss(&mut self, peer: &Peer) {
        if let Some(chosen) = &peer.chosen {
            self.tried.insert(chosen.clone());
        }
        if let Some(holder) = &peer.holder
            && self.missed.is_none_or(|(token, _)| token != holder.token)
        {
            self.missed = Some((holder.token, Instant::now()));
        }
    }

    /// It is followed.
    pub(super) fn reached(&mut self) {
        (self.missed, self.saw_nobody) = (None, false);
    }

    /// The next turn is another gateway's.
    pub(super) fn yields(&mut self) {
        self.yields = true;
    }

    /// How long this holder has been missed.
    fn missed_for(&self, holder: &Holder) -> Option<Duration> {
        self.missed.filter(|(token, _)| *token == holder.token).map(|(_, since)| since.elapsed())
    }
}

impl Task {
    /// Decides who supplies what is still missing: of all, or of what is begun.
    pub(super) async fn seek(&self, seeker: &mut Seeker, is_begun: bool) -> Supply {
        if self.standing == Standing::Beside {
            return Supply::Lead(Mandate::Beside);
        }
        let session = &self.finish.blobs.tools.session;
        let is_unasked = self.finish.fill.class().is_unasked();
        let until = Instant::now() + self.finish.blobs.tools.timeouts.answer;
        if std::mem::take(&mut seeker.yields) {
            tokio::time::sleep(limits::HAND_OVER_PAUSE).await;
        }
        loop {
            if session.is_away() {
                return self.seek_in_outage(seeker).await;
            }
            match session.acquire(self.key(), self.entry(), self.view.upstream.epoch, seeker.replaces).await {
                Ok(Lease::Held(held)) => {
                    if !is_begun
                        && seeker.replaces.is_none()
                        && let Some(phase) = self.delivered_meanwhile().await
                    {
                        return match phase {
                            Phase::Stored(known) => Supply::Stored(known),
                            other => Supply::Nothing(other),
                        };
                    }
                    if Instant::now() < until
                        && session.is_back_since(limits::AFTER_OUTAGE)
                        && let Some((other, seen)) = self.look_around(seeker).await
                    {
                        // Who is at work needs the lease to record it.
                        drop(held);
                        match seen {
                            _ if is_unasked => return Supply::Nothing(Phase::Failed(FillFailure::Elsewhere)),
                            Seen::Leads => return Supply::Follow(other),
                            Seen::Waits => {
                                tokio::time::sleep(limits::HAND_OVER_PAUSE).await;
                                continue;
                            }
                        }
                    }
                    return Supply::Lead(Mandate::Lease(held));
                }
                Ok(Lease::Stored(stored)) => {
                    let (location, right) = *stored;
                    if self.finish.blobs.tools.catalog.is_distrusted(&location.key)
                        && seeker.replaces != Some(location.key.token)
                    {
                        seeker.replaces = Some(location.key.token);
                        continue;
                    }
                    return Supply::Stored(Box::new(Known { right, location: Some(location) }));
                }
                // Whoever leads it keeps it for all.
                Ok(Lease::Elsewhere(_)) if is_unasked => {
                    return Supply::Nothing(Phase::Failed(FillFailure::Elsewhere));
                }
                Ok(Lease::Elsewhere(holder)) if holder.address.is_empty() => {
                    if Instant::now() >= until {
                        return Supply::Nothing(Phase::Failed(FillFailure::Elsewhere));
                    }
                    session.ended(&self.key(), &holder, limits::HOLDER_PATIENCE).await;
                }
                Ok(Lease::Elsewhere(holder)) => match seeker.missed_for(&holder) {
                    None => return Supply::Follow(Peer::holder(holder)),
                    // It keeps its session alive, and we do not get to it: a line between the two of us is cut.
                    Some(missed) if missed >= limits::PEER_UNREACHABLE_MAX => {
                        warn!(digest = %self.digest, address = holder.address, "the leading gateway cannot be reached");
                        return Supply::Lead(Mandate::Beside);
                    }
                    // Or it has just handed over: then the lease is this gateway's for the asking.
                    Some(_) => {
                        if !session.ended(&self.key(), &holder, limits::HOLDER_PATIENCE).await {
                            return Supply::Follow(Peer::holder(holder));
                        }
                    }
                },
                // The upstream has changed, or is gone: it could not be recorded.
                Err(MetaError::Refused(refusal)) => {
                    debug!(%refusal, digest = %self.digest, "no lease: downloading without recording");
                    return Supply::Lead(Mandate::Beside);
                }
                // The session knows by now that the metadata is away.
                Err(error) => debug!(%error, digest = %self.digest, "no lease"),
            }
        }
    }

    /// Another gateway of the region that works on it without a lease.
    async fn look_around(&self, seeker: &Seeker) -> Option<(Peer, Seen)> {
        let tools = &self.finish.blobs.tools;
        let (session, fleet) = (&tools.session, tools.session.fleet());
        let others = session.neighbours(&fleet).filter(|there| !seeker.tried.contains(&there.gateway));
        let (other, seen) = look(&tools.dialer, others, &self.key(), session.gateway()).await?;
        let (address, chosen) = (other.address.clone(), Some(other.gateway.clone()));
        debug!(digest = %self.digest, gateway = other.gateway.0, ?seen, "another gateway works on it without a lease");
        Some((Peer { address, holder: None, chosen, begin: Some(self.wanted_of_peer()) }, seen))
    }

    fn wanted_of_peer(&self) -> pb::Wanted {
        pb::Wanted {
            upstream: self.view.upstream.id.0,
            upstream_epoch: self.view.upstream.epoch.0,
            repository: self.repository.as_str().to_owned(),
            size: self.promised,
        }
    }

    async fn seek_in_outage(&self, seeker: &mut Seeker) -> Supply {
        // Bytes that nobody waits for are not worth the trouble.
        if self.finish.fill.class().is_unasked() {
            return Supply::Nothing(Phase::Failed(FillFailure::Abandoned));
        }
        let is_common = self.standing == Standing::Common;
        if is_common
            && seeker.tried.is_empty()
            && let Some(chosen) = self.choose(seeker)
        {
            return Supply::Follow(chosen);
        }
        // It may have been begun by a lease from before, or by a gateway that knew of others.
        let seen = if seeker.saw_nobody { None } else { self.look_around(seeker).await };
        seeker.saw_nobody = seen.is_none();
        match seen {
            // Whoever chose this gateway looks around itself, and follows that one.
            Some(_) if !is_common && !self.finish.fill.spool().is_read() => {
                Supply::Nothing(Phase::Failed(FillFailure::Elsewhere))
            }
            Some((other, _)) => Supply::Follow(other),
            None => match self.choose(seeker).filter(|_| is_common) {
                Some(chosen) => Supply::Follow(chosen),
                None => Supply::Lead(Mandate::Outage(SetOnce::new())),
            },
        }
    }

    /// The gateway that leads where nobody grants leases; `None` where this one does.
    fn choose(&self, seeker: &Seeker) -> Option<Peer> {
        let session = &self.finish.blobs.tools.session;
        let fleet = session.fleet();
        let names = session.neighbours(&fleet).map(|there| &there.gateway).chain([session.gateway()]);
        let first = rendezvous::order(names, &self.key()).into_iter().find(|name| !seeker.tried.contains(name))?;
        let chosen = session.neighbours(&fleet).find(|there| there.gateway == *first)?;
        let (address, begin) = (chosen.address.clone(), Some(self.wanted_of_peer()));
        Some(Peer { address, holder: None, chosen: Some(chosen.gateway.clone()), begin })
    }

    /// Another download may have delivered the same to another repository between the look at the metadata and the lease:
    /// then a HEAD does.
    async fn delivered_meanwhile(&self) -> Option<Phase> {
        let blobs = &self.finish.blobs;
        let (view, repository, digest) = (&self.view, &self.repository, &self.digest);
        let views = std::slice::from_ref(view);
        let looked_up =
            blobs.tools.catalog.look_up_among(views, repository, digest, Consistency::Linearizable).await.ok()?;
        if !looked_up.delivered.contains(&view.upstream.id) {
            return None;
        }
        let wanted = Wanted { view, repository, digest, size: self.promised, lost: None, elsewhere: false };
        match blobs.earn_by_head(&wanted, &looked_up).await {
            Ok(Answer::Here(known)) => known.map(|known| Phase::Stored(Box::new(known))),
            Ok(Answer::NotHere(not_here)) => Some(Phase::NotHere(not_here)),
            Err(FetchError::Upstream { upstream, fault }) => {
                Some(Phase::Failed(FillFailure::Upstream { upstream, fault }))
            }
            Err(_) => None,
        }
    }
}

impl Peer {
    fn holder(holder: Holder) -> Self {
        Self { address: holder.address.clone(), holder: Some(holder), chosen: None, begin: None }
    }
}
