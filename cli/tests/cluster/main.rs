//! Trials of a real cluster: processes of the built binary, an S3 server, a load balancer, an upstream, and what goes wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | `network/` | the network between the processes: cut, silent one way, slow, lossy |
//! | `process.rs` | one process and its log |

#![allow(clippy::unwrap_used, reason = "what helps the trials may panic as they may")]

mod network;
mod network_tests;
mod process;
