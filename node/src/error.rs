//! Why a member did not start, or is not ready.

use std::io;
use std::path::PathBuf;

/// Why a member did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process uses the directory.
    #[error("the data directory {} is in use by another process", directory.display())]
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory belongs to another member.
    #[error("the data directory {} belongs to node {found}, not to node {expected}", directory.display())]
    OtherNode {
        /// The directory.
        directory: PathBuf,
        /// Whose it is.
        found: u64,
        /// Who was to start.
        expected: u64,
    },
    /// A part of the directory is gone. A member that forgot its log or its vote could lose what the group promised.
    #[error("the data directory {} is incomplete: {what}", directory.display())]
    Incomplete {
        /// The directory.
        directory: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The settings contradict each other.
    #[error("invalid raft settings: {0}")]
    Settings(#[from] openraft::ConfigError),
    /// A file could not be read or written, or is damaged.
    #[error("the data directory {} cannot be used: {source}", directory.display())]
    Storage {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Raft did not start.
    #[error("raft did not start: {0}")]
    Raft(String),
}

/// Why a member is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the metadata node has stopped: {reason}")]
pub struct Stopped {
    /// What it said last.
    pub reason: String,
}
