//! openraft's own suite over the log and the machine of this crate.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use roadstead_proto::domain::epoch::Revision;

use crate::raft::Types;
use crate::raft::log::{LogFile, LogStore};
use crate::raft::machine::Machine;
use crate::raft::snapshot::Snapshots;
use crate::raft::writer::Writer;
use crate::store::state::StateFile;
use crate::watch::Publisher;
use crate::{Compaction, PlainFiles};

/// Runs the suite, each of its checks in a directory of its own below `root`.
///
/// # Panics
/// Where a check does not hold.
pub async fn run(root: PathBuf) {
    Suite::test_all(Builder { root, built: AtomicU64::new(0) }).await.expect("openraft's suite passes");
}

struct Builder {
    root: PathBuf,
    built: AtomicU64,
}

impl StoreBuilder<Types, LogStore, Machine> for Builder {
    async fn build(&self) -> Result<((), LogStore, Machine), StorageError<Types>> {
        let directory = self.root.join(self.built.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir_all(&directory).expect("a directory below the root");
        let (log, _) = LogFile::open(&PlainFiles, &directory, &Compaction::default(), None).expect("a new log");
        let state = Arc::new(StateFile::open(Arc::new(PlainFiles), &directory).expect("a new state"));
        let snapshots = Arc::new(Snapshots::open(&directory).expect("no snapshot"));
        let log = Arc::new(log);
        let compactor = Arc::clone(log.compactor());
        let store = LogStore::new(Arc::clone(&log), Writer::start(log), Arc::clone(&state));
        let publisher = Arc::new(Publisher::new(Revision(0)));
        Ok(((), store, Machine::new(state, snapshots, publisher, compactor).expect("a new machine")))
    }
}
