//! Asks other gateways whether they work on a blob that no lease is known of.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::lease::{GatewayId, LeaseKey};
use roadstead_proto::domain::limits;
use roadstead_proto::rpc::{Dialer, Role};
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::peer::v1 as pb;
use roadstead_proto::wire::pb::peer::v1::peer_client::PeerClient;
use tokio::time::timeout;

/// What another gateway does with a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fetch) enum Seen {
    /// It downloads it.
    Leads,
    /// It has it, and is about to record that.
    Waits,
}

/// The first of `others` that works on `key`. Those that do not answer in [`limits::LOOK_PATIENCE`] count as idle.
pub(in crate::fetch) async fn look<'a>(
    dialer: &Dialer,
    others: impl IntoIterator<Item = &'a Registration>,
    key: &LeaseKey,
    me: &GatewayId,
) -> Option<(&'a Registration, Seen)> {
    let request = pb::LookRequest { key: Some(key.to_message()), gateway: me.0.clone() };
    let asked = others.into_iter().map(|other| {
        let request = request.clone();
        async move {
            let channel = dialer.channel(&other.address, Role::Gateway).ok()?;
            let answer = PeerClient::new(channel).look(request).await.ok()?.into_inner();
            let seen = if answer.leads { Some(Seen::Leads) } else { answer.waits.then_some(Seen::Waits) };
            seen.map(|seen| (other, seen))
        }
    });
    let answers: FuturesUnordered<_> = asked.collect();
    let mut seen = answers.filter_map(std::future::ready);
    timeout(limits::LOOK_PATIENCE, seen.next()).await.ok().flatten()
}
