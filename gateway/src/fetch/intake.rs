//! What becomes of pieces as they arrive: readers have them at once; hashing and writing follow a batch behind, off the async
//! threads, while the next batch is on its way.
//!
//! ```text
//!   piece ──► spool in memory ──► readers
//!     └─────► batch ──► one job at a time: hash, and write where memory may not hold the whole
//! ```
//!
//! The bytes are for the readers first: where the store takes no more, a file without a name goes on, and where that takes
//! no more either, nothing is kept and the readers' pace is the download's.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roadstead_proto::domain::digest::Verifier;
use roadstead_proto::offload::offload;
use roadstead_storage::staged::Staged;
use tokio::task::JoinHandle;
use tracing::warn;

use super::error::FillFailure;
use super::fill::Fill;
use super::spool::{Spool, SpoolError, failed};

/// Bytes of a batch. Large enough that handing it over costs nothing beside hashing it, small enough that two of them are
/// little memory.
const BATCH_BYTES: usize = 512 * 1024;
/// Bytes of a batch where the spools' common memory is used up. A last batch below this is hashed where it is: handing it
/// over would cost as much.
const SMALL_BATCH_BYTES: usize = 64 * 1024;
/// Bytes after which readers are told, where more are at hand without a wait.
const PUBLISH_BYTES: u64 = 256 * 1024;

/// A whole body that is what its digest says.
pub(super) struct Taken {
    pub(super) size: u64,
    /// The store's own file with all of it, where it was written there.
    pub(super) staged: Option<Staged>,
    /// Whether the spool has it from the first byte on.
    pub(super) is_whole: bool,
}

/// Where a spool's bytes are written when memory may not hold them.
enum Place {
    /// Nowhere yet, and then into a file without a name.
    Unnamed(Option<Arc<File>>),
    /// Into the store's own.
    Store(Box<Staged>),
    /// No file takes them.
    Nowhere,
}

/// What a job works with, and hands to the next one.
struct Worker {
    verifier: Verifier,
    place: Place,
    /// The end of what is in the file.
    written: u64,
}

/// See the module's text.
pub(super) struct Intake<'a> {
    fill: &'a Fill,
    size: Option<u64>,
    taken: u64,
    published: u64,
    batch: Vec<Bytes>,
    batch_bytes: usize,
    worker: Option<Worker>,
    job: Option<JoinHandle<Worker>>,
    staged: bool,
    /// How long the others wait for a reader at a standstill, where nothing is kept.
    standstill: Duration,
}

impl<'a> Intake<'a> {
    /// An intake for a body of `size` bytes, where that is known, with the store's file for it, where there is one.
    pub(super) fn new(fill: &'a Fill, size: Option<u64>, staged: Option<Staged>, standstill: Duration) -> Self {
        let is_staged = staged.is_some();
        let place = staged.map_or(Place::Unnamed(None), |staged| Place::Store(Box::new(staged)));
        let worker = Worker { verifier: Verifier::new(fill.digest()), place, written: 0 };
        Self {
            fill,
            size,
            taken: 0,
            published: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            worker: Some(worker),
            job: None,
            staged: is_staged,
            standstill,
        }
    }

