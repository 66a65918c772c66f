//! The binary from outside: what it prints, what it writes, how it ends.
//!
//! And, in [`nodes`], what only this crate sees both sides of: a gateway's client of the metadata, and the nodes it calls.
//!
//! Every test has a data directory, free ports and an upstream of its own. What a test waits for is an event: a line that is
//! printed, an answer, the end of a process.

#![allow(clippy::unwrap_used, reason = "what helps the tests may panic as they may")]

mod cluster;
mod drain;
mod first_start;
mod listeners;
mod nodes;
mod prefetch;
mod process;
mod proxy;
mod restart;
mod secrets;
mod tls;
mod transport;
mod usage;
mod world;
