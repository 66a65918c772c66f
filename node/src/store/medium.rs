//! How a database reaches its file.

use std::fs::File;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError};

/// Stands between a database and its file. In production nothing stands there; a test or a simulation decides here
/// which writes survive a loss of power.
pub trait Medium: Send + Sync + 'static {
    /// Opens `file`, or makes a database of it where it is empty.
    ///
    /// # Errors
    /// Whatever redb says of the file.
    fn open(&self, builder: &Builder, file: File) -> Result<Database, DatabaseError>;
}

/// The file itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainFiles;

impl Medium for PlainFiles {
    fn open(&self, builder: &Builder, file: File) -> Result<Database, DatabaseError> {
        builder.create_with_backend(FileBackend::new(file)?)
    }
}
