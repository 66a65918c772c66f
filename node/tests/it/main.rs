//! The raft metadata node from outside.

mod certificates;
mod cluster;
mod crash;
mod group;
mod leases;
mod log_suite;
mod meta_suite;
mod net;
mod restart;
mod restore;
mod snapshot;
mod start;
mod watch;
mod world;
