//! Lets other gateways follow what this one leads.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use roadstead_proto::domain::epoch::Epoch;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::lease::LeaseKey;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::rpc::{Guard, Role};
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::meta::v1::StoredContent;
use roadstead_proto::wire::pb::peer::v1 as pb;
use roadstead_proto::wire::pb::peer::v1::follow_event::Event as Pb;
use roadstead_proto::wire::pb::peer::v1::peer_server::Peer;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use tracing::debug;

use super::wire;
use crate::catalog::Known;
use crate::fetch::blobs::Blobs;
use crate::fetch::fill::{Fill, Follower, Kept, Part, Phase, Reach};
use crate::fetch::join::Wanted;

/// Events on their way to one follower: two, so that the next is ready when it asks.
const AHEAD: usize = 2;

type Events = Pin<Box<dyn Stream<Item = Result<pb::FollowEvent, Status>> + Send>>;

/// What there is of what was asked for.
enum Found {
    Runs(Arc<Fill>),
    Stored(StoredContent),
    Nothing,
}

/// The peer service of a gateway.
pub(crate) struct PeerService {
    blobs: Arc<Blobs>,
    guard: Guard,
}

impl PeerService {
    /// Over the downloads of `blobs`, for whom `guard` lets in.
    pub(crate) fn new(blobs: Arc<Blobs>, guard: Guard) -> Self {
        Self { blobs, guard }
    }

