//! The shared language of Roadstead.
//!
//! | module | what it holds | may use |
//! |---|---|---|
//! | [`domain`] | validated values: digests, image names, upstreams, entries, leases; pure | nothing |
//! | [`error`] | the closed set of error codes and what each allows a caller to do | nothing |
//! | [`clock`] | time as a value | `domain` |
//! | [`offload`] | work that would hold up an async thread | nothing |
//! | [`wire`] | protobuf form of every persisted value, and conversions to and from `domain` | `domain` |
//! | [`state`] | the metadata state machine: `apply(rows, command, at) -> outcome`, pure | `domain`, `wire` |
//! | `rpc` | connections between nodes, gateways and the CLI: who may call whom, and what an error looks like on the wire | all above |
//! | [`meta`] | the seams `MetaStore` and `Leases`, the key table, the in-memory twin, the conformance suites | all above |
//!
//! The state machine lives here and not in `node`, because two hosts run it: the raft node on disk
//! and the in-memory twin that the other crates test against. One implementation of the lease and
//! epoch rules serves both; the conformance suites hold both hosts to the same promises.

pub mod clock;
pub mod domain;
pub mod error;
pub mod meta;
pub mod offload;
#[cfg(feature = "rpc")]
pub mod rpc;
pub mod state;
pub mod wire;
