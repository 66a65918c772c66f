//! A local directory as object storage: what `LocalFileSystem` leaves to its owner.
//!
//! Read in object_store 0.14.2: it stages into `<name>#<n>` beside the target and renames; with
//! `with_fsync(true)` it syncs the file before and the directory after the rename, and directories it
//! creates, so an acknowledged put survives a power loss. It does not sync deletes (one that is
//! undone is found again by garbage collection). It clears no staging file of a killed process, nor
//! one whose commit failed: a failed `complete` has already forgotten the name. Both are done here.

use std::any::Any;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use roadstead_proto::domain::digest::{Algorithm, Digest};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::offload::offload;

use crate::blob::Part;
use crate::floor::Floor;
use crate::key;
use crate::staged::Staged;

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used as storage: {doing}", path.display())]
pub struct LocalError {
    path: PathBuf,
    doing: &'static str,
    source: io::Error,
}

/// A directory in use. The lock is shared by all who use it and is gone with the process.
#[derive(Debug)]
pub(super) struct LocalDirectory {
    root: PathBuf,
    /// Held for the lock on it; and a file there tells how much room there is.
    lock: File,
    floor: Floor,
}

/// What a start found and removed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Swept {
    /// Files that were never committed.
    pub(super) staged: usize,
    /// Checksums whose object never came, or went first.
    pub(super) checksums: usize,
}

impl LocalDirectory {
    /// Creates the directory if need be, takes its lock, and clears what a killed process left.
    pub(super) fn open(root: &Path, floor: Floor) -> Result<(Self, LocalFileSystem), LocalError> {
        let failed = |doing| move |source| LocalError { path: root.to_owned(), doing, source };
        create(root).map_err(failed("creating its folders"))?;
        let lock = File::options().create(true).truncate(false).write(true).open(root.join(key::LOCK));
        let lock = lock.map_err(failed("opening its lock file"))?;

        // What looks like a leftover may be a neighbour's put under way. Only who is alone may clear.
        match lock.try_lock() {
            Ok(()) => {
                let swept = sweep(root).map_err(failed("clearing leftovers"))?;
                if swept != Swept::default() {
                    tracing::info!(swept.staged, swept.checksums, "cleared what an earlier process left in storage");
                }
                lock.unlock().map_err(failed("unlocking it"))?;
            }
            Err(TryLockError::WouldBlock) => {
                tracing::info!("storage directory is in use by another process, leftovers stay for now");
            }
            Err(TryLockError::Error(source)) => return Err(failed("locking it")(source)),
        }
        lock.lock_shared().map_err(failed("locking it"))?;

        let store =
            LocalFileSystem::new_with_prefix(root).map_err(|error| failed("opening it")(io::Error::other(error)))?;
        Ok((Self { root: root.to_owned(), lock, floor }, store.with_fsync(true)))
    }

    /// Whether `bytes` more may be written.
    pub(super) fn admit(&self, bytes: u64) -> io::Result<()> {
        self.floor.admit(&self.lock, bytes)
    }

    /// The file for a body of `key`, named as uploads are so that a start clears it; they count from 1. Blocks.
    pub(super) fn stage(&self, key: ObjectKey, turn: Box<dyn Any + Send>) -> io::Result<Staged> {
        self.admit(0)?;
        let mut name = self.object(&key).into_os_string();
        name.push("#0");
        Staged::create(key, name.into(), self.floor, turn)
    }

    /// Where the bytes of an object are.
    pub(super) fn object(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key::object_path(key).as_ref())
    }

    /// Removes staging files of one key. Only for the writer of that key, after its commit failed.
    pub(super) async fn clear_staged(self: &Arc<Self>, key: ObjectKey) {
        let paths = [key::object_path(&key), key::checksums_path(&key)].map(|path| self.root.join(path.as_ref()));
        let cleared = offload(move || {
            for path in paths {
                // Numbers are given out from 1 and one key has one writer, so the first gap is the end.
                for number in 1.. {
                    let mut name = path.clone().into_os_string();
                    name.push(format!("#{number}"));
                    if fs::remove_file(name).is_err() {
                        break;
                    }
                }
            }
        });
        if let Err(error) = cleared.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "a staging file stays until the next start");
        }
    }

    /// File names of one digest. A local directory is listed unsorted and with a `stat` per file, so
    /// asking it by prefix would touch every object; this reads names only.
    pub(super) async fn names_of(self: &Arc<Self>, digest: Digest) -> io::Result<Vec<object_store::path::Path>> {
        let this = Arc::clone(self);
        let found = offload(move || {
            let prefix = key::file_prefix(&digest);
            let named = files(&this.root, digest.algorithm())?.filter(|name| name.starts_with(&prefix));
            let keys = named.filter_map(|name| key::parse_file(digest.algorithm(), &name));
            Ok(keys
                .map(|(key, part)| match part {
                    Part::Object => key::object_path(&key),
                    Part::Checksums => key::checksums_path(&key),
                })
                .collect())
        });
        found.await.map_err(io::Error::other)?
    }
}

/// The folders exist before the first put, so that no put creates one on an async thread. Every directory that
/// gained an entry is synced: an object in a folder that a power loss takes away is lost with it.
fn create(root: &Path) -> io::Result<()> {
    let above = root.ancestors().take_while(|dir| !dir.exists()).count();
    for algorithm in key::ALGORITHMS {
        fs::create_dir_all(root.join(key::folder(algorithm)))?;
    }
    // A relative path ends in an empty ancestor, which is the current directory.
    let gained =
        root.ancestors().take(above + 1).map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    gained.map(File::open).try_for_each(|dir| dir?.sync_all())
}

fn files(root: &Path, algorithm: Algorithm) -> io::Result<impl Iterator<Item = String>> {
    let entries = fs::read_dir(root.join(key::folder(algorithm)))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()))
}

/// One pass over the names, of which nearly all are told apart by their ends: a start must not wait for it.
fn sweep(root: &Path) -> io::Result<Swept> {
    let mut swept = Swept::default();
    let top = fs::read_dir(root)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for name in top.filter(|name| matches!(key::staged_for(name), Some(key::MARKER | key::PROBE))) {
        fs::remove_file(root.join(name))?;
        swept.staged += 1;
    }
    for algorithm in key::ALGORITHMS {
        let folder = root.join(key::folder(algorithm));
        for name in files(root, algorithm)? {
            if key::staged_for(&name).is_some_and(|of| key::parse_file(algorithm, of).is_some()) {
                fs::remove_file(folder.join(name))?;
                swept.staged += 1;
            } else if let Some(object) = key::checksums_of(&name)
                && key::parse_file(algorithm, object).is_some()
                && !folder.join(object).try_exists()?
            {
                fs::remove_file(folder.join(name))?;
                swept.checksums += 1;
            }
        }
    }
    Ok(swept)
}
