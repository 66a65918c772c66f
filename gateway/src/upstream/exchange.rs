//! The transport seam: one HTTP request, one response. Redirects, sign-in and meaning are the client's.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, Method, StatusCode};
use roadstead_proto::domain::limits;
use url::Url;

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
    /// The body; each item within [`limits::UPSTREAM_IDLE_TIMEOUT`] of the one before.
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
    /// Silence for too long.
    #[error("no data for {0:?}")]
    Timeout(Duration),
}

/// Speaks HTTP. The production form is [`ReqwestExchange`]; a simulation brings its own.
#[async_trait]
pub trait HttpExchange: Send + Sync + 'static {
    /// Sends a request and waits for the head of the response.
    async fn send(&self, request: Request) -> Result<Response, ExchangeError>;
}

/// reqwest with connection pools, TLS by rustls, proxies from the environment, and no redirects of its own.
#[derive(Debug, Clone)]
pub struct ReqwestExchange {
    client: reqwest::Client,
}

/// The transport could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The extra certificates are not PEM certificates.
    #[error("the upstream CA file holds no readable PEM certificate: {0}")]
    Certificates(String),
    /// The HTTP client could not be built.
    #[error("HTTP client: {0}")]
    Client(String),
}

impl ReqwestExchange {
    /// A client that trusts the system's certificate authorities and those in `extra_ca_pem`.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> Result<Self, TransportError> {
        // A second call is refused and changes nothing; every crate in the process wants the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::UPSTREAM_CONNECT_TIMEOUT)
            .read_timeout(limits::UPSTREAM_IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = extra_ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| TransportError::Certificates(error.to_string()))?;
            if certificates.is_empty() {
                return Err(TransportError::Certificates("no certificate found".to_owned()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder.build().map_err(|error| TransportError::Client(chain(&error)))?;
        Ok(Self { client })
    }
}

/// An error with its causes: reqwest's own text leaves out what went wrong.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn failed(error: reqwest::Error, patience: Duration) -> ExchangeError {
    if error.is_timeout() && !error.is_connect() {
        ExchangeError::Timeout(patience)
    } else {
        // The URL of a redirect target carries a signature.
        ExchangeError::Connection(chain(&error.without_url()))
    }
}

#[async_trait]
impl HttpExchange for ReqwestExchange {
    async fn send(&self, request: Request) -> Result<Response, ExchangeError> {
        let patience = request.patience;
        let sent = self.client.request(request.method, request.url).headers(request.headers).send();
        let response = tokio::time::timeout(patience, sent)
            .await
            .map_err(|_| ExchangeError::Timeout(patience))?
            .map_err(|error| failed(error, patience))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes_stream().map_err(|error| failed(error, limits::UPSTREAM_IDLE_TIMEOUT)).boxed();
        Ok(Response { status, headers, body })
    }
}