    /// Whether the bytes were to go into the store's own file.
    pub(super) fn is_staged(&self) -> bool {
        self.staged
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes the next bytes; dropped while it waits, it has taken all of them or none. Waits only where hashing and writing are two batches behind, and for readers where nothing is
    /// kept.
    pub(super) async fn take(&mut self, piece: Bytes) -> Result<(), FillFailure> {
        if self.fill.spool().is_unbacked() {
            self.publish();
            if self.fill.class().is_unasked() {
                // Nobody reads it and nothing is kept of it.
                return Err(FillFailure::Spool(SpoolError::Unread));
            }
            self.fill.spool().room(self.standstill).await.map_err(FillFailure::Spool)?;
        }
        self.taken += piece.len() as u64;
        self.batch_bytes += piece.len();
        self.batch.push(piece.clone());
        self.fill.spool().push(piece);
        if self.taken - self.published >= PUBLISH_BYTES {
            self.publish();
        }
        let full = if self.fill.spool().is_roomy() { BATCH_BYTES } else { SMALL_BATCH_BYTES };
        if self.batch_bytes >= full {
            self.hand_over().await?;
        }
        Ok(())
    }

    /// Lets readers have what is there: nothing more is at hand.
    pub(super) fn publish(&mut self) {
        if self.published < self.taken {
            self.published = self.taken;
            self.fill.publish(self.taken, self.size);
        }
    }

    /// The verdict on all that was taken.
    pub(super) async fn finish(&mut self) -> Result<Taken, FillFailure> {
        self.publish();
        if self.batch_bytes > SMALL_BATCH_BYTES || self.fill.spool().unwritten().is_some() {
            self.hand_over().await?;
        }
        let mut worker = self.ready().await?;
        worker.hash(&self.batch);
        let Worker { verifier, place, .. } = worker;
        verifier.finish().map_err(FillFailure::Corrupt)?;
        let staged = match place {
            // A body that memory holds is not in the file.
            Place::Store(staged) if staged.len() == self.taken && self.taken > 0 => Some(*staged),
            _ => None,
        };
        Ok(Taken { size: self.taken, staged, is_whole: !self.fill.spool().is_unbacked() })
    }

    async fn hand_over(&mut self) -> Result<(), FillFailure> {
        let mut worker = self.ready().await?;
        self.batch_bytes = 0;
        let (batch, unwritten) = (std::mem::take(&mut self.batch), self.fill.spool().unwritten());
        let spool = Arc::clone(self.fill.spool());
        self.job = Some(offload(move || {
            worker.hash(&batch);
            if let Some(pieces) = unwritten {
                worker.write(&spool, &pieces);
            }
            worker
        }));
        Ok(())
    }

    /// The worker, when its job is done.
    async fn ready(&mut self) -> Result<Worker, FillFailure> {
        if let Some(job) = &mut self.job {
            // Left where it is until it is done: whoever waits here may be dropped.
            let done = job.await.map_err(|error| failed("writing the download's file")(error.into()));
            self.job = None;
            self.worker = Some(done.map_err(FillFailure::Spool)?);
        }
        self.worker.take().ok_or(FillFailure::Abandoned)
    }
}

impl Worker {
    fn hash(&mut self, pieces: &[Bytes]) {
        pieces.iter().for_each(|piece| self.verifier.update(piece));
    }

    /// Writes what memory may not hold: to the best place that takes it.
    fn write(&mut self, spool: &Spool, pieces: &[Bytes]) {
        while !matches!(self.place, Place::Nowhere) {
            match self.write_here(spool, pieces) {
                Ok(file) => {
                    self.written += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
                    return spool.written(&file, self.written);
                }
                Err(error) => self.place = self.next_place(&error),
            }
        }
        spool.unback();
    }

    fn write_here(&mut self, spool: &Spool, pieces: &[Bytes]) -> Result<Arc<File>, SpoolError> {
        match &mut self.place {
            Place::Store(staged) => {
                let written = pieces.iter().try_for_each(|piece| staged.write(piece));
                written.map_err(failed("writing the store's file")).map(|()| staged.file())
            }
            Place::Unnamed(file) => {
                let file = match file {
                    Some(file) => file,
                    None => file.insert(spool.unnamed_file()?),
                };
                spool.write(file, pieces, self.written).map(|()| Arc::clone(file))
            }
            Place::Nowhere => Err(SpoolError::Unread),
        }
    }

    /// Where to go on. What a place took stays readable: the spool has its file.
    fn next_place(&self, error: &SpoolError) -> Place {
        match &self.place {
            Place::Store(staged) => {
                let object = staged.key();
                warn!(%object, %error, written = self.written, "the store takes no more of a download: it will not be stored");
                Place::Unnamed(None)
            }
            Place::Unnamed(_) | Place::Nowhere => {
                warn!(%error, written = self.written, "there is no room to keep a download: it goes straight to its readers");
                Place::Nowhere
            }
        }
    }
}
