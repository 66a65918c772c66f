//! The raft metadata node: a member of one raft group that keeps Roadstead's metadata on disk and serves it in process.
//!
//! The state machine itself is pure and lives in `roadstead_proto::state`; this crate hosts it. It never sees a blob or a pull.
//!
//! | file | level | what it holds |
//! |---|---|---|
//! | `grpc` | 6 | [`grpc::serve`]: the member's services over a network |
//! | `app` | 5 | [`Node`]: one member put together, started, stopped |
//! | `membership` | 5 | changes of the group: founding, adding, removing, handing over |
//! | `greeting` | 5 | whether a member still is one, and where it is |
//! | `survey` | 5 | the status of the whole group |
//! | `restore` | 5 | a new group out of a snapshot file |
//! | `directory` | 4 | a member's directory: whose it is, and everything in it, open |
//! | `local` | 3 | [`LocalMeta`]: `MetaStore` and `Leases` on this member |
//! | `sessions` | 3 | the leader's memory of keep-alives |
//! | `group_name` | 3 | which group a member belongs to |
//! | `raft` | 2 | openraft's types, log, state machine, snapshots, network, and the encoding of what they keep |
//! | `watch` | 1 | applied changes as streams |
//! | `store` | 1 | files, tables, transactions, checkpoints |
//! | `blocking` | 1 | file operations off the async threads |
//! | `ending` | 0 | why a member cannot go on though its raft could |
//! | `config`, `error`, `status` | 0 | what a member is told, and what it says |
//! | `testing` | T | power cuts, clusters in one process, openraft's own suite (`test-util`) |
//!
//! A file uses its own folder and lower levels. openraft stays in `raft`, `local`, `membership`, `greeting`, `survey`, `grpc::raft` and `app`, redb in `store` and `raft`;
//! only [`Medium`] shows redb to the outside, since it stands between redb and its files.
//!
//! # How a write travels
//!
//! 1. `LocalMeta::propose` stamps the command with its clock and hands it to raft, which appends it to the log.
//! 2. `raft::log` makes the entry readable at once; `raft::writer` puts everything that waits into one transaction of
//!    `log.redb`, and **one fsync** makes all of it durable.
//! 3. Once a quorum has done so the entry is committed. `raft::machine` applies what is committed in one transaction of
//!    `state.redb`, **without fsync**: rows, index and membership together.
//! 4. Watchers hear of the changes, then the caller gets its answer.
//!
//! # What is durable when
//!
//! | what | before |
//! |---|---|
//! | a log entry | raft counts this member's vote for it, so before any caller hears of it |
//! | a vote, a truncation, a purge | the next step of raft |
//! | the commit index | nothing waits for it: it travels with the next commit, or goes alone after 50 ms |
//! | applied rows | a *checkpoint*: after 1024 entries, every 5 s, before a snapshot is offered, before the log is purged, when a member stops |
//! | a snapshot file | it takes its name: written, synced, checkpoint, rename, fsync of the directory |
//! | an installed state | it takes the old one's place: committed, rename, fsync of the directory; the snapshot file goes first |
//!
//! What the log has purged is out of sight at once and leaves the file in small steps, between which others write.
//!
//! So a crash costs the repetition of what was applied since the last checkpoint, and never an entry: what the log has
//! purged, a checkpoint covers. The tests take the power away in the middle of all of this (`testing::power`).

mod app;
mod blocking;
mod config;
mod directory;
mod ending;
mod error;
mod greeting;
mod group_name;
pub mod grpc;
mod local;
mod membership;
mod raft;
mod restore;
mod sessions;
mod status;
mod store;
mod survey;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod watch;

pub use app::Node;
pub use config::{Compaction, Components, Config, Formation, Timing};
pub use error::{StartError, Stopped};
pub use local::LocalMeta;
pub use membership::{Membership, MembershipError, NewMember};
pub use restore::{RestoreError, restore};
pub use status::{Role, Status};
pub use store::medium::{Medium, PlainFiles};
