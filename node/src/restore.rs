//! A new group out of a file that `Admin.Snapshot` gave.
//!
//! What is made is the directory of one member whose log begins behind the snapshot. The rows are loaded when it starts, as
//! after an installation that a crash interrupted. The group gets a name of its own: members of the old one, should any
//! still live, must not take it for theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use openraft::BasicNode;
use roadstead_proto::domain::limits;

use crate::directory::create_private;
use crate::group_name::new_name;
use crate::raft::codec::Stored;
use crate::raft::log::LogFile;
use crate::raft::snapshot::{Reader, Snapshots};
use crate::raft::{LogId, Membership, StoredMembership};
use crate::store::files::{damaged, named};
use crate::store::keys::LOG_FILE;
use crate::store::marker::{self, Marker};
use crate::store::medium::PlainFiles;
use crate::store::state::Head;

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something is in the directory.
    #[error("the directory {} is not empty: a restore makes a new one", directory.display())]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
    /// The file is not a whole snapshot.
    #[error("the snapshot cannot be used: {0}")]
    Snapshot(#[source] io::Error),
    /// The directory could not be written. It holds nothing that a node would start from.
    #[error("the directory {} cannot be written: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Makes `directory` that of node `node_id` at `address`, alone in a new group that holds what the snapshot `file` holds.
/// Answers the name of the group. Blocks.
///
/// # Errors
/// Where the directory is not empty, the file is not whole, or something cannot be read or written.
pub fn restore(directory: &Path, file: &Path, node_id: u64, address: &str) -> Result<String, RestoreError> {
    let failed = |source| RestoreError::Directory { directory: directory.to_owned(), source };
    let open = || File::open(file).and_then(Reader::open);
    let applied = beyond(named(file, || check(open()?)).map_err(RestoreError::Snapshot)?);
    if directory.exists() && std::fs::read_dir(directory).map_err(failed)?.next().is_some() {
        return Err(RestoreError::NotEmpty { directory: directory.to_owned() });
    }
    create_private(directory).map_err(failed)?;
    let alone = alone(applied, node_id, address).map_err(failed)?;
    let head = Head { applied: Some(applied.to_message()), membership: Some(alone.to_message()) };
    let rows = open().map_err(RestoreError::Snapshot)?;
    Snapshots::open(directory).and_then(|snapshots| snapshots.rewrite(rows, &head)).map_err(failed)?;
    LogFile::create_behind(&PlainFiles, directory, applied)
        .and_then(|()| new_name())
        .and_then(|cluster| {
            // Last: without it the directory is one that was never finished.
            marker::write(directory, &Marker { cluster: cluster.clone(), node: node_id })?;
            Ok(cluster)
        })
        .map_err(|error| failed(io::Error::new(error.kind(), format!("{LOG_FILE}: {error}"))))
}

/// Reads all of it; answers how far it goes.
fn check(mut rows: Reader) -> io::Result<LogId> {
    let applied = rows.meta()?.last_log_id.ok_or_else(|| damaged("it holds nothing"))?;
    while rows.next_row()?.is_some() {}
    Ok(applied)
}

/// Where the new group begins: further than the old one can have come since the snapshot. Who has seen later revisions of
/// it finds none that it knows, and takes everything anew; no token that it granted is ever granted again.
fn beyond(applied: LogId) -> LogId {
    LogId { index: applied.index.saturating_add(limits::RESTORE_GAP), ..applied }
}

fn alone(applied: LogId, node: u64, address: &str) -> io::Result<StoredMembership> {
    let members = BTreeMap::from([(node, BasicNode::new(address))]);
    let membership =
        Membership::new(vec![BTreeSet::from([node])], members).map_err(|error| damaged(error.to_string()))?;
    Ok(StoredMembership::new(Some(applied), membership))
}
