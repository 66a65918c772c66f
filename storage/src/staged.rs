//! A body that is written once, where it will stay: into a file of the store's own directory, which a rename makes the
//! object. Whoever follows a download reads the same file meanwhile.

use std::any::Any;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roadstead_proto::domain::entry::ObjectKey;

use crate::checksums::Summer;
use crate::floor::Floor;

/// See the module's text. Dropped without a commit, its file is removed; a killed process's is removed at the next start.
pub struct Staged {
    key: ObjectKey,
    file: Arc<File>,
    /// Where the file is, until it is the object.
    path: Option<PathBuf>,
    summer: Summer,
    floor: Floor,
    /// Bytes after which the disk takes no more.
    #[cfg(any(test, feature = "test-util"))]
    torn_after: Option<u64>,
    /// What keeps others from writing the same key meanwhile.
    turn: Option<Box<dyn Any + Send>>,
}

impl Staged {
    /// A new, empty file at `path` for the body of `key`. Blocks.
    pub(crate) fn create(key: ObjectKey, path: PathBuf, floor: Floor, turn: Box<dyn Any + Send>) -> io::Result<Self> {
        // Whatever lies there is of a writer that is no more: the turn is ours.
        let file = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
        Ok(Self {
            key,
            file: Arc::new(file),
            path: Some(path),
            summer: Summer::new(),
            floor,
            #[cfg(any(test, feature = "test-util"))]
            torn_after: None,
            turn: Some(turn),
        })
    }

    /// What is being written.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The file, for whoever reads what is written already. It stays readable whatever becomes of its name.
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.summer.size()
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the next bytes of the body. Blocks.
    ///
    /// # Errors
    /// The file's own, or that the disk has no room left. The object can then not be made any more; what is in the file
    /// already stays readable.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(any(test, feature = "test-util"))]
        if self.torn_after.is_some_and(|room| self.len() + bytes.len() as u64 > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.floor.admit(&*self.file, bytes.len() as u64)?;
        self.file.write_all_at(bytes, self.len())?;
        self.summer.update(bytes);
        Ok(())
    }

    /// From now on the disk takes no more than so many bytes of it.
    #[cfg(any(test, feature = "test-util"))]
    pub fn tear_after(&mut self, bytes: u64) {
        self.torn_after = Some(bytes);
    }

    pub(crate) fn summer(&mut self) -> Summer {
        std::mem::replace(&mut self.summer, Summer::new())
    }

    /// Makes the file the object at `target`, durably. Blocks.
    pub(crate) fn rename(&mut self, target: &Path) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        self.file.sync_all()?;
        fs::rename(path, target)?;
        self.path = None;
        match target.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// What keeps others from writing the key: for whoever has to undo the commit.
    pub(crate) fn take_turn(&mut self) -> Option<Box<dyn Any + Send>> {
        self.turn.take()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = self.path.take()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!(key = %self.key, %error, "a staging file stays until the next start");
        }
    }
}

impl fmt::Debug for Staged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("key", &self.key).field("len", &self.len()).finish_non_exhaustive()
    }
}
