//! A pull, step by step: parse → authenticate → authorise → resolve or fetch → answer.
//!
//! | file | what it holds |
//! |---|---|
//! | [`route`] | the request line (pure) |
//! | [`range`] | `Range` (pure) |
//! | `redirect` | whether a client is sent to the object store (pure) |
//! | `manifest`, `blob` | one operation each |
//! | `respond` | headers and bodies of answers |
//! | `error` | what a failed pull looks like from outside |

mod blob;
mod error;
mod manifest;
pub mod range;
mod redirect;
mod respond;
pub mod route;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::registry::RegistryId;
use tracing::{info, warn};

use crate::auth::{self, Principal};
use crate::client_address::ClientAddress;
use crate::config::Redirects;
use crate::fetch::blobs::Blobs;
use crate::meta::snapshot::{Snapshot, Snapshots};
use crate::metrics::Metrics;
use crate::policy::{self, Denied, Permit};
use crate::resolve::Resolver;
use crate::usage::UsageLog;
use blob::Asking;
use error::{PullError, render};
use route::PullRequest;

/// Answers pulls.
pub struct Puller {
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) usage: Arc<UsageLog>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) anonymous_pull: bool,
    pub(crate) redirects: Option<Redirects>,
}

impl std::fmt::Debug for Puller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puller").field("snapshots", &self.snapshots).finish_non_exhaustive()
    }
}

struct Answered {
    response: Response,
    cache: &'static str,
}

impl Puller {
    /// Answers a request below `/v2`.
    pub async fn serve(&self, request: Request<Body>) -> Response {
        let began = Instant::now();
        let (head, _) = request.into_parts();
        let (operation, answered) = match route::parse(&head.method, head.uri.path()) {
            Err(error) => ("invalid", Err(PullError::Route(error))),
            Ok(request) => (operation(&request), self.answer(request, &head).await),
        };
        let Answered { response, cache } = answered.unwrap_or_else(|error| {
            if let PullError::Fetch { name, error, .. } = &error {
                warn!(%name, %error, "pull failed");
            }
            Answered { response: render(&error), cache: "none" }
        });
        let status = response.status().as_u16();
        self.metrics.pulled(operation, status, cache, began.elapsed());
        info!(method = %head.method, path = head.uri.path(), status, cache, "pull");
        response
    }

    async fn answer(&self, request: PullRequest, head: &http::request::Parts) -> Result<Answered, PullError> {
        let (method, headers) = (&head.method, &head.headers);
        let snapshot = self.snapshots.current();
        let principal = auth::authenticate(headers, &snapshot, self.clock.now())
            .map_err(|_| PullError::SignIn("the credentials are unknown, revoked, expired or malformed"))?;
        match request {
            PullRequest::Ping => self.ping(&snapshot, &principal),
            PullRequest::Manifest { registry, repository, reference } => {
                let permit = self.permit(&snapshot, &principal, registry, repository)?;
                self.manifest(&permit, &reference, method, headers).await
            }
            PullRequest::Blob { registry, repository, digest } => {
                let permit = self.permit(&snapshot, &principal, registry, repository)?;
                let client = head.extensions.get().map(|ClientAddress(ip)| *ip);
                self.blob(&permit, &digest, Asking { method, headers, client }).await
            }
        }
    }

    /// Clients sign in where the ping asks for it: it must not, where some registry is open to all.
    fn ping(&self, snapshot: &Snapshot, principal: &Principal) -> Result<Answered, PullError> {
        let open = self.anonymous_pull || snapshot.registries.values().any(|view| view.registry.anonymous_pull);
        match principal {
            Principal::Anonymous if !open => Err(PullError::SignIn("a token is needed")),
            _ => Ok(Answered { response: respond::pong(), cache: "none" }),
        }
    }

    fn permit(
        &self,
        snapshot: &Snapshot,
        principal: &Principal,
        registry: RegistryId,
        repository: RepositoryName,
    ) -> Result<Permit, PullError> {
        policy::decide(snapshot, principal, registry, repository, self.anonymous_pull).map_err(|denied| match denied {
            Denied::SignIn => PullError::SignIn("a token is needed"),
            Denied::UnknownRegistry => PullError::UnknownRegistry,
        })
    }
}

fn operation(request: &PullRequest) -> &'static str {
    match request {
        PullRequest::Ping => "ping",
        PullRequest::Manifest { .. } => "manifest",
        PullRequest::Blob { .. } => "blob",
    }
}

fn name_of(permit: &Permit, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{}:{tag}", permit.repository()),
        Reference::Digest(digest) => format!("{}@{digest}", permit.repository()),
    }
}

/// One-word names are official images only to the docker client; Docker Hub itself calls them `library/<name>`.
fn hint(permit: &Permit) -> Option<String> {
    let has_hub = permit.registry().upstreams.iter().any(|view| view.upstream.settings.url.is_docker_hub());
    let repository = permit.repository();
    (has_hub && repository.is_one_word()).then(|| format!("did you mean library/{repository}?"))
}
