//! Draws the stack:
//!
//! ```text
//! metered "store"        what callers see: hits and all
//!   tiered               chunks in memory; the slow tier is asked once for all who want a chunk
//!     verified           below memory, which puts pass by; above the object tier, whose commit waits for the verdict
//!       metered "object" what really reaches the store: the difference is what memory saved
//!         object         parts, checksums, commit; blocks are checked as they leave it
//! ```
//!
//! Another region's bucket is read through `metered "region"` over `object` alone.

use std::sync::Arc;

use opentelemetry::metrics::Meter;

use crate::blob::BlobStore;
use crate::cloud::capabilities::{self, Capabilities, Unusable};
use crate::cloud::client::{self, ClientError};
use crate::cloud::upload_log::FileLog;
use crate::config::{Backend, CHECKSUM_MEMORY_MIN, Cloud, Config, ConfigError};
use crate::metered::MeteredStore;
use crate::metrics::{observe_capabilities, observe_checksums};
use crate::object::{self, ObjectTier};
use crate::tiered::{Memory, TieredStore};
use crate::verified::VerifiedStore;

/// Why storage did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The backend does not open.
    #[error(transparent)]
    Backend(#[from] object::OpenError),
    /// The bucket does not open.
    #[error("{bucket} cannot be used")]
    Cloud {
        /// Which.
        bucket: String,
        /// Why.
        source: Box<CloudError>,
    },
}

/// Why a bucket did not open.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// There is no client for it.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It does not answer, refuses, or holds something else.
    #[error(transparent)]
    Open(#[from] object::OpenError),
    /// It does not do what is needed.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Uploads under way cannot be remembered.
    #[error("the record of uploads under way cannot be kept in {path}")]
    Uploads {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Storage, and what is known of it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The stack.
    pub store: Arc<dyn BlobStore>,
    /// What a bucket does; a directory is not tried out.
    pub capabilities: Option<Capabilities>,
}

/// Opens the configured storage. A local directory is created, locked and cleared of what a killed process left; a bucket
/// is tried out, and the uploads that such a process left are aborted.
pub async fn open(config: &Config, meter: &Meter) -> Result<Opened, OpenError> {
    config.validate()?;
    let (upload_bytes, checksum_bytes) = (config.upload_bytes, config.checksum_bytes());
    match &config.backend {
        Backend::Local { path } => {
            let min_free_bytes = config.min_free_bytes;
            let options = object::Options { min_free_bytes, ..object::Options::local(upload_bytes, checksum_bytes) };
            let objects = ObjectTier::open_local(path, options).await?;
            Ok(Opened { store: stack(objects, config, meter), capabilities: None })
        }
        Backend::Cloud(cloud) => {
            let options = object::Options::cloud(upload_bytes, checksum_bytes);
            let opened = open_bucket(cloud, options).await;
            let (objects, capabilities) =
                opened.map_err(|source| OpenError::Cloud { bucket: cloud.to_string(), source: Box::new(source) })?;
            tracing::info!(bucket = %cloud, %capabilities, "the object store was tried out");
            observe_capabilities(meter, capabilities);
            Ok(Opened { store: stack(objects, config, meter), capabilities: Some(capabilities) })
        }
    }
}

/// Another region's bucket, to be read. Nothing is asked of it now, so that a start does not need it; credentials that may read
/// suffice. There is no memory above it: what is read becomes this region's own copy, and is kept in memory from there.
pub fn open_for_reading(cloud: &Cloud, meter: &Meter) -> Result<Arc<dyn BlobStore>, OpenError> {
    let client = client::connect(cloud)
        .map_err(|error| OpenError::Cloud { bucket: cloud.to_string(), source: Box::new(error.into()) })?;
    Ok(afar(ObjectTier::for_reading(client.bucket.objects, object::Options::cloud(0, CHECKSUM_MEMORY_MIN)), meter))
}

/// The stack over another region's objects: their blocks are checked as they come, and that is all.
fn afar(objects: ObjectTier, meter: &Meter) -> Arc<dyn BlobStore> {
    Arc::new(MeteredStore::new(Arc::new(objects), "region", meter))
}

async fn open_bucket(cloud: &Cloud, options: object::Options) -> Result<(ObjectTier, Capabilities), CloudError> {
    let client = client::connect(cloud)?;
    let log = FileLog::open(&cloud.uploads, cloud.to_string())
        .map_err(|source| CloudError::Uploads { path: cloud.uploads.display().to_string(), source })?;
    // The marker first: a bucket of another layout is not even tried out.
    let objects = ObjectTier::open_bucket(client.bucket.clone(), Arc::new(log), options).await?;
    let capabilities = capabilities::explore(&client, &client::plain_http(cloud)?).await?;
    Ok((objects, capabilities))
}

/// The stack over an object tier that stands already.
pub fn stack(objects: ObjectTier, config: &Config, meter: &Meter) -> Arc<dyn BlobStore> {
    observe_checksums(meter, objects.checksum_memory());
    let objects = Arc::new(MeteredStore::new(Arc::new(objects), "object", meter));
    let verified = Arc::new(VerifiedStore::new(objects));
    let memory = Memory { memory_bytes: config.chunk_bytes(), reader_bytes: config.reader_bytes };
    let tiered = Arc::new(TieredStore::new(verified, memory, meter));
    Arc::new(MeteredStore::new(tiered, "store", meter))
}
