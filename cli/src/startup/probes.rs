//! Plain answers of a process over HTTP: its probes where there is no gateway to answer them, and a listener that changes hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use roadstead_gateway::server::{Answer, Listener, Received};
use tokio::net::{TcpListener, TcpStream};

/// A short text.
pub(crate) fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// `/livez`.
pub(crate) fn alive() -> Response {
    plain(StatusCode::OK, "alive\n")
}

/// A listener that one server leaves to the next, so that nobody is refused in between.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<TcpListener>);

impl From<TcpListener> for Shared {
    fn from(listener: TcpListener) -> Self {
        Self(Arc::new(listener))
    }
}

impl Listener for Shared {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

/// Answers for a process that is not ready yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotYet(pub(crate) &'static str);

impl Answer for NotYet {
    async fn answer(&self, request: Received) -> Response {
        match request.head.uri.path() {
            "/livez" => alive(),
            _ => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", self.0));
                response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        }
    }
}
