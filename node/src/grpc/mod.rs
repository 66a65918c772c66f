//! What a member serves over gRPC.
//!
//! | file | what it holds |
//! |---|---|
//! | [`meta`] | reads, proposals and watches of gateways |
//! | [`lease`] | signs of life, and waits for the end of a lease |

mod lease;
mod meta;

use std::sync::Arc;

use futures::Stream;
use roadstead_proto::rpc::{Guard, Identity, Role, listen};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::app::Node;

/// Who may use the metadata.
const USERS: [Role; 3] = [Role::Gateway, Role::Node, Role::Admin];

/// Serves a member until `stop`.
///
/// # Errors
/// Where the certificates cannot be used, or the listener fails.
pub async fn serve<IO>(
    node: Arc<Node>,
    incoming: impl Stream<Item = std::io::Result<IO>> + Send + 'static,
    identity: Option<&Identity>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let guard = Guard::of(identity);
    let meta = node.meta();
    drop(node);
    listen::server(identity)?
        .add_service(meta::service(Arc::clone(&meta), guard, stop.clone()))
        .add_service(lease::service(meta, guard, stop.clone()))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await
}
