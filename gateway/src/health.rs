//! `/livez`: the process turns. `/readyz`: it may be sent traffic. `/metrics`: Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use roadstead_proto::domain::limits;
use roadstead_storage::blob::BlobStore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::lease::Session;
use crate::telemetry::Telemetry;

/// What is said of this gateway's health.
///
/// It is ready until it drains. What it depends on is no part of that: without object storage, metadata or upstreams it still
/// serves what it can, and where one of them is away all gateways would leave the load balancer at once. It is said in words.
#[derive(Debug)]
pub struct Health {
    draining: CancellationToken,
    store: Arc<dyn BlobStore>,
    session: Arc<Session>,
    telemetry: Telemetry,
}

impl Health {
    /// Ready until [`Health::drain`].
    pub fn new(store: Arc<dyn BlobStore>, session: Arc<Session>, telemetry: Telemetry) -> Self {
        Self { draining: CancellationToken::new(), store, session, telemetry }
    }

    /// From now on not ready: the load balancer should look elsewhere.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends with [`Health::drain`].
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// What it does without just now.
    async fn lacks(&self) -> Vec<&'static str> {
        let mut lacks = Vec::new();
        match tokio::time::timeout(limits::HEALTH_PROBE_TIMEOUT, self.store.probe()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                warn!(error = &error as &dyn std::error::Error, "object storage is not usable");
                lacks.push(
                    "object storage is not usable (the log says why): cold pulls go straight through, and are not kept",
                );
            }
            Err(_) => lacks.push("object storage does not answer: cold pulls go straight through, and are not kept"),
        }
        if self.session.is_away() {
            lacks.push("the metadata takes no writes: pulls go on, and are recorded later");
        }
        lacks
    }
}

fn text(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn livez() -> Response {
    text(StatusCode::OK, "alive\n")
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    if health.draining.is_cancelled() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n");
    }
    let lacks = health.lacks().await;
    text(StatusCode::OK, lacks.iter().fold("ready\n".to_owned(), |said, lack| format!("{said}{lack}\n")))
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    match health.telemetry.render() {
        Ok(body) => text(StatusCode::OK, body),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// `/livez` and `/readyz`, for both listeners.
pub fn probes(health: Arc<Health>) -> Router {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health)
}

/// What the admin listener serves.
pub fn admin(health: Arc<Health>) -> Router {
    probes(Arc::clone(&health)).merge(Router::new().route("/metrics", get(metrics)).with_state(health))
}
