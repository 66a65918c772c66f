//! The raft metadata node from outside.

mod certificates;
mod cluster;
mod crash;
mod group;
mod leases;
mod log_suite;
mod membership;
mod meta_suite;
mod moves;
mod net;
mod restart;
mod restore;
mod roles;
mod snapshot;
mod start;
mod upkeep;
mod watch;
mod world;
