//! The gateway against real HTTP, a real local store and the synthetic upstream; only the metadata is in memory.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod answers;
mod faults;
mod fills;
mod freshness;
mod layering;
mod redirects;
mod rights;
mod sign_in;
mod walk;
mod world;
