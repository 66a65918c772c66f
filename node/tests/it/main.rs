//! The raft metadata node from outside.

mod cluster;
mod crash;
mod leases;
mod log_suite;
mod meta_suite;
mod restart;
mod snapshot;
mod start;
mod watch;
mod world;
