//! The configuration, ready for the data path: built once per change, read on every pull without a lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::principal::{Token, TokenHash};
use roadstead_proto::domain::registry::{Registry, RegistryId, UpstreamId};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{SourceId, Upstream};
use roadstead_proto::meta::{Consistency, MetaError, MetaStore, WatchEvent};
use roadstead_proto::state::command::Changed;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::namespace::{Namespace, by_namespace};
use crate::seal::Keyring;

/// The configuration at one revision.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The revision.
    pub revision: Revision,
    /// By number.
    pub registries: HashMap<RegistryId, Arc<RegistryView>>,
    /// By hash.
    pub tokens: HashMap<TokenHash, Token>,
}

/// A registry with its upstreams in the order they are asked.
#[derive(Debug)]
pub struct RegistryView {
    /// Its row.
    pub registry: Registry,
    /// First asked first.
    pub upstreams: Vec<Arc<UpstreamView>>,
    /// Whose tags are meant through this view.
    pub scope: Scope,
    /// The same registry narrowed to the one upstream that answers to a namespace.
    pub namespaces: HashMap<Namespace, Arc<RegistryView>>,
}

/// Whose tags are meant: one name may stand for another image at each upstream, so what was found in one scope says
/// nothing in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Of the first upstream of a registry that has the name.
    Registry(RegistryId),
    /// Of this upstream, which the client named itself.
    Upstream(UpstreamId),
}

/// An upstream, ready to be asked.
#[derive(Debug)]
pub struct UpstreamView {
    /// Its row.
    pub upstream: Upstream,
    /// Origin and credential identity.
    pub source: SourceId,
    /// How to sign in.
    pub sign_in: SignIn,
}

/// How an upstream is signed in to.
#[derive(Debug, Clone)]
pub enum SignIn {
    /// Without credentials.
    Anonymous,
    /// With a user name and a password.
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// There are credentials, but they cannot be opened: every request would be made as somebody else.
    Sealed(String),
}

impl RegistryView {
    /// A registry over its upstreams, first asked first.
    pub fn new(registry: Registry, upstreams: Vec<Arc<UpstreamView>>) -> Self {
        let named = by_namespace(upstreams.iter().map(|view| &view.upstream));
        let namespaces = named
            .into_iter()
            .filter_map(|(namespace, named)| {
                let view = upstreams.iter().find(|view| view.upstream.id == named.id)?;
                Some((namespace, Arc::new(Self::narrowed(&registry, view))))
            })
            .collect();
        Self { scope: Scope::Registry(registry.id), registry, upstreams, namespaces }
    }

    /// The registry as if it had this upstream only, which the client named itself.
    pub fn narrowed(registry: &Registry, upstream: &Arc<UpstreamView>) -> Self {
        Self {
            scope: Scope::Upstream(upstream.upstream.id),
            registry: registry.clone(),
            upstreams: vec![Arc::clone(upstream)],
            namespaces: HashMap::new(),
        }
    }

    /// The upstream of a number, if it is linked.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Arc<UpstreamView>> {
        self.upstreams.iter().find(|view| view.upstream.id == id)
    }
}

impl Snapshot {
    /// Builds the snapshot of a configuration; opens the credentials.
    pub fn build(configuration: Configuration, keyring: &Keyring) -> Self {
        let views: HashMap<UpstreamId, Arc<UpstreamView>> = configuration
            .upstreams
            .into_iter()
            .map(|upstream| (upstream.id, Arc::new(UpstreamView::build(upstream, keyring))))
            .collect();
        let mut registries: HashMap<RegistryId, (Registry, Vec<Arc<UpstreamView>>)> =
            configuration.registries.into_iter().map(|registry| (registry.id, (registry, Vec::new()))).collect();
        // Links come by registry, then position.
        for link in configuration.links {
            if let (Some((_, linked)), Some(upstream)) = (registries.get_mut(&link.registry), views.get(&link.upstream))
            {
                linked.push(Arc::clone(upstream));
            }
        }
        Self {
            revision: configuration.revision,
            registries: registries
                .into_iter()
                .map(|(id, (registry, linked))| (id, Arc::new(RegistryView::new(registry, linked))))
                .collect(),
            tokens: configuration.tokens.into_iter().map(|token| (token.hash, token)).collect(),
        }
    }
}

impl Snapshot {
    /// The upstream of a number, if any registry uses it.
    pub fn upstream(&self, id: UpstreamId) -> Option<Arc<UpstreamView>> {
        self.registries.values().find_map(|registry| registry.upstream(id).cloned())
    }
}

