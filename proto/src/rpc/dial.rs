//! Outgoing connections: one per address, opened when needed, kept alive.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Uri};

use super::identity::{Identity, Role};
use crate::domain::limits;

/// A connection, whatever it runs over.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Opens connections: TCP in production, a simulated network in its tests.
#[async_trait::async_trait]
pub trait Connect: Send + Sync + 'static {
    /// Connects to `host:port`.
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>>;

    /// The addresses that `name` (`host:port`) stands for. A simulated network has no names: each stands for itself.
    async fn resolve(&self, name: &str) -> io::Result<Vec<String>> {
        Ok(vec![name.to_owned()])
    }
}

/// The address cannot be called, or the certificates cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` cannot be called: {reason}")]
pub struct DialError {
    address: String,
    reason: String,
}

/// See the module's text. A clone shares the connections.
#[derive(Clone)]
pub struct Dialer {
    identity: Option<Arc<Identity>>,
    connect: Option<Arc<dyn Connect>>,
    /// Bounded by the nodes and gateways there ever were.
    channels: Arc<Mutex<HashMap<(String, Role), Channel>>>,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").field("tls", &self.identity.is_some()).finish_non_exhaustive()
    }
}

impl Dialer {
    /// Calls by mutual TLS with `identity`; without one in plain text.
    pub fn new(identity: Option<Identity>) -> Self {
        Self { identity: identity.map(Arc::new), connect: None, channels: Arc::default() }
    }

    /// Calls in plain text through `connect`.
    pub fn through(connect: Arc<dyn Connect>) -> Self {
        Self { identity: None, connect: Some(connect), channels: Arc::default() }
    }

    /// The same, but through `connect`.
    #[must_use]
    pub fn with_connect(mut self, connect: Arc<dyn Connect>) -> Self {
        self.connect = Some(connect);
        self
    }

    /// The connection to whoever listens on `address` (`host:port`), who must prove to be `role`. Opened with the first
    /// call and opened anew where it broke, so that an error here is one of the address or the certificates.
    ///
    /// # Errors
    /// Where the address is none, or the certificates are not.
    pub fn channel(&self, address: &str, role: Role) -> Result<Channel, DialError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&(address.to_owned(), role)) {
            return Ok(channel.clone());
        }
        let channel = self.open(address, role)?;
        channels.insert((address.to_owned(), role), channel.clone());
        Ok(channel)
    }

    /// The addresses that `name` (`host:port`) stands for: all that DNS knows.
    ///
    /// # Errors
    /// Where DNS does not answer, or knows none.
    pub async fn resolve(&self, name: &str) -> io::Result<Vec<String>> {
        if let Some(connect) = &self.connect {
            return connect.resolve(name).await;
        }
        let mut addresses: Vec<_> = tokio::net::lookup_host(name).await?.map(|address| address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(addresses)
    }

    fn open(&self, address: &str, role: Role) -> Result<Channel, DialError> {
        let failed =
            |reason: &dyn std::fmt::Display| DialError { address: address.to_owned(), reason: reason.to_string() };
        let scheme = if self.identity.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(|error| failed(&error))?;
        if let Some(identity) = &self.identity {
            endpoint = endpoint.tls_config(identity.client(role)).map_err(|error| failed(&error))?;
        }
        let endpoint = endpoint
            .connect_timeout(limits::RPC_CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(limits::RPC_PING_EVERY)
            .keep_alive_timeout(limits::RPC_PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(limits::RPC_STREAM_WINDOW)
            .initial_connection_window_size(limits::RPC_CONNECTION_WINDOW);
        let Some(connect) = &self.connect else { return Ok(endpoint.connect_lazy()) };
        let connect = Arc::clone(connect);
        let connector = tower::service_fn(move |uri: Uri| {
            let connect = Arc::clone(&connect);
            async move {
                let address = uri.authority().map(|authority| authority.to_string()).unwrap_or_default();
                connect.connect(&address).await.map(TokioIo::new)
            }
        });
        Ok(endpoint.connect_with_connector_lazy(connector))
    }
}
