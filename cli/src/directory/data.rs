//! The data directory: what lies where, and who uses it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use roadstead_proto::domain::digest::encode_hex;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::secret::Secret;

use super::private_file;

/// A data directory that this process has for itself.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The operating system releases the lock with the process, so that a crash leaves nothing to clean up.
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another roadstead process; stop that process, or give this one a directory \
         of its own with --data-dir",
        path.display()
    )]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// A file stands where the directory should be.
    #[error("{} is not a directory; choose another place with --data-dir", path.display())]
    NotADirectory {
        /// Which path.
        path: PathBuf,
    },
    /// Something in it could not be created, read or written.
    #[error("cannot use {} in the data directory: {source}; check that this user may write there", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The gateway's name is no name.
    #[error("{} does not hold a gateway's name; remove it, and a new one is made", path.display())]
    GatewayId {
        /// Which file.
        path: PathBuf,
    },
}

impl Directory {
    /// Takes a data directory, which is created if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |at: &Path| {
            let at = at.to_owned();
            move |source| DirectoryError::Io { path: at, source }
        };
        if path.exists() && !path.is_dir() {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        private_folder(path).map_err(failed(path))?;
        // Absolute, for messages: a service's working directory is nothing that its operator knows.
        let path = path.canonicalize().map_err(failed(path))?;
        let lock = lock(&path.join("lock")).map_err(failed(&path.join("lock")))?;
        let lock = lock.ok_or_else(|| DirectoryError::InUse { path: path.clone() })?;
        let directory = Self { path, _lock: lock };
        directory.with_folder(Self::spool)
    }

    /// The same with a folder for blobs.
    pub(crate) fn with_blobs(self) -> Result<Self, DirectoryError> {
        self.with_folder(Self::blobs)
    }

    fn with_folder(self, folder: impl FnOnce(&Self) -> PathBuf) -> Result<Self, DirectoryError> {
        let path = folder(&self);
        match private_folder(&path) {
            Ok(()) => Ok(self),
            Err(source) => Err(DirectoryError::Io { path, source }),
        }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The node's folder: raft log and state.
    pub(crate) fn node(&self) -> PathBuf {
        self.path.join("node")
    }

    /// The blobs' folder.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// The folder of running downloads.
    pub(crate) fn spool(&self) -> PathBuf {
        self.path.join("spool")
    }

    /// The file with the admin token.
    pub(crate) fn admin_token(&self) -> PathBuf {
        self.path.join("admin-token")
    }

    /// The file with the secret key.
    pub(crate) fn secret_key(&self) -> PathBuf {
        self.path.join("secret-key")
    }

    /// This gateway's own name, made on the first start and kept.
    pub(crate) fn gateway_id(&self) -> Result<GatewayId, DirectoryError> {
        let path = self.path.join("gateway-id");
        let failed = |source| DirectoryError::Io { path: path.clone(), source };
        if let Some(found) = private_file::read(&path).map_err(failed)? {
            let name = found.content.expose();
            let valid = (1..=64).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
            return if valid { Ok(GatewayId(name.to_owned())) } else { Err(DirectoryError::GatewayId { path }) };
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let name = format!("gateway-{}", encode_hex(&bytes));
        private_file::create(&path, &Secret::new(name.as_str())).map_err(failed)?;
        Ok(GatewayId(name))
    }
}

/// Creates a folder for this user alone; one that is there stays as it is.
fn private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes the lock; `None` if another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = Directory::open(&path).unwrap();
        let refused = Directory::open(&path).unwrap_err().to_string();
        assert!(refused.contains("is in use by another roadstead process"), "{refused}");
        drop(first);
        assert!(Directory::open(&path).is_ok());
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = Directory::open(file.path()).unwrap_err().to_string();
        assert!(refused.contains("is not a directory"), "{refused}");
    }

    #[test]
    fn the_gateway_keeps_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::open(parent.path()).unwrap();
        let name = directory.gateway_id().unwrap();
        assert_eq!(directory.gateway_id().unwrap(), name);
        std::fs::write(parent.path().join("gateway-id"), "").unwrap();
        assert!(directory.gateway_id().is_err());
    }
}
