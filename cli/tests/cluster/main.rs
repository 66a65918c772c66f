//! Trials of a real cluster: processes of the built binary, an S3 server, a load balancer, an upstream, and what goes wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | `trials/` | the trials |
//! | `world.rs` | a whole cluster |
//! | `parts.rs` | its processes, and what each is started with |
//! | `network/` | the network between its processes: cut, silent one way, slow, lossy |
//! | `process.rs` | one process and its log |
//! | `cluster.rs` | the nodes as an administrator and a gateway see them |
//! | `stage.rs` | the upstream |
//! | `load.rs` | the load driver |
//! | `writers.rs` | clients that write configuration, and the history of what they saw |
//! | `engines.rs` | docker, podman, containerd |
//!
//! The programs are `ROADSTEAD_BIN` and `ROADSTEAD_LOADTEST_BIN`, by default those of `cargo build --release`. Other
//! programs: s3s-fs, haproxy.

#![allow(clippy::unwrap_used, reason = "what helps the trials may panic as they may")]

mod cluster;
mod engines;
mod load;
mod network;
mod network_tests;
mod parts;
mod process;
mod stage;
mod trials;
mod world;
mod writers;
