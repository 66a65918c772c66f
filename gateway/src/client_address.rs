//! Who is at the other end of a connection, told with each request of it.

use std::net::{IpAddr, SocketAddr};

/// The address a request came from: that of the connection. What a request itself says about it is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub(crate) IpAddr);

impl From<SocketAddr> for ClientAddress {
    /// An IPv4 client of an IPv6 listener is an IPv4 client.
    fn from(peer: SocketAddr) -> Self {
        Self(peer.ip().to_canonical())
    }
}
