//! Settings of storage, as plain values. Where they come from is the binary's business.

use std::path::PathBuf;

use roadstead_proto::domain::limits::{BLOB_MEMORY_DEFAULT, CHUNK_BYTES};

/// Memory for what readers hold beyond the memory tier. Serves some 500 clients at a standstill with a
/// block each, or a dozen long cold reads at full speed, and stays below what an operator calls small.
const READER_MEMORY_DEFAULT: u64 = 128 * 1024 * 1024;
/// With less, not even one chunk could be loaded, held and handed out.
const READER_MEMORY_MIN: u64 = 4 * CHUNK_BYTES;
/// Memory for checksums that is never gone without. Speaks for 32 GiB.
const CHECKSUM_MEMORY_MIN: u64 = 1024 * 1024;
/// Memory for parts on their way to the store: eight cloud uploads at once, or dozens of local ones.
const UPLOAD_MEMORY_DEFAULT: u64 = 64 * 1024 * 1024;

/// Settings of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where objects are kept.
    pub backend: Backend,
    /// Memory for chunks and checksums that are kept. Zero keeps no chunk, and 1 MiB of checksums.
    pub memory_bytes: u64,
    /// Memory for everything else that reads need, whatever the number of readers.
    pub reader_bytes: u64,
    /// Memory for parts of uploads, whatever the number of uploads.
    pub upload_bytes: u64,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// A directory on this machine.
    Local {
        /// Created if it is not there.
        path: PathBuf,
    },
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too little memory for readers.
    #[error("storage needs at least {READER_MEMORY_MIN} bytes for its readers, not {0}")]
    ReaderBytes(u64),
    /// No path was given.
    #[error("the storage directory has an empty path")]
    EmptyPath,
}

impl Config {
    /// A local directory, everything else by default.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self {
            backend: Backend::Local { path: path.into() },
            memory_bytes: BLOB_MEMORY_DEFAULT,
            reader_bytes: READER_MEMORY_DEFAULT,
            upload_bytes: UPLOAD_MEMORY_DEFAULT,
        }
    }

    /// Whether these settings can be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.reader_bytes < READER_MEMORY_MIN {
            return Err(ConfigError::ReaderBytes(self.reader_bytes));
        }
        match &self.backend {
            Backend::Local { path } if path.as_os_str().is_empty() => Err(ConfigError::EmptyPath),
            Backend::Local { .. } => Ok(()),
        }
    }

    /// One sixteenth of memory is for checksums: one byte of them speaks for 32 KiB of content, so this
    /// covers 2,000 times the memory tier. Some there are always: without, reads in parts cost too much.
    pub(crate) fn checksum_bytes(&self) -> u64 {
        (self.memory_bytes / 16).max(CHECKSUM_MEMORY_MIN)
    }

    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.checksum_bytes())
    }
}