impl UpstreamView {
    fn build(upstream: Upstream, keyring: &Keyring) -> Self {
        let sign_in = match &upstream.settings.credentials {
            None => SignIn::Anonymous,
            Some(credentials) => match keyring.open(&credentials.password) {
                Ok(password) => SignIn::Password { username: credentials.username.clone(), password },
                Err(error) => {
                    warn!(upstream = %upstream.id, %error, "credentials cannot be opened");
                    SignIn::Sealed(error.to_string())
                }
            },
        };
        Self { source: upstream.source(), sign_in, upstream }
    }
}

/// The current snapshot, and the task that keeps it current.
pub struct Snapshots {
    current: ArcSwap<Snapshot>,
    keyring: Arc<Keyring>,
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    /// When the metadata was heard of last, in milliseconds.
    heard: AtomicU64,
    /// How far it had come then.
    reached: AtomicU64,
}

/// First pause after the metadata was away; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

impl std::fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshots").field("revision", &self.current().revision).finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Loads the first snapshot.
    ///
    /// # Errors
    /// Where the metadata does not answer: a gateway that knows no configuration cannot serve.
    pub async fn load(
        meta: Arc<dyn MetaStore>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, MetaError> {
        let configuration = meta.configuration(Consistency::Local).await?;
        let current = ArcSwap::from_pointee(Snapshot::build(configuration, &keyring));
        let (heard, reached) = (AtomicU64::new(clock.now().0), AtomicU64::new(current.load().revision.0));
        Ok(Self { current, keyring, meta, clock, heard, reached })
    }

    /// How long the metadata has not been heard of: what was revoked since is not known here.
    pub fn cut_off_for(&self) -> Duration {
        self.clock.now().since(Timestamp(self.heard.load(Ordering::Relaxed)))
    }

    /// Every change up to this revision has been heard of here.
    pub fn reached(&self) -> Revision {
        Revision(self.reached.load(Ordering::Relaxed))
    }

    fn hear(&self) {
        self.heard.store(self.clock.now().0, Ordering::Relaxed);
    }

    /// The snapshot to decide one request on.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Takes a configuration that is not older than `at_least`, nor than the one in use: another member may answer than the
    /// one that told of a change, and be behind it.
    async fn reload(&self, at_least: Revision) -> Result<Revision, MetaError> {
        let configuration = self.meta.configuration(Consistency::Local).await?;
        let revision = configuration.revision;
        if revision < at_least.max(self.current().revision) {
            return Err(MetaError::Unavailable(format!("the member that answered has applied {}", revision.0)));
        }
        self.current.store(Arc::new(Snapshot::build(configuration, &self.keyring)));
        info!(revision = revision.0, "configuration loaded");
        Ok(revision)
    }

    /// Follows the metadata until `stop`; keeps the last good snapshot while it is away. Calls `forget` where rows that
    /// somebody keeps may have become wrong: an entry was purged, or changes were missed.
    pub async fn follow(self: Arc<Self>, forget: impl Fn() + Send + Sync, stop: CancellationToken) {
        let mut revision = self.current().revision;
        let mut pause = RETRY_MIN;
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.follow_once(&mut revision, &forget) => ended,
            };
            match ended {
                MetaError::Compacted => {
                    let loaded = self.reload(Revision(0)).await;
                    forget();
                    if let Ok(loaded) = loaded {
                        revision = loaded;
                        self.reached.store(revision.0, Ordering::Relaxed);
                        pause = RETRY_MIN;
                    }
                }
                error => warn!(%error, "the metadata watch broke"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RETRY_MAX),
            }
        }
    }

    async fn follow_once(&self, revision: &mut Revision, forget: &(impl Fn() + Send + Sync)) -> MetaError {
        let mut watch = match self.meta.watch(*revision).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        loop {
            let event = watch.next().await;
            if event.is_ok() {
                self.hear();
            }
            let change = match event {
                Ok(WatchEvent::Changed(change)) => change,
                Ok(WatchEvent::Progress(reached)) => {
                    *revision = reached.max(*revision);
                    self.reached.store(revision.0, Ordering::Relaxed);
                    continue;
                }
                Err(error) => return error,
            };
            match change.what {
                Changed::Configuration if self.current().revision < change.revision => {
                    if let Err(error) = self.reload(change.revision).await {
                        return error;
                    }
                }
                Changed::Configuration => {}
                Changed::Purged(_) => forget(),
            }
            *revision = change.revision;
            // After what it asks for is done: purged rows are forgotten by now.
            self.reached.store(revision.0, Ordering::Relaxed);
        }
    }
}
