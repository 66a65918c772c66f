//! Follows what another gateway leads.

use bytes::Bytes;
use roadstead_proto::domain::entry::BlobLocation;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::lease::{GatewayId, LeaseKey};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::rpc::{Dialer, Role};
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::peer::v1 as pb;
use roadstead_proto::wire::pb::peer::v1::peer_client::PeerClient;
use tonic::Streaming;

use super::wire;
use crate::catalog::Known;
use crate::upstream::error::{Fault, NotHere};

/// For whom an upstream was asked: its right to the bytes is the leader's matter.
pub(in crate::fetch) type OnBehalf = (UpstreamId, RepositoryName);

/// What a leading gateway says.
#[derive(Debug)]
pub(in crate::fetch) enum Event {
    /// Its upstream has answered.
    Opened {
        /// What it says of the size.
        size: Option<u64>,
        /// For whom it was asked.
        who: OnBehalf,
        /// When it was; older gateways do not say.
        began: Option<Revision>,
    },
    /// The next bytes.
    Data(Bytes),
    /// They were all, and right.
    Verified(u64),
    /// What became of them: where they are stored.
    Recorded(Option<BlobLocation>),
    /// The upstream does not have it for whom it was asked for.
    NotHere(NotHere, OnBehalf),
    /// The download failed.
    Failed(Fault),
    /// It does not lead it, or no longer.
    Gone,
    /// It has it, by the right of whom it was to begin it for.
    Stored(Box<Known>),
}

/// Why a download could not be followed, or not to its end. Both say the same of the blob: nothing.
#[derive(Debug, thiserror::Error)]
pub(in crate::fetch) enum Lost {
    /// No connection came about: the peer is down or cut off.
    #[error("no connection to the gateway at {address}: {reason}")]
    Unreachable {
        /// Where it is said to be.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The stream broke.
    #[error("the gateway at {address} broke off: {reason}")]
    Broke {
        /// Where it is.
        address: String,
        /// What went wrong.
        reason: String,
    },
}

/// Another gateway's download, event by event.
pub(in crate::fetch) struct Following {
    events: Streaming<pb::FollowEvent>,
    address: String,
}

/// What is asked of the other gateway.
pub(in crate::fetch) struct Ask<'a> {
    pub(in crate::fetch) address: &'a str,
    pub(in crate::fetch) key: &'a LeaseKey,
    /// Bytes that are here.
    pub(in crate::fetch) offset: u64,
    /// Where it does not run: begin it.
    pub(in crate::fetch) begin: Option<pb::Wanted>,
    pub(in crate::fetch) gateway: &'a GatewayId,
}

impl Following {
    /// Begins to follow.
    pub(in crate::fetch) async fn begin(dialer: &Dialer, ask: Ask<'_>) -> Result<Self, Lost> {
        let address = ask.address.to_owned();
        let unreachable = |reason: String| Lost::Unreachable { address: address.clone(), reason };
        if address.is_empty() {
            return Err(unreachable("it serves no peers".to_owned()));
        }
        let channel = dialer.channel(&address, Role::Gateway).map_err(|error| unreachable(error.to_string()))?;
        let mut peer = PeerClient::new(channel).max_decoding_message_size(limits::RPC_MESSAGE_MAX);
        let request = pb::FollowRequest {
            key: Some(ask.key.to_message()),
            offset: ask.offset,
            begin: ask.begin,
            gateway: ask.gateway.0.clone(),
        };
        let answered = tokio::time::timeout(limits::PEER_ANSWER_TIMEOUT, peer.follow(request)).await;
        match answered {
            Ok(Ok(response)) => Ok(Self { events: response.into_inner(), address }),
            Ok(Err(status)) => Err(unreachable(status.message().to_owned())),
            Err(_) => Err(unreachable(format!("no answer within {:?}", limits::PEER_ANSWER_TIMEOUT))),
        }
    }

    /// The next event. May be dropped while it waits; nothing is lost.
    pub(in crate::fetch) async fn next(&mut self) -> Result<Event, Lost> {
        let broke = |reason: String| Lost::Broke { address: self.address.clone(), reason };
        match self.events.message().await {
            Ok(Some(event)) => wire::event_from(event).map_err(|error| broke(error.to_string())),
            Ok(None) => Err(broke("it ended without a result".to_owned())),
            Err(status) => Err(broke(status.message().to_owned())),
        }
    }
}
