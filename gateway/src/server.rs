//! A listener and its connections: limits on what comes in, request ids, and a graceful end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use roadstead_proto::domain::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{Instrument as _, debug, info_span, warn};

use crate::client_address::ClientAddress;

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

/// A request's id: the client's own where it is harmless, else a random one.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    let theirs = request.headers().get(REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    });
    theirs.cloned().unwrap_or_else(|| {
        let mut bytes = [0; 8];
        // Without randomness ids repeat; a pull does not fail for that.
        let _ = getrandom::fill(&mut bytes);
        let hex = roadstead_proto::domain::digest::encode_hex(&bytes);
        HeaderValue::from_str(&hex).unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

async fn handle(
    router: Router,
    client: ClientAddress,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let id = request_id(&request);
    request.extensions_mut().insert(client);
    let span = info_span!("request", id = id.to_str().unwrap_or("-"));
    let answered = router.oneshot(request.map(Body::new)).instrument(span).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response)
}

/// Serves `router` until `stop`, then waits for what is running, at most `drain_timeout`.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken, drain_timeout: Duration) {
    let (protocol, graceful) = (protocol(), GracefulShutdown::new());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => spawn_connection(&protocol, &graceful, stream, peer.into(), router.clone()),
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
    stream: TcpStream,
    client: ClientAddress,
    router: Router,
) {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| handle(router.clone(), client, request));
    let connection = protocol.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection ended");
        }
    });
}
