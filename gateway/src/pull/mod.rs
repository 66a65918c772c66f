//! A pull, step by step: parse → authenticate → authorise → resolve or fetch → answer.
//!
//! | file | what it holds |
//! |---|---|
//! | [`route`] | the request line (pure) |
//! | [`range`] | `Range` (pure) |
//! | `redirect` | whether a client is sent to the object store (pure) |
//! | `manifest`, `blob`, `tags`, `referrers` | one operation each |
//! | `respond` | headers and bodies of answers |
//! | `error` | what a failed pull looks like from outside |

mod blob;
mod error;
mod manifest;
pub mod range;
mod redirect;
mod referrers;
mod respond;
pub mod route;
mod tags;

use std::sync::Arc;
use std::time::Instant;

use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegistryId;
use tracing::{Instrument as _, debug, info, info_span, warn};

use crate::auth::{self, Principal};
use crate::cache_status::CacheStatus;
use crate::client_address::ClientAddress;
use crate::config::Redirects;
use crate::fetch::blobs::Blobs;
use crate::fetch::prefetch::Prefetcher;
use crate::listing::Lister;
use crate::meta::snapshot::{Snapshot, Snapshots};
use crate::metrics::Metrics;
use crate::policy::{self, Denied, Permit, Wanted};
use crate::resolve::Resolver;
use crate::usage::UsageLog;
use blob::Asking;
use error::{PullError, render};
use route::{Operation, Pull, PullRequest};

/// Which registry an answer stands for, where the client named one (distribution spec, "Registry Proxying").
const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// Answers pulls.
pub struct Puller {
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) blobs: Arc<Blobs>,
    /// Nothing is prefetched without.
    pub(crate) prefetcher: Option<Arc<Prefetcher>>,
    pub(crate) lister: Arc<Lister>,
    pub(crate) usage: Arc<UsageLog>,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) anonymous_pull: bool,
    pub(crate) redirects: Option<Redirects>,
    /// The registry of the bare `/v2/<name>`.
    pub(crate) mirror_registry: Option<RegistryId>,
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
    /// Answers a request below `/v2`. `id` stands in the log lines of whatever is done for it.
    pub async fn serve(&self, head: &Parts, id: &HeaderValue) -> Response {
        let began = Instant::now();
        let parsed = route::parse(&head.method, head.uri.path(), head.uri.query());
        let operation = match &parsed {
            Err(_) => "invalid",
            Ok(PullRequest::Ping) => "ping",
            Ok(PullRequest::Pull(pull)) => operation(pull),
        };
        let answered = match parsed {
            Err(error) => Err(PullError::Route(error)),
            Ok(PullRequest::Ping) => self.ping(&head.headers),
            Ok(PullRequest::Pull(pull)) => self.pull(&pull, head, id).await,
        };
        let Answered { response, cache } =
            answered.unwrap_or_else(|error| Answered { response: failed(&error), cache: "none" });
        let status = response.status().as_u16();
        self.metrics.pulled(operation, status, cache, began.elapsed());
        let path = head.uri.path();
        // A line per hit would be most of the work of a hit, and says nothing that the counters do not.
        if cache == CacheStatus::Hit.label() {
            debug!(request = ?id, method = %head.method, path, status, cache, "pull");
        } else {
            info!(request = ?id, method = %head.method, path, status, cache, "pull");
        }
        response
    }

    fn principal(&self, snapshot: &Snapshot, headers: &HeaderMap) -> Result<Principal, PullError> {
        let principal = auth::authenticate(headers, snapshot, self.clock.now())
            .map_err(|_| PullError::SignIn("the credentials are unknown, revoked, expired or malformed"))?;
        match principal {
            Principal::Token(_) if self.snapshots.cut_off_for() > limits::MAX_DISCONNECTED_AUTH => {
                Err(PullError::CutOff)
            }
            principal => Ok(principal),
        }
    }

    async fn pull(&self, pull: &Pull, head: &Parts, id: &HeaderValue) -> Result<Answered, PullError> {
        let permit = {
            let snapshot = self.snapshots.current();
            let principal = self.principal(&snapshot, &head.headers)?;
            self.permit(&snapshot, &principal, pull)?
        };
        let answered = match self.warm(pull, &permit, head) {
            Some(answered) => Ok(answered),
            None => self.operate(pull, &permit, head).instrument(info_span!("request", id = ?id)).await,
        };
        let Some(namespace) = permit.namespace() else { return answered };
        // Errors too: they are this registry's answer to that namespace.
        let Answered { mut response, cache } =
            answered.unwrap_or_else(|error| Answered { response: failed(&error), cache: "none" });
        response.headers_mut().insert(OCI_NAMESPACE, namespace.header());
        Ok(Answered { response, cache })
    }

    /// What is answered from memory, without a wait: manifests that are fresh.
    fn warm(&self, pull: &Pull, permit: &Permit, head: &Parts) -> Option<Answered> {
        let Operation::Manifest(reference) = &pull.operation else { return None };
        let resolved = self.resolver.in_memory(permit, reference)?;
        Some(self.render_manifest(permit, reference, resolved, &head.method, &head.headers))
    }

    async fn operate(&self, pull: &Pull, permit: &Permit, head: &Parts) -> Result<Answered, PullError> {
        match &pull.operation {
            Operation::Manifest(reference) => self.manifest(permit, reference, &head.method, &head.headers).await,
            Operation::Blob(digest) => {
                let client = head.extensions.get().map(|ClientAddress(ip)| *ip);
                self.blob(permit, digest, Asking { method: &head.method, headers: &head.headers, client }).await
            }
            Operation::Tags(page) => self.tags(permit, page, head.uri.path()).await,
            Operation::Referrers { subject, artifact_type } => {
                self.referrers(permit, subject, artifact_type.as_deref()).await
            }
        }
    }

    /// Clients sign in where the ping asks for it: it must not, where some registry is open to all.
    fn ping(&self, headers: &HeaderMap) -> Result<Answered, PullError> {
        let snapshot = self.snapshots.current();
        let open = self.anonymous_pull || snapshot.registries.values().any(|view| view.registry.anonymous_pull);
        match self.principal(&snapshot, headers)? {
            Principal::Anonymous if !open => Err(PullError::SignIn("a token is needed")),
            _ => Ok(Answered { response: respond::pong(), cache: "none" }),
        }
    }

    fn permit(&self, snapshot: &Snapshot, principal: &Principal, pull: &Pull) -> Result<Permit, PullError> {
        let registry = pull.registry.or(self.mirror_registry).ok_or(PullError::NoRegistry)?;
        let namespace = pull.namespace.as_ref();
        let wanted = Wanted { registry, namespace, repository: pull.repository.clone() };
        policy::decide(snapshot, principal, wanted, self.anonymous_pull).map_err(|denied| match denied {
            Denied::SignIn => PullError::SignIn("a token is needed"),
            Denied::UnknownRegistry => PullError::UnknownRegistry,
            Denied::UnknownNamespace => PullError::UnknownNamespace,
        })
    }
}

/// The answer to a failed pull; what went wrong inward stands in the log.
fn failed(error: &PullError) -> Response {
    if let PullError::Fetch { name, error, .. } = error {
        warn!(%name, %error, "pull failed");
    }
    render(error)
}

fn operation(pull: &Pull) -> &'static str {
    match pull.operation {
        Operation::Manifest(_) => "manifest",
        Operation::Blob(_) => "blob",
        Operation::Tags(_) => "tags",
        Operation::Referrers { .. } => "referrers",
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
