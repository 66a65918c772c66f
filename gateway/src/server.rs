//! A listener and its connections: limits on what comes in, request ids, and a graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use roadstead_proto::domain::digest::encode_hex;
use roadstead_proto::domain::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug, info_span, warn};

use crate::client_address::ClientAddress;
use crate::load::{Load, RunningBody};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Pause after the system could not give a connection: most often it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::REQUEST_HEAD_TIMEOUT)
        .max_headers(limits::REQUEST_HEADERS_MAX)
        .max_buf_size(limits::REQUEST_HEADERS_MAX_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits::REQUEST_HEADERS_MAX_BYTES as u32);
    builder
}

/// A request's id: the client's own where it is harmless, else one of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let theirs = headers.get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    });
    theirs.cloned().unwrap_or_else(next_id)
}

/// Unique in this process by its count, and among processes by a random start: asking for randomness each time would be a
/// system call per request.
fn next_id() -> HeaderValue {
    static LAST: LazyLock<AtomicU64> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Without randomness ids of two processes may be alike; a pull does not fail for that.
        let _ = getrandom::fill(&mut bytes);
        AtomicU64::new(u64::from_be_bytes(bytes))
    });
    let hex = encode_hex(&LAST.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    HeaderValue::from_maybe_shared(Bytes::from(hex)).unwrap_or(HeaderValue::from_static("-"))
}

/// A request with its id; the body is not read, since nothing that is served takes one.
#[derive(Debug)]
pub struct Received {
    /// Request line and headers.
    pub head: Parts,
    /// For log lines, and the answer's `X-Request-Id`.
    pub id: HeaderValue,
}

/// What answers the requests of a listener.
pub trait Answer: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Received) -> impl Future<Output = Response<Body>> + Send;
}

impl Answer for Router {
    async fn answer(&self, Received { head, id }: Received) -> Response<Body> {
        let answered = self.clone().oneshot(Request::from_parts(head, Body::empty()));
        answered.instrument(info_span!("request", ?id)).await.unwrap_or_else(|never| match never {})
    }
}

async fn handle(
    answer: impl Answer,
    load: Load,
    client: ClientAddress,
    request: Request<Incoming>,
) -> Result<Response<RunningBody>, Infallible> {
    let running = load.request();
    let (mut head, _) = request.into_parts();
    head.extensions.insert(client);
    let id = request_id(&head.headers);
    let mut response = answer.answer(Received { head, id: id.clone() }).await;
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response.map(|body| RunningBody::new(body, running)))
}

/// Where connections come from: TCP in production, a simulated network in its tests.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection, and who is at the other end.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

/// Serves until `stop`, then waits for what is running, at most `drain_timeout`. Requests count towards `load`.
pub async fn serve(
    mut listener: impl Listener,
    answer: impl Answer,
    load: Load,
    stop: CancellationToken,
    drain_timeout: Duration,
) {
    let (protocol, graceful) = (protocol(), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                spawn_connection(&protocol, &graceful, stream, peer.into(), answer.clone(), load.clone())
            }
            Err(error) => {
                warn!(%error, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain_timeout, graceful.shutdown()).await.is_err() {
        warn!(timeout = ?drain_timeout, "connections are still open at the end of the drain: they are cut");
    }
}

fn spawn_connection(
    protocol: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    client: ClientAddress,
    answer: impl Answer,
    load: Load,
) {
    let service = hyper::service::service_fn(move |request| handle(answer.clone(), load.clone(), client, request));
    let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection ended");
        }
    });
}