    /// The download to follow: one that runs, or one that is begun as it is asked for.
    fn find(&self, request: &pb::FollowRequest) -> Result<Found, Status> {
        if request.gateway == self.blobs.tools.session.gateway().0 {
            return Err(Status::failed_precondition(
                "this is the gateway that asks: its peer address is not another's",
            ));
        }
        let LeaseKey::Fill { region, source, digest } = fill_key(request.key.clone())? else {
            return Err(Status::invalid_argument("the key is not that of a download"));
        };
        if region != *self.blobs.tools.session.region() {
            return Err(Status::failed_precondition("this gateway belongs to another region"));
        }
        if let Some(fill) = self.blobs.running().get(&(source, digest)) {
            return Ok(Found::Runs(Arc::clone(fill)));
        }
        let Some(wanted) = &request.begin else { return Ok(Found::Nothing) };
        let repository: RepositoryName =
            wanted.repository.parse().map_err(|_| Status::invalid_argument("the repository is no name"))?;
        // Who knows another configuration than we do would get other bytes than it means.
        let view = self.blobs.tools.snapshots.current().upstream(UpstreamId(wanted.upstream));
        let Some(view) = view.filter(|view| view.upstream.epoch == Epoch(wanted.upstream_epoch)) else {
            return Ok(Found::Nothing);
        };
        // It may have been done a moment ago, for the same entry.
        if let Some(Known { right, location: Some(location) }) =
            self.blobs.tools.catalog.known(&view, &repository, &digest)
        {
            let (location, right) = (Some(location.to_message()), Some(right.to_message()));
            return Ok(Found::Stored(StoredContent { location, right }));
        }
        let wanted = Wanted {
            view: &view,
            repository: &repository,
            digest: &digest,
            size: wanted.size,
            lost: None,
            elsewhere: false,
        };
        Ok(self.blobs.lead_for_peer(&wanted).map_or(Found::Nothing, Found::Runs))
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type FollowStream = Events;

    async fn follow(&self, request: Request<pb::FollowRequest>) -> Result<Response<Events>, Status> {
        self.guard.admit(&request, &[Role::Gateway])?;
        let request = request.into_inner();
        let only = |said: Pb| Ok(Response::new(futures::stream::once(async { Ok(event(said)) }).boxed()));
        let fill = match self.find(&request)? {
            Found::Runs(fill) => fill,
            Found::Stored(stored) => return only(Pb::Stored(stored)),
            Found::Nothing => return only(Pb::Gone(pb::Gone {})),
        };
        debug!(digest = %fill.digest(), gateway = request.gateway, offset = request.offset, "followed by another gateway");
        let follower = fill.follow();
        let (sender, receiver) = mpsc::channel(AHEAD);
        self.blobs.tools.tasks.spawn(async move {
            // Whoever leaves needs no answer.
            let _ = tell(&fill, &follower, request.offset, &sender).await;
        });
        let events = futures::stream::unfold(receiver, |mut events| async {
            let event = events.recv().await?;
            Some((Ok(event), events))
        });
        Ok(Response::new(events.boxed()))
    }

    async fn look(&self, request: Request<pb::LookRequest>) -> Result<Response<pb::LookResponse>, Status> {
        self.guard.admit(&request, &[Role::Gateway])?;
        let request = request.into_inner();
        let key = fill_key(request.key)?;
        let leads = match &key {
            LeaseKey::Fill { source, digest, .. } => self.blobs.running().get(&(source.clone(), *digest)).cloned(),
            LeaseKey::Manifest(_) => None,
        };
        // One that is still looking for who leads must not be followed: it may be looking at the one that asks.
        let leads = leads.is_some_and(|fill| fill.leads());
        let waits = !leads && self.blobs.tools.later.hurry(&key);
        debug!(?key, gateway = request.gateway, leads, waits, "another gateway looks for who works on it");
        Ok(Response::new(pb::LookResponse { leads, waits }))
    }
}

fn fill_key(key: Option<roadstead_proto::wire::pb::meta::v1::LeaseKey>) -> Result<LeaseKey, Status> {
    let key = key.ok_or_else(|| Status::invalid_argument("the key is missing"))?;
    LeaseKey::from_message(key).map_err(|error| Status::invalid_argument(error.to_string()))
}

fn event(event: Pb) -> pb::FollowEvent {
    pb::FollowEvent { event: Some(event) }
}

/// The follower has left.
struct Left;

impl From<mpsc::error::SendError<pb::FollowEvent>> for Left {
    fn from(_: mpsc::error::SendError<pb::FollowEvent>) -> Self {
        Self
    }
}

/// Tells one follower everything, from `offset` on.
async fn tell(
    fill: &Arc<Fill>,
    follower: &Follower,
    offset: u64,
    events: &mpsc::Sender<pb::FollowEvent>,
) -> Result<(), Left> {
    let send = |said: Pb| events.send(event(said));
    let gone = || Pb::Gone(pb::Gone {});
    let reader = tokio::select! {
        part = fill.leads_or_follows() => match part {
            Part::Leading => fill.spool().attach(),
            Part::Seeking | Part::Following | Part::Beside => None,
        },
        () = events.closed() => return Err(Left),
    };
    let Some(reader) = reader else { return Ok(send(gone()).await?) };
    let phase = tokio::select! {
        phase = fill.answered() => phase,
        () = events.closed() => return Err(Left),
        () = follower.dismissed() => return Ok(send(gone()).await?),
    };
    match phase {
        Phase::Open { .. } | Phase::Verified { .. } => {
            let (upstream, repository) = fill.led_for();
            let (upstream, repository) = (upstream.0, repository.as_str().to_owned());
            let began = fill.began().map(|began| began.0);
            send(Pb::Opened(pb::Opened { size: fill.size(), upstream, repository, began })).await?;
        }
        Phase::NotHere(not_here) => {
            return Ok(send(Pb::NotHere(wire::not_here_to(not_here, fill.led_for()))).await?);
        }
        Phase::Failed(failure) => {
            return Ok(send(wire::failure_to(&failure).map_or_else(gone, Pb::Failed)).await?);
        }
        // The metadata says where.
        Phase::Stored(_) | Phase::Asking => return Ok(send(gone()).await?),
    }
    let mut bytes = fill.stream(reader, offset..u64::MAX, Reach::Received);
    loop {
        let next = tokio::select! {
            next = bytes.next() => next,
            () = events.closed() => return Err(Left),
            () = follower.dismissed() => return Ok(send(gone()).await?),
        };
        match next {
            Some(Ok(piece)) => send(Pb::Data(piece)).await?,
            Some(Err(failure)) => {
                return Ok(send(wire::failure_to(&failure).map_or_else(gone, Pb::Failed)).await?);
            }
            None => break,
        }
    }
    let Some(size) = fill.size() else { return Ok(send(gone()).await?) };
    send(Pb::Verified(pb::Verified { size })).await?;
    let kept = tokio::select! {
        kept = fill.kept() => kept,
        () = events.closed() => return Err(Left),
    };
    let location = match kept {
        Kept::Stored(location) => Some(location.to_message()),
        Kept::Unknown | Kept::Not => None,
    };
    Ok(send(Pb::Recorded(pb::Recorded { location })).await?)
}
