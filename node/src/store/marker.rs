//! Whose directory this is, and the lock that keeps a second process out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use roadstead_proto::wire::pb::raft::v1 as pb;

use super::files::{damaged, failed, part_of, replace};
use super::keys::{DIRECTORY_FORMAT, LOCK_FILE, MARKER_FILE};

/// Held while the process uses the directory. The operating system releases it with the process, so that a crash
/// leaves nothing to clean up.
#[derive(Debug)]
pub(crate) struct DirectoryLock(
    #[expect(dead_code, reason = "held, never read: closing the file releases the lock")] File,
);

/// Takes the directory for this process; `None` where another one has it.
pub(crate) fn lock(directory: &Path) -> io::Result<Option<DirectoryLock>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(directory.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(DirectoryLock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who the directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The group.
    pub(crate) cluster: String,
    /// The member.
    pub(crate) node: u64,
}

/// Reads the marker; `None` in a directory that no member has finished setting up.
pub(crate) fn read(directory: &Path) -> io::Result<Option<Marker>> {
    let path = directory.join(MARKER_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let marker = pb::NodeMarker::decode(bytes.as_slice()).map_err(failed)?;
    if marker.format != DIRECTORY_FORMAT {
        return Err(damaged(format!(
            "{} has format {}, and this version reads format {DIRECTORY_FORMAT}",
            directory.display(),
            marker.format
        )));
    }
    Ok(Some(Marker { cluster: marker.cluster, node: marker.node }))
}

/// Writes the marker, durably. Last of all when a directory is set up: where it stands, the databases stand too.
pub(crate) fn write(directory: &Path, marker: &Marker) -> io::Result<()> {
    let path = directory.join(MARKER_FILE);
    let part = part_of(&path);
    let message = pb::NodeMarker { format: DIRECTORY_FORMAT, cluster: marker.cluster.clone(), node: marker.node };
    let mut file = File::create(&part)?;
    file.write_all(&message.encode_to_vec())?;
    file.sync_all()?;
    replace(&part, &path)
}
