//! Bytes of a digest: stored, or from a running download, or from a new one.
//!
//! | file | what it holds |
//! |---|---|
//! | [`blobs`] | where the bytes of a blob are looked for |
//! | `right` | whose they are |
//! | [`source`] | the bytes themselves, on their way to a client |
//! | `join` | one download for all who want them |
//! | `fill` | one download: where it stands, and its readers |
//! | `task` | the task behind it: who supplies it, one after another |
//! | `seek` | who does: this gateway, another one, object storage |
//! | `lead` | this gateway, from the upstream |
//! | `following` | another one |
//! | `peer` | the line between the two |
//! | `rendezvous` | who leads where nobody grants leases |
//! | [`region`] | copies in other regions' buckets |
//! | `pump` | from the upstream into it |
//! | `budget` | how often it is continued |
//! | `intake` | hash and file, a batch behind the readers |
//! | `record` | what becomes of a download: upload, commit, metadata |
//! | [`later`] | the same where the metadata is away |
//! | `waiting` | what is to be recorded then, and in which order |
//! | [`manifests`] | manifests: small, in memory, fetched whole |
//! | `presign` | URLs of the object store for bytes that are there |
//! | [`spool`] | append-only bytes that many readers follow |
//! | `turns` | how many downloads run at once, and on whose account |
//! | [`prefetch`] | what a client will ask for next |
//! | [`error`] | what a fetch can end in |

pub mod blobs;
mod budget;
pub mod error;
mod fill;
mod following;
mod intake;
mod join;
pub mod later;
mod lead;
pub mod manifests;
pub(crate) mod peer;
pub mod prefetch;
mod presign;
mod pump;
mod record;
pub mod region;
mod rendezvous;
mod right;
mod seek;
pub mod source;
pub mod spool;
mod task;
mod turns;
mod waiting;

use std::sync::Arc;

use roadstead_proto::clock::Clock;
use roadstead_proto::rpc::Dialer;
use roadstead_storage::blob::BlobStore;
use tokio_util::task::TaskTracker;

use self::later::Later;
use self::region::Regions;
use crate::catalog::Catalog;
use crate::config::Timeouts;
use crate::lease::Session;
use crate::meta::snapshot::Snapshots;
use crate::metrics::Metrics;
use crate::upstream::Client;

/// What every fetch works with.
#[derive(Clone)]
pub struct Tools {
    /// Asks upstreams.
    pub client: Arc<Client>,
    /// Where bytes are kept.
    pub store: Arc<dyn BlobStore>,
    /// Where other regions keep theirs.
    pub regions: Arc<Regions>,
    /// What the metadata says.
    pub catalog: Arc<Catalog>,
    /// Leases.
    pub session: Arc<Session>,
    /// How long upstreams may take.
    pub timeouts: Timeouts,
    /// The way to other gateways.
    pub dialer: Dialer,
    /// The configuration.
    pub snapshots: Arc<Snapshots>,
    /// What is recorded when the metadata is back.
    pub later: Arc<Later>,
    /// Draws a number that nobody else draws.
    pub random: fn() -> u64,
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
