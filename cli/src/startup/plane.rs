//! From settings to a gateway's configuration and its blobs.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use opentelemetry::metrics::Meter;
use roadstead_gateway::config::{Config, Timeouts};
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::RegionId;
use roadstead_storage::blob::BlobStore;
use roadstead_storage::cloud::capabilities::Answer;
use roadstead_storage::config::Backend;
use roadstead_storage::open::{Opened, open_for_reading};

use crate::settings::Settings;

/// Why blobs cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobsError {
    /// The blobs.
    #[error("the stored blobs cannot be opened")]
    Storage(#[from] roadstead_storage::open::OpenError),
    /// Clients would be sent to where they get nothing.
    #[error(
        "[storage.redirect] sends clients to the object store, and a URL that was signed for it did not work from here; set \
         mode = \"never\", or give credentials that may sign"
    )]
    NoSignedUrls,
}

/// Opens where blobs are kept: the bucket, or `directory` where there is none.
pub(crate) async fn blobs(settings: &Settings, directory: PathBuf, meter: &Meter) -> Result<Opened, BlobsError> {
    let mut config = roadstead_storage::config::Config {
        memory_bytes: settings.blob_memory,
        min_free_bytes: settings.min_free_space,
        ..roadstead_storage::config::Config::local(directory)
    };
    if let Some(bucket) = &settings.storage.bucket {
        config.backend = Backend::Cloud(Box::new(bucket.clone()));
    }
    let opened = roadstead_storage::open(&config, meter).await?;
    if settings.storage.redirects.is_some() && signs_no_urls(&opened) {
        return Err(BlobsError::NoSignedUrls);
    }
    Ok(opened)
}

/// Opens the other regions' buckets for reading; `own` needs no other way to its own. Nothing is asked of them now.
pub(crate) fn regions(
    settings: &Settings,
    own: &RegionId,
    meter: &Meter,
) -> Result<HashMap<RegionId, Arc<dyn BlobStore>>, BlobsError> {
    let others = settings.storage.regions.iter().filter(|(region, _)| *region != own);
    others.map(|(region, bucket)| Ok((region.clone(), open_for_reading(bucket, meter)?))).collect()
}

/// A client that is sent to such a store gets nothing.
fn signs_no_urls(storage: &Opened) -> bool {
    storage.capabilities.is_some_and(|capabilities| capabilities.signed_urls != Answer::Yes)
}

/// Who a gateway is, and where it lets downloads grow.
pub(crate) struct Place {
    /// Its name.
    pub(crate) gateway: GatewayId,
    /// Its region.
    pub(crate) region: RegionId,
    /// Where other gateways reach it.
    pub(crate) peer_address: Option<String>,
    /// Whether pulls need no token.
    pub(crate) anonymous_pull: bool,
    /// The folder of running downloads.
    pub(crate) spool_dir: PathBuf,
}

/// The settings as the gateway takes them.
pub(crate) fn config(settings: &Settings, place: Place) -> Config {
    Config {
        gateway: place.gateway,
        region: place.region,
        peer_address: place.peer_address,
        anonymous_pull: place.anonymous_pull,
        mirror_registry: settings.mirror_registry,
        manifest_memory: settings.manifest_memory,
        redirects: settings.storage.redirects.clone(),
        prefetch: settings.prefetch,
        spool_dir: place.spool_dir,
        min_free_bytes: settings.min_free_space,
        drain_delay: settings.drain_delay,
        drain_timeout: settings.drain_timeout,
        timeouts: Timeouts::default(),
    }
}
