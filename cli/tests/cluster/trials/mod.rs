//! The trials, each named after what it shows. All of them start a cluster of their own and are run by `.ci/cluster`, one
//! after the other: they measure.
//!
//! | file | what is broken |
//! |---|---|
//! | `herd.rs` | nothing: everybody wants the same at once |
//! | `handover.rs` | the gateway that leads a download |
//! | `leader.rs` | the raft leader, once and again and again |
//! | `quorum.rs` | most nodes, all nodes |
//! | `partitions.rs` | the network |
//! | `disk.rs` | a node's disk |
//! | `regions.rs` | the other region |
//! | `restarts.rs` | everything at once; everything one after the other |

mod disk;
mod handover;
mod herd;
mod leader;
mod partitions;
mod quorum;
mod regions;
mod restarts;

/// Prints what a trial has measured.
macro_rules! measured {
    ($($words:tt)*) => { println!("    measured: {}", format!($($words)*)) };
}
pub(crate) use measured;
