//! Content-addressed blobs behind one trait.
//!
//! ```text
//!  gateway ──► dyn BlobStore
//!              ┌────────────────────────────────────────────────────────────┐
//!              │ metered "store"                                            │
//!              │ tiered     memory: chunks of 4 MiB, by bytes, loaded once  │
//!              │ verified   hashes bodies nobody vouches for                │
//!              │ metered "object"                                           │
//!              │ object     parts, checksums, commit; checked blocks        │
//!              └────────────────────────────────────────────────────────────┘
//!                        │
//!                  object_store: local directory, S3, GCS, Azure
//! ```
//!
//! | module | what it holds | may use |
//! |---|---|---|
//! | [`blob`] | the seam: trait [`blob::BlobStore`] and its promises | `error` |
//! | [`error`] | what an operation can end in; miss ≠ outage ≠ refusal | nothing |
//! | `key` | names in the store; the only file that spells a path | `blob` |
//! | `checksums` | CRC-64 per block of a large object, and their stored form | nothing |
//! | [`staged`] | a body written where it will stay | `checksums` |
//! | [`floor`] | what stays free of a disk | nothing |
//! | `memory` | bounded memory for chunks and checksums | the above |
//! | [`object`] | the slow tier over `object_store` | the above |
//! | [`cloud`] | buckets: clients, what they can do, uploads under way | `config`, [`object`] |
//! | [`tiered`] | memory over the slow tier, and what bounds it | the above but `object` |
//! | [`verified`] | commit only what matches its digest | `blob` |
//! | [`metered`], `metrics` | counting, and the names it counts under | `blob` |
//! | [`config`], [`open`](mod@open) | settings, and the stack they describe | all |
//! | `testing` | conformance suite, faults, counts (feature `test-util`) | all |
//!
//! Three properties hold everywhere: an object is visible whole or not at all; no unchecked byte leaves; memory
//! is bounded by [`config::Config`], whatever the number and size of blobs, readers and writers.

pub mod blob;
mod checksums;
pub mod cloud;
pub mod config;
pub mod error;
pub mod floor;
mod key;
mod memory;
pub mod metered;
mod metrics;
pub mod object;
pub mod open;
pub mod staged;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod tiered;
pub mod verified;

pub use checksums::ChecksumsError;
pub use open::open;
