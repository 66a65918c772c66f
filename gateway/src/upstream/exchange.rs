//! The transport seam: one HTTP request, one response. Redirects, sign-in and meaning are the client's.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::network::Forbidden;

/// One request, without a body: a cache only asks.
#[derive(Clone)]
pub struct Request {
    /// GET or HEAD.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Everything that is sent, `Authorization` included.
    pub headers: HeaderMap,
    /// From now to the response's headers.
    pub patience: Duration,
    /// Whether a blob's bytes are what is asked for: the transport may send those another way than small answers.
    pub bulk: bool,
}

impl fmt::Debug for Request {
    // Headers carry credentials and redirect targets carry signatures: neither is ever printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.method, self.url.host_str().unwrap_or_default(), self.url.path())
    }
}

/// The response's head, and its body as it arrives.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; each item within the transport's idle time-out of the one before.
    pub body: BoxStream<'static, Result<Bytes, ExchangeError>>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The exchange failed before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// An address that upstreams may not have.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Silence for too long.
    #[error("no data for {0:?}")]
    Timeout(Duration),
}

/// Speaks HTTP. The production form is [`ReqwestExchange`](super::ReqwestExchange); a simulation brings its own.
#[async_trait]
pub trait HttpExchange: Send + Sync + 'static {
    /// Sends a request and waits for the head of the response.
    async fn send(&self, request: Request) -> Result<Response, ExchangeError>;
}
