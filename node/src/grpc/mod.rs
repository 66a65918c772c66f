//! The services of a node, over a network.
//!
//! | file | service | who may call it |
//! |---|---|---|
//! | `meta` | reads, proposals and watches | gateways, nodes, admins |
//! | `lease` | signs of life, and waits for the end of a lease | gateways, nodes, admins |
//! | `raft` | between members | nodes |
//! | `admin` | administration of the group | admins, and nodes that pass a call on |
//! | `export` | – | the metadata as a file, for `admin` |
//! | `connection` | – | ends what does not end by itself |

mod admin;
mod connection;
mod export;
mod lease;
mod meta;
mod raft;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use roadstead_proto::domain::limits;
use roadstead_proto::rpc::{Guard, Identity, Role, listen};
use roadstead_proto::wire::pb::admin::v1::admin_server::AdminServer;
use roadstead_proto::wire::pb::raft::v1::raft_server::RaftServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::Node;
use connection::Severable;

/// Who may use the metadata.
const USERS: [Role; 3] = [Role::Gateway, Role::Node, Role::Admin];

/// How long calls under way may take to end when the server stops. Streams are told to end at once.
const CLOSE_PATIENCE: Duration = Duration::from_secs(3);

/// What every service is made of.
#[derive(Clone)]
struct Service {
    node: Arc<Node>,
    guard: Guard,
    /// Cancelled when the server closes: what would go on for ever ends then.
    closing: CancellationToken,
}

/// Serves the member `node` on the connections of `incoming`, by mutual TLS with `identity`, until `stop` is cancelled.
/// Then it hands the leadership over first, while everybody can still be talked to, ends the streams, lets calls end, and
/// returns. The member goes on; [`Node::shutdown`] is the next step.
///
/// # Errors
/// Where the certificates cannot be used.
pub async fn serve<IO>(
    node: Arc<Node>,
    incoming: impl Stream<Item = io::Result<IO>> + Send + 'static,
    identity: Option<&Identity>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (closing, severed) = (CancellationToken::new(), CancellationToken::new());
    let guard = Guard::of(identity);
    let meta = meta::service(Arc::clone(&node), guard, closing.clone());
    let lease = lease::service(node.meta(), guard, closing.clone());
    let service = Service { node: Arc::clone(&node), guard, closing: closing.clone() };
    let raft = RaftServer::new(service.clone()).max_decoding_message_size(limits::RPC_MESSAGE_MAX);
    let admin = AdminServer::new(service);
    let router = listen::server(identity)?.add_service(meta).add_service(lease).add_service(raft).add_service(admin);
    let incoming = {
        let severed = severed.clone();
        incoming.map(move |io| io.map(|io| Severable::new(io, severed.clone())))
    };
    let close = async {
        stop.cancelled().await;
        node.membership().hand_over().await;
        closing.cancel();
        // On a task of its own: it must go on when this future has ended.
        tokio::spawn(async move {
            tokio::time::sleep(CLOSE_PATIENCE).await;
            severed.cancel();
        });
    };
    router.serve_with_incoming_shutdown(incoming, close).await
}
