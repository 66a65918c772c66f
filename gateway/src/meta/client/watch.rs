//! A watch that a member serves, relayed.

use std::sync::Arc;

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use roadstead_proto::meta::{MetaError, Watch, WatchEvent};
use roadstead_proto::rpc::status::from_status;
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::meta::v1 as pb;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::{Request, Streaming};

use super::members::Members;
use super::{Seen, meta_client, nearest, undecodable};

/// Opens a watch at whichever member can resume it. Where some have forgotten what came after `after`, another may
/// not have; where all that answer have, it is compacted.
pub(super) async fn open(members: &Members, seen: &Arc<Seen>, after: Revision) -> Result<Watch, MetaError> {
    let deadline = Instant::now() + limits::META_LOCAL_PATIENCE;
    // Without a time limit on the call itself: it lasts as long as the watch.
    let ask =
        |channel, _| async move { meta_client(channel).watch(Request::new(pb::WatchRequest { after: after.0 })).await };
    let events = nearest::call(members, deadline, ask).await?.into_inner();
    let (sender, receiver) = mpsc::channel(limits::WATCH_QUEUE);
    tokio::spawn(relay(events, sender, Arc::clone(seen)));
    Ok(Watch::relay(receiver))
}

/// Hands events on until the stream ends, is silent for too long, or nobody listens any more.
async fn relay(
    mut events: Streaming<pb::WatchEvent>,
    sender: mpsc::Sender<Result<WatchEvent, MetaError>>,
    seen: Arc<Seen>,
) {
    loop {
        let next = tokio::select! {
            next = timeout(limits::WATCH_SILENCE_MAX, events.message()) => next,
            () = sender.closed() => return,
        };
        let event = match next {
            Ok(Ok(Some(event))) => WatchEvent::from_message(event).map_err(|error| undecodable(&error)),
            Ok(Ok(None)) => Err(MetaError::Unavailable("the node has ended the watch".to_owned())),
            Ok(Err(status)) => Err(from_status(&status)),
            Err(_) => Err(MetaError::Unavailable(format!("a watch was silent for {:?}", limits::WATCH_SILENCE_MAX))),
        };
        match &event {
            Ok(WatchEvent::Changed(change)) => seen.raise(change.revision),
            Ok(WatchEvent::Progress(revision)) => seen.raise(*revision),
            Err(_) => {}
        }
        let is_over = event.is_err();
        if sender.send(event).await.is_err() || is_over {
            return;
        }
    }
}
