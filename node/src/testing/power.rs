//! A medium whose power can be cut: what was not synced is gone, wholly or in part.
//!
//! Each file is held in memory and reaches the disk only when it is synced. When the power goes, of the writes since the last
//! sync an arbitrary part reaches the disk all the same, as an operating system writes back pages in its own order; from
//! then on every access fails. The directory is then what a machine finds when it comes up again. Files that are not
//! databases (snapshot, marker) are written as ever.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend};

use crate::Medium;

/// The supply that every database opened through it hangs on.
#[derive(Debug, Clone)]
pub struct Power(Arc<Mutex<Supply>>);

#[derive(Debug)]
struct Supply {
    is_on: bool,
    /// Writes and syncs until the power goes by itself.
    fuse: Option<u64>,
    seed: u64,
    syncs: u64,
    files: Vec<Arc<Mutex<Image>>>,
}

/// A file as the process sees it, and what of that the disk does not have yet.
#[derive(Debug)]
struct Image {
    file: Arc<FileBackend>,
    content: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Power {
    /// Power, with a seed for what part of the unsynced writes survives when it goes; with seed 0 none does.
    pub fn on(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Supply { is_on: true, fuse: None, seed, syncs: 0, files: Vec::new() })))
    }

    /// Cuts the power.
    pub fn cut(&self) {
        lock(&self.0).cut();
    }

    /// Cuts the power after so many more writes and syncs.
    pub fn cut_after(&self, operations: u64) {
        lock(&self.0).fuse = Some(operations);
    }

    /// How often any file was synced so far.
    pub fn syncs(&self) -> u64 {
        lock(&self.0).syncs
    }

    /// Whether there still is power.
    pub fn is_on(&self) -> bool {
        lock(&self.0).is_on
    }
}

impl Supply {
    fn cut(&mut self) {
        self.is_on = false;
        for image in std::mem::take(&mut self.files) {
            let mut image = lock(&image);
            for change in std::mem::take(&mut image.unsynced) {
                // Xorshift: any spread over the writes will do.
                self.seed ^= self.seed << 13;
                self.seed ^= self.seed >> 7;
                self.seed ^= self.seed << 17;
                if self.seed % 2 == 1 {
                    // Past the end of a file whose growth was lost, say.
                    let _ = image.to_disk(&change);
                }
            }
        }
    }

    /// One operation: fails where there is no power (any more).
    fn spend(&mut self) -> io::Result<()> {
        if self.fuse == Some(0) {
            self.cut();
        }
        self.fuse = self.fuse.map(|left| left.saturating_sub(1));
        if self.is_on { Ok(()) } else { Err(io::Error::other("the power is gone")) }
    }
}

impl Image {
    fn to_disk(&self, change: &Change) -> io::Result<()> {
        match change {
            Change::Length(length) => self.file.set_len(*length),
            Change::Write(offset, bytes) => self.file.write(*offset, bytes),
        }
    }
}

impl Medium for Power {
    fn open(&self, builder: &Builder, file: File) -> Result<Database, DatabaseError> {
        let file = Arc::new(FileBackend::new(file)?);
        let mut content = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        file.read(0, &mut content)?;
        let image = Arc::new(Mutex::new(Image { file: Arc::clone(&file), content, unsynced: Vec::new() }));
        lock(&self.0).files.push(Arc::clone(&image));
        builder.create_with_backend(Volatile { power: self.clone(), file, image })
    }
}

/// One file on the supply.
#[derive(Debug)]
struct Volatile {
    power: Power,
    file: Arc<FileBackend>,
    image: Arc<Mutex<Image>>,
}

impl Volatile {
    fn change(&self, change: Change) -> io::Result<()> {
        lock(&self.power.0).spend()?;
        let mut image = lock(&self.image);
        match &change {
            Change::Length(length) => image.content.resize(position(*length)?, 0),
            Change::Write(offset, bytes) => {
                let start = position(*offset)?;
                let target = image.content.get_mut(start..start + bytes.len());
                target.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
            }
        }
        image.unsynced.push(change);
        Ok(())
    }
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for Volatile {
    fn len(&self) -> io::Result<u64> {
        u64::try_from(lock(&self.image).content.len()).map_err(io::Error::other)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = lock(&self.image);
        let start = position(offset)?;
        out.copy_from_slice(image.content.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut supply = lock(&self.power.0);
        supply.spend()?;
        supply.syncs += 1;
        drop(supply);
        let mut image = lock(&self.image);
        for change in std::mem::take(&mut image.unsynced) {
            image.to_disk(&change)?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
