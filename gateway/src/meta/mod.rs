//! The metadata as a gateway sees it.
//!
//! | file | what it holds |
//! |---|---|
//! | [`client`] | `MetaStore` and `Leases` on nodes across the network |
//! | [`snapshot`] | one immutable configuration snapshot, swapped whole |

pub mod client;
pub mod snapshot;

pub use client::GrpcMeta;
