//! The data plane: answers pulls from memory, object storage, a running download, or an upstream.
//!
//! # Where a pull travels
//!
//! | step | file | in → out |
//! |---|---|---|
//! | 1 | [`server`] | socket → request with an id, bounded |
//! | 2 | [`pull::route`] | method and path → `PullRequest` |
//! | 3 | [`auth`] | headers → `Principal` |
//! | 4 | [`policy`] | principal, registry (or [`namespace`]) and image → `Permit`; everything below takes one |
//! | 5 | [`resolve`] | tag → manifest: fresh, revalidated, stale, or from the walk down the upstreams |
//! |   | [`listing`] | tags and referrers of a repository, as its upstreams list them |
//! | 6 | [`fetch`] | digest → bytes: stored, a running download, or a new one |
//! | 7 | [`upstream`] | questions to registries, and what their answers mean |
//! | 8 | [`pull`] | the answer, or an OCI error |
//!
//! Beside them, once a second: [`lease`] keeps the session alive, and [`fleet`] exchanges news with the other gateways.
//!
//! A file may look at its own folder and at lower levels only:
//!
//! ```text
//! app, server ─► pull │ health ─► listing ─► resolve ─► fetch ─► policy ─► lease ─► fleet ─► auth │ upstream │ catalog │ usage
//!                                        ─► meta │ flight ─► config, metrics, seal, manifest, namespace, labels, cache_status,
//!                                           client_address ─► load
//! ```
//!
//! In the fresh, warm case steps 1 to 8 touch this process only: no metadata, no object storage, no upstream.

pub mod app;
pub mod auth;
pub mod cache_status;
pub mod catalog;
mod client_address;
pub mod config;
pub mod fetch;
pub mod fleet;
pub mod flight;
pub mod health;
pub mod labels;
pub mod lease;
pub mod listing;
pub mod load;
pub mod manifest;
pub mod meta;
pub mod metrics;
pub mod namespace;
pub mod policy;
pub mod pull;
pub mod resolve;
pub mod seal;
pub mod server;
pub mod telemetry;
pub mod upstream;
pub mod usage;

pub use app::{Components, Gateway, StartError};
