//! The gateway against real HTTP, a real local store and the synthetic upstream; only the metadata is in memory.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod addressing;
mod aftermath;
mod ahead;
mod answer;
mod answers;
mod apart;
mod budget;
mod defects;
mod drain;
mod epochs;
mod faults;
mod fills;
mod fleet;
mod freshness;
mod hub;
mod layering;
mod line;
mod listing;
mod network;
mod outage;
mod peers;
mod prefetch;
mod records;
mod redirects;
mod regions;
mod rights;
mod shapes;
mod sign_in;
mod transport;
mod walk;
mod world;
