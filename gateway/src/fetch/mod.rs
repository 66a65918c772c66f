//! Bytes of a digest: stored, or from a running download, or from a new one.
//!
//! | file | what it holds |
//! |---|---|
//! | [`blobs`] | where the bytes of a blob are looked for |
//! | `right` | whose they are |
//! | [`source`] | the bytes themselves, on their way to a client |
//! | `join` | one download for all who want them |
//! | `fill` | one download: spool, readers, pump |
//! | `budget` | how often it is continued |
//! | `intake` | hash and file, a batch behind the readers |
//! | `lead` | the task behind it |
//! | `record` | what becomes of a download: upload, commit, metadata |
//! | [`manifests`] | manifests: small, in memory, fetched whole |
//! | `presign` | URLs of the object store for bytes that are there |
//! | [`spool`] | append-only bytes that many readers follow |
//! | [`error`] | what a fetch can end in |

pub mod blobs;
mod budget;
pub mod error;
mod fill;
mod intake;
mod join;
mod lead;
pub mod manifests;
mod presign;
mod record;
mod right;
pub mod source;
pub mod spool;

use std::sync::Arc;

use roadstead_proto::clock::Clock;
use roadstead_storage::blob::BlobStore;
use tokio_util::task::TaskTracker;

use crate::catalog::Catalog;
use crate::config::Timeouts;
use crate::lease::Session;
use crate::metrics::Metrics;
use crate::upstream::Client;

/// What every fetch works with.
#[derive(Clone)]
pub struct Tools {
    /// Asks upstreams.
    pub client: Arc<Client>,
    /// Where bytes are kept.
    pub store: Arc<dyn BlobStore>,
    /// What the metadata says.
    pub catalog: Arc<Catalog>,
    /// Leases.
    pub session: Arc<Session>,
    /// How long upstreams may take.
    pub timeouts: Timeouts,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
    /// Work that outlives its request, waited for when the process drains.
    pub tasks: TaskTracker,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tools")
    }
}
