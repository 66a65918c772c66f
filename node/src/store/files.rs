//! File operations whose order against fsync matters, and the opening of databases.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use prost::Message;
use redb::{Builder, Database, ReadableDatabase, TableError, WriteTransaction};
use roadstead_proto::wire::pb::raft::v1 as pb;
use tokio::sync::oneshot;

use super::keys::{FACTS, FORMAT, PART_SUFFIX};
use super::medium::Medium;

/// Any failure of the store as the `io::Error` that raft speaks; the cause stays in the chain.
pub(crate) fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

/// Data that is not what this version writes.
pub(crate) fn damaged(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Opens a file by `open`, and names it in whatever is wrong with it. redb reports some damage by a panic, which ends here.
pub(crate) fn named<T>(path: &Path, open: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // What a panic leaves half done is dropped with it: nothing of it is used again.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
    match opened {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(io::Error::new(error.kind(), Named { path: path.to_owned(), error })),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(damaged(format!("{} is damaged: {text}", path.display())))
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used: {error}", path.display())]
struct Named {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Makes the names in a directory durable. A created or renamed file may otherwise be gone after a loss of power,
/// however well its content was synced.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// `path` with the ending of an incomplete file.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART_SUFFIX);
    PathBuf::from(name)
}

/// Puts the complete and synced file `part` in the place of `path`: after a crash there is the old one or the new one.
pub(crate) fn replace(part: &Path, path: &Path) -> io::Result<()> {
    fs::rename(part, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Removes what an interrupted write left behind.
pub(crate) fn sweep_parts(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(PART_SUFFIX) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// An open database that tells when it is closed, which is when the last holder lets go of it.
pub(crate) struct OpenDatabase {
    database: Database,
    /// Below the database, so that it is dropped after it.
    _closed: oneshot::Sender<()>,
}

impl Deref for OpenDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

/// Resolves when the database is closed and its file free for the next one to open.
#[derive(Debug)]
pub(crate) struct Closed(oneshot::Receiver<()>);

impl Closed {
    /// Waits until the database is closed.
    pub(crate) async fn wait(self) {
        // Nothing is ever sent; what is waited for is that the sender goes away.
        let _ = self.0.await;
    }
}

/// Creates the tables of a new database.
pub(crate) type CreateTables = fn(&WriteTransaction) -> Result<(), TableError>;

/// Opens the database at `path`, or creates it, and checks its format.
pub(crate) fn open_database(
    medium: &dyn Medium,
    path: &Path,
    cache: usize,
    format: u32,
    create_tables: CreateTables,
) -> io::Result<(OpenDatabase, Closed)> {
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut builder = Builder::new();
    builder.set_cache_size(cache);
    let database = medium.open(&builder, file).map_err(failed)?;
    check_format(&database, path, format, create_tables)?;
    if is_new {
        sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    }
    let (sender, receiver) = oneshot::channel();
    Ok((OpenDatabase { database, _closed: sender }, Closed(receiver)))
}

fn check_format(database: &Database, path: &Path, expected: u32, create_tables: CreateTables) -> io::Result<()> {
    let found = match database.begin_read().map_err(failed)?.open_table(FACTS) {
        Ok(facts) => redb::ReadableTable::get(&facts, FORMAT).map_err(failed)?.map(|value| value.value().to_vec()),
        Err(redb::TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(failed(error)),
    };
    match found {
        Some(bytes) => {
            let version = pb::FileFormat::decode(bytes.as_slice()).map_err(failed)?.version;
            if version == expected {
                return Ok(());
            }
            Err(damaged(format!("{} has format {version}, and this version reads format {expected}", path.display())))
        }
        None => {
            let write = database.begin_write().map_err(failed)?;
            let format = pb::FileFormat { version: expected }.encode_to_vec();
            write.open_table(FACTS).map_err(failed)?.insert(FORMAT, format.as_slice()).map_err(failed)?;
            create_tables(&write).map_err(failed)?;
            write.commit().map_err(failed)
        }
    }
}
