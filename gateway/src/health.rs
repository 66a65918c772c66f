//! `/livez`: the process turns. `/readyz`: it may be sent traffic. `/metrics`: Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use roadstead_storage::blob::BlobStore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::telemetry::Telemetry;

/// What readiness depends on. Upstreams are not part of it: a cache is there for when they are down.
#[derive(Debug)]
pub struct Health {
    draining: CancellationToken,
    store: Arc<dyn BlobStore>,
    telemetry: Telemetry,
}

impl Health {
    /// Ready as long as storage is, until [`Health::drain`].
    pub fn new(store: Arc<dyn BlobStore>, telemetry: Telemetry) -> Self {
        Self { draining: CancellationToken::new(), store, telemetry }
    }

    /// From now on not ready: the load balancer should look elsewhere.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends with [`Health::drain`].
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    async fn ready(&self) -> Result<(), &'static str> {
        if self.draining.is_cancelled() {
            return Err("draining");
        }
        self.store.probe().await.map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "object storage is not usable");
            "object storage is not usable; the log says why"
        })
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
    match health.ready().await {
        Ok(()) => text(StatusCode::OK, "ready\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
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
