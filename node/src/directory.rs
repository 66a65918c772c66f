//! The directory of a member: whose it is, and everything in it, open.
//!
//! The order of a first start is: lock, databases, marker. Where the marker stands, the databases stand too; so a directory
//! without one is new or was never finished, and one that has a marker and no log has lost something.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::error::StartError;
use crate::raft::log::LogFile;
use crate::raft::snapshot::Snapshots;
use crate::store::files::{Closed, named, sweep_parts, sync_directory};
use crate::store::keys::{LOG_FILE, SNAPSHOT_FILE, STATE_FILE};
use crate::store::marker::{self, DirectoryLock, Marker};
use crate::store::medium::Medium;
use crate::store::state::StateFile;

/// Everything of a directory, open.
pub(crate) struct Directory {
    pub(crate) marker: Marker,
    pub(crate) log: Arc<LogFile>,
    pub(crate) log_closed: Closed,
    pub(crate) state: Arc<StateFile>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) lock: DirectoryLock,
}

impl Directory {
    /// Opens the directory of a member, or sets it up.
    pub(crate) fn open(config: &Config, medium: Arc<dyn Medium>) -> Result<Self, StartError> {
        let path = config.data_dir.as_path();
        let storage_error = |source| StartError::Storage { directory: path.to_owned(), source };
        create_private(path).map_err(storage_error)?;
        let lock = marker::lock(path)
            .map_err(storage_error)?
            .ok_or_else(|| StartError::InUse { directory: path.to_owned() })?;
        sweep_parts(path).map_err(storage_error)?;
        let marker = marker::read(path).map_err(storage_error)?;
        if let Some(marker) = &marker {
            check_marker(path, marker, config)?;
        }
        let snapshots = named(&path.join(SNAPSHOT_FILE), || Snapshots::open(path)).map_err(storage_error)?;
        let open_log = || LogFile::open(&*medium, path, &config.compaction, snapshots.last_index());
        let (log, log_closed) = named(&path.join(LOG_FILE), open_log).map_err(storage_error)?;
        let state = named(&path.join(STATE_FILE), || StateFile::open(medium, path)).map_err(storage_error)?;
        let marker = match marker {
            Some(marker) => marker,
            // The marker is written last. Without it there is a new directory, or one that was never finished; a log
            // with something in it belongs to neither.
            None if log.is_pristine() => {
                let marker = Marker { cluster: String::new(), node: config.node_id };
                marker::write(path, &marker).map_err(storage_error)?;
                marker
            }
            None => return Err(StartError::Incomplete { directory: path.to_owned(), what: "its marker is gone" }),
        };
        Ok(Self {
            marker,
            log: Arc::new(log),
            log_closed,
            state: Arc::new(state),
            snapshots: Arc::new(snapshots),
            lock,
        })
    }
}

/// Creates the directory for this user alone: the metadata holds names, addresses and hashes of tokens.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

fn check_marker(path: &Path, marker: &Marker, config: &Config) -> Result<(), StartError> {
    let directory = path.to_owned();
    if marker.node != config.node_id {
        return Err(StartError::OtherNode { directory, found: marker.node, expected: config.node_id });
    }
    if !path.join(LOG_FILE).exists() {
        return Err(StartError::Incomplete { directory, what: "its raft log is gone" });
    }
    Ok(())
}
