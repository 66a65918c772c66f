//! A gateway's metadata client on real nodes, over gRPC on loopback.
//!
//! Here and not in `gateway` or `node`, because the first never sees raft and the second no gateway: the arrows of the
//! workspace meet in this crate.

mod failures;
mod suite;
mod wire;
mod world;
