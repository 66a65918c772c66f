//! The synthetic upstream over real HTTP.

#![allow(clippy::unwrap_used, reason = "what helps the tests may panic as they may")]

mod auth;
mod containerd;
mod counters;
mod distortions;
mod faults;
mod lifecycle;
mod load;
mod program;
mod pull;
mod redirect;
mod shaping;
mod tls;
mod world;
