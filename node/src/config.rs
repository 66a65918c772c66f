//! What a member is told: settings as data, and the objects it is built with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::clock::{Clock, SystemClock};
use roadstead_proto::domain::lease::SESSION_TTL;
use roadstead_proto::rpc::Dialer;

use crate::store::medium::{Medium, PlainFiles};

/// Settings of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory of this member alone. Created where it is missing.
    pub data_dir: PathBuf,
    /// This member's number in its group. Never given to another member again.
    pub node_id: u64,
    /// Where other members reach this one, `host:port`.
    pub address: String,
    /// How this member comes to be in a group.
    pub formation: Formation,
    /// Pace of raft.
    pub timing: Timing,
    /// When the log is compacted.
    pub compaction: Compaction,
}

impl Config {
    /// A group of one in `data_dir`, as `roadstead serve` runs it.
    pub fn alone(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            node_id: 1,
            address: "localhost".to_owned(),
            formation: Formation::Alone,
            timing: Timing::default(),
            compaction: Compaction::default(),
        }
    }
}

/// What a member with an empty directory does. One that has been in a group goes on in it, whatever is said here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formation {
    /// Founds a group with itself as the only member.
    Alone,
    /// Waits until it is told to found one, or a member of a group adds it.
    Wait,
}

/// Pace of raft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader tells the others that it is there.
    pub heartbeat: Duration,
    /// How long the others bear its silence: at least.
    pub election_min: Duration,
    /// How long the others bear its silence: at most. Also how long a leader's lease lasts.
    pub election_max: Duration,
    /// How long a call waits for a quorum.
    pub patience: Duration,
    /// How long a leader that is about to go waits for another one.
    pub hand_over: Duration,
    /// How often a member that hears of no leader asks whether it still is a member.
    pub greet: Duration,
    /// How often the leader looks for silent sessions.
    pub session_check: Duration,
    /// How often what was applied is made durable, where not enough happened to make it so earlier.
    pub checkpoint: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            // A follower stands for election when it has heard nothing for the leader's lease (`election_max`) and a time
            // drawn from `election_min..election_max` on top: 0.8 to 1 s after the leader fell silent, and as much as
            // 0.5 s later where votes split. Five heartbeats may get lost. An fsync that stalls does not count: heartbeats
            // are neither sent nor taken by what waits for the disk.
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(500),
            // Outlives one election, so that a call made during one mostly succeeds.
            patience: Duration::from_secs(5),
            // The other one has the log already: what is left is one round of votes.
            hand_over: Duration::from_secs(2),
            greet: Duration::from_secs(2),
            session_check: SESSION_TTL / 6,
            checkpoint: Duration::from_secs(5),
        }
    }
}

/// When the log is compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compaction {
    /// A snapshot is written after so many entries at the earliest.
    pub snapshot_every: u64,
    /// And not before the log has grown by so many bytes,
    pub log_bytes_min: u64,
    /// nor before it has grown by so much of the last snapshot's size.
    pub log_percent_min: u64,
    /// So many entries stay in the log though a snapshot holds them: a member that was briefly away catches up by them
    /// instead of by a snapshot.
    pub keep: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        // 16 MiB are some 30,000 entries and a second or two of applying. An entry with the access counts of five seconds may
        // have a MiB, so that it is looked at more often than that many take.
        Self { snapshot_every: 1_000, log_bytes_min: 16 << 20, log_percent_min: 50, keep: 5_000 }
    }
}

impl Compaction {
    /// A snapshot after so many entries, whatever its size: for tests.
    #[cfg(any(test, feature = "test-util"))]
    pub fn every(entries: u64, keep: u64) -> Self {
        Self { snapshot_every: entries, log_bytes_min: 0, log_percent_min: 0, keep }
    }
}

/// The objects a member is built with.
#[derive(Clone)]
pub struct Components {
    /// Stamps proposals and judges sessions.
    pub clock: Arc<dyn Clock>,
    /// Reaches the database files.
    pub medium: Arc<dyn Medium>,
    /// Reaches the other members.
    pub dialer: Dialer,
}

impl Default for Components {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), medium: Arc::new(PlainFiles), dialer: Dialer::new(None) }
    }
}
