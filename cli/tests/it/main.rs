//! The binary from outside: what it prints, what it writes, how it ends.
//!
//! Every test has a data directory, free ports and an upstream of its own. What a test waits for is an event: a line that is
//! printed, an answer, the end of a process.

#![allow(clippy::unwrap_used, reason = "what helps the tests may panic as they may")]

mod drain;
mod first_start;
mod listeners;
mod prefetch;
mod process;
mod proxy;
mod restart;
mod secrets;
mod transport;
mod usage;
mod world;
