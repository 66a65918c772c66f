//! Draws the stack:
//!
//! ```text
//! metered "store"        what callers see: hits and all
//!   tiered               chunks in memory; the slow tier is asked once for all who want a chunk
//!     verified           below memory, which puts pass by; above the object tier, whose commit waits for the verdict
//!       metered "object" what really reaches the store: the difference is what memory saved
//!         object         parts, checksums, commit; blocks are checked as they leave it
//! ```

use std::sync::Arc;

use opentelemetry::metrics::Meter;

use crate::blob::BlobStore;
use crate::config::{Backend, Config, ConfigError};
use crate::metered::MeteredStore;
use crate::metrics::observe_checksums;
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
}

/// Opens the configured storage. A local directory is created, locked and cleared of what a killed process left.
pub async fn open(config: &Config, meter: &Meter) -> Result<Arc<dyn BlobStore>, OpenError> {
    config.validate()?;
    let Backend::Local { path } = &config.backend;
    let options = object::Options::local(config.upload_bytes, config.checksum_bytes());
    let objects = ObjectTier::open_local(path, options).await?;
    Ok(stack(objects, config, meter))
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
