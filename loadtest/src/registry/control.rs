//! How a change reaches a running upstream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::change::{Change, Down, Made, Recipe};
use super::listener::Port;
use super::serve::Server;

/// The two ports of an upstream.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) registry: Port,
    pub(super) cdn: Port,
    /// Counts what was said about being down, so that a time that has run out knows whether it was overtaken.
    said: AtomicU64,
}

impl Ports {
    pub(super) fn new(registry: Port, cdn: Port) -> Self {
        Self { registry, cdn, said: AtomicU64::new(0) }
    }

    pub(super) async fn close(&self) -> io::Result<()> {
        self.said.fetch_add(1, Ordering::Relaxed);
        self.registry.close().await?;
        self.cdn.close().await
    }

    pub(super) async fn reopen(&self) -> io::Result<()> {
        self.said.fetch_add(1, Ordering::Relaxed);
        self.cdn.reopen().await?;
        self.registry.reopen().await
    }

    async fn close_for(self: &Arc<Self>, time: Duration) -> io::Result<()> {
        self.close().await?;
        let (said, ports) = (self.said.load(Ordering::Relaxed), Arc::downgrade(self));
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if let Some(ports) = ports.upgrade()
                && ports.said.load(Ordering::Relaxed) == said
                && let Err(error) = ports.reopen().await
            {
                warn!(%error, "the upstream was to come back and cannot listen; its ports are lost");
            }
        });
        Ok(())
    }
}

/// What a change takes effect on.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) server: Arc<Server>,
    /// `None` for whoever speaks by one of these ports, and must not close it under himself.
    pub(super) ports: Option<Arc<Ports>>,
}

impl Control {
    /// Makes a change that was checked; what it says first is done even when something after it is refused.
    pub(super) async fn apply(&self, change: Change) -> Result<Vec<Made>, Refused> {
        let server = &self.server;
        if change.down.is_some() && self.ports.is_none() {
            return Err(Refused::OwnPort);
        }
        if change.reset_counters {
            server.tally.reset();
        }
        if let Some(faults) = change.faults {
            server.faults.set(faults);
        }
        change.add_faults.into_iter().for_each(|fault| server.faults.add(fault));
        if let Some(quirks) = change.quirks {
            server.quirks.set(quirks);
        }
        if let Some(bandwidth) = change.bandwidth {
            server.line.set(bandwidth);
        }
        if let Some(switch) = change.redirect {
            *server.redirect.write().expect("nothing panics while it is held") = switch.redirect();
        }
        if let Some(auth) = change.auth {
            *server.auth.write().expect("nothing panics while it is held") = Arc::new(auth);
        }
        if let Some(rates) = change.rates {
            server.rates.set(rates);
        }
        let mut made = Vec::new();
        for recipe in change.images {
            made.push(self.make(recipe).await);
        }
        self.rename(&change.tags, &change.remove)?;
        if change.expire_redirects {
            server.signature.fetch_add(1, Ordering::Relaxed);
        }
        if change.revoke_tokens {
            server.tokens.revoke_all();
        }
        if change.release {
            server.release();
        }
        match (change.down, &self.ports) {
            (Some(Down::UntilUp), Some(ports)) => ports.close().await?,
            (Some(Down::For(time)), Some(ports)) => ports.close_for(time).await?,
            (Some(Down::Up), Some(ports)) => ports.reopen().await?,
            _ => {}
        }
        Ok(made)
    }

    pub(super) async fn make(&self, recipe: Recipe) -> Made {
        let server = Arc::clone(&self.server);
        // Hashing gigabytes takes seconds, and others are to be answered meanwhile.
        let making = spawn_blocking(move || {
            let image = recipe.build(server.untyped_manifests);
            let made = Made::of(&recipe, &image);
            let mut catalog = server.catalog.write().expect("nothing panics while it is held");
            catalog.push(&recipe.repository, &recipe.tag, (&image).into());
            made
        });
        making.await.expect("making an image does not panic, and nobody cancels it")
    }

    fn rename(&self, tags: &[super::Retag], remove: &[super::Removal]) -> Result<(), Refused> {
        let mut catalog = self.server.catalog.write().expect("nothing panics while it is held");
        for tag in tags {
            if !catalog.retag(&tag.repository, &tag.tag, &tag.digest) {
                return Err(Refused::unknown(&tag.repository, &tag.digest));
            }
        }
        for removal in remove {
            if !catalog.remove(&removal.repository, &removal.reference) {
                return Err(Refused::unknown(&removal.repository, &removal.reference));
            }
        }
        Ok(())
    }
}

/// A change that could not be made.
#[derive(Debug, Error)]
pub enum Refused {
    /// There is no such thing.
    #[error("{repository} has no {reference}")]
    Unknown {
        /// The repository.
        repository: String,
        /// The tag or digest.
        reference: String,
    },
    /// It would have closed the port that it came by.
    #[error("the port that this came by would go down with the upstream: start it with --stage-listen, and ask there")]
    OwnPort,
    /// A port was taken by somebody else.
    #[error("cannot listen again: {0}")]
    Port(#[from] io::Error),
}

impl Refused {
    fn unknown(repository: &str, reference: &str) -> Self {
        Self::Unknown { repository: repository.to_owned(), reference: reference.to_owned() }
    }
}
