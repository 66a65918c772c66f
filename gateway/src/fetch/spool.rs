//! Append-only bytes that one writer grows and many readers follow, each at its own pace.
//!
//! The latest bytes are in memory, shared without a copy by every reader that keeps up. A spool that outgrows its share
//! of memory goes to a file: the store's own where that is a directory, so that the file becomes the object; else one
//! without a name, which vanishes with the last reader or with the process, whichever is first. Memory is bounded: per
//! spool by [`limits::SPOOL_MEMORY_PER_FILL`], over all of them by a common budget.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use roadstead_proto::domain::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes per read from the file, and per item of a reader's stream. A client at a standstill holds one: five hundred of them
/// hold 64 MiB.
const READ_BYTES: u64 = 128 * 1024;
/// What a spool in a file keeps of the common budget: its window, and a MiB for the batches on their way to the file. Less than
/// [`limits::SPOOL_MEMORY_PER_FILL`] by more than a piece, so that a spool has it when it outgrows memory.
const KEPT_BYTES: u64 = 3 * 1024 * 1024;
/// What is kept in memory of a spool in a file, if the budget has it: enough for whoever follows the writer. With half of it a
/// client on a busy machine falls behind now and then, and reads from the file.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// One permit's worth of the budget.
const SHARE_BYTES: u64 = 256 * 1024;
/// The spool's file could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{action}: {cause}")]
pub struct SpoolError {
    action: &'static str,
    cause: Arc<std::io::Error>,
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> SpoolError {
    move |cause| SpoolError { action, cause: Arc::new(cause) }
}

/// Where spools go, and what they may hold in memory together.
#[derive(Debug, Clone)]
pub struct SpoolSpace {
    folder: PathBuf,
    /// One permit per KiB.
    memory: Arc<Semaphore>,
}

impl SpoolSpace {
    /// Spools in `folder`, which exists, with `memory` bytes for all of them.
    pub fn new(folder: PathBuf, memory: u64) -> Self {
        let permits = usize::try_from(memory / 1024).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { folder, memory: Arc::new(Semaphore::new(permits)) }
    }

    /// An empty spool.
    pub fn spool(&self) -> Spool {
        Spool { space: self.clone(), state: Mutex::default() }
    }
}

/// See the module's text. One writer calls [`Spool::push`] and sees to the rest; anybody calls [`Spool::read`].
#[derive(Debug)]
pub struct Spool {
    space: SpoolSpace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest pieces, in order and without gaps, up to the end.
    recent: VecDeque<(u64, Bytes)>,
    len: u64,
    /// Bytes that the file holds; everything at and after it is in `recent`.
    in_file: u64,
    file: Option<Arc<File>>,
    /// Memory may not hold the whole any more.
    outgrown: bool,
    memory: Vec<OwnedSemaphorePermit>,
    memory_bytes: u64,
}

impl State {
    fn recent_from(&self) -> u64 {
        self.recent.front().map_or(self.len, |(offset, _)| *offset)
    }

    fn slice(&self, offset: u64, end: u64) -> Option<Bytes> {
        let at = self.recent.partition_point(|(start, piece)| start + piece.len() as u64 <= offset);
        let (start, piece) = self.recent.get(at)?;
        let from = usize::try_from(offset.checked_sub(*start)?).ok()?;
        let to = usize::try_from((end - start).min(piece.len() as u64)).ok()?;
        Some(piece.slice(from..to))
    }

    /// Drops what is in the file and older than the window.
    fn trim(&mut self) {
        let window = if self.memory_bytes >= KEPT_BYTES { WINDOW_BYTES } else { 0 };
        let keep_from = self.in_file.min(self.len.saturating_sub(window));
        while let Some((offset, piece)) = self.recent.front() {
            if offset + piece.len() as u64 > keep_from {
                break;
            }
            self.recent.pop_front();
        }
    }
}

impl Spool {
    fn state(&self) -> MutexGuard<'_, State> {
        // No section panics between two writes of the state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset after the last byte appended so far.
    pub fn end(&self) -> u64 {
        self.state().len
    }

    /// Appends bytes; they are readable at once. The writer sees to it that [`Spool::unwritten`] does not grow without end.
    pub fn push(&self, bytes: Bytes) {
        let mut state = self.state();
        let (offset, length) = (state.len, bytes.len() as u64);
        state.recent.push_back((offset, bytes));
        state.len += length;
        if !state.outgrown {
            state.outgrown = !self.reserve(&mut state);
        }
    }

    /// What has to go to a file and is not there: nothing as long as memory may hold the whole. The pieces are those from
    /// the file's end on.
    pub fn unwritten(&self) -> Option<Vec<Bytes>> {
        let state = self.state();
        let from = state.in_file;
        state.outgrown.then(|| {
            let fresh = state.recent.iter().rev().take_while(|(offset, _)| *offset >= from);
            let mut pieces: Vec<Bytes> = fresh.map(|(_, piece)| piece.clone()).collect();
            pieces.reverse();
            pieces
        })
    }

    /// A file for this spool that nobody else sees. Blocks.
    ///
    /// # Errors
    /// Where the folder takes no file.
    pub fn unnamed_file(&self) -> Result<Arc<File>, SpoolError> {
        tempfile::tempfile_in(&self.space.folder).map(Arc::new).map_err(failed("creating the spool file"))
    }

    /// The file now has everything before `in_file`: older pieces leave memory.
    pub fn written(&self, file: &Arc<File>, in_file: u64) {
        let mut state = self.state();
        state.file.get_or_insert_with(|| Arc::clone(file));
        state.in_file = in_file;
        state.memory.truncate((KEPT_BYTES / SHARE_BYTES) as usize);
        state.memory_bytes = state.memory.len() as u64 * SHARE_BYTES;
        state.trim();
    }

    /// Whether the budget has room for more than the least. Without, the writer keeps its batches small.
    pub fn is_roomy(&self) -> bool {
        let state = self.state();
        !state.outgrown || state.memory_bytes >= KEPT_BYTES
    }

    /// Whether the spool may stay in memory: takes its share of the budget as it grows.
    fn reserve(&self, state: &mut State) -> bool {
        if state.len > limits::SPOOL_MEMORY_PER_FILL {
            return false;
        }
        while state.memory_bytes < state.len {
            match Arc::clone(&self.space.memory).try_acquire_many_owned((SHARE_BYTES / 1024) as u32) {
                Ok(permit) => {
                    state.memory.push(permit);
                    state.memory_bytes += SHARE_BYTES;
                }
                Err(_) => return false,
            }
        }
        true
    }

    /// At least one byte from `offset` on, at most up to `end`; `offset < end <= len`.
    pub async fn read(&self, offset: u64, end: u64) -> Result<Bytes, SpoolError> {
        let file = {
            let state = self.state();
            if offset >= state.recent_from()
                && let Some(bytes) = state.slice(offset, end.min(offset + READ_BYTES))
            {
                return Ok(bytes);
            }
            state.file.clone()
        };
        let file = file.ok_or_else(|| failed("reading the spool")(std::io::ErrorKind::UnexpectedEof.into()))?;
        let read = tokio::task::spawn_blocking(move || {
            let length = usize::try_from((end - offset).min(READ_BYTES)).unwrap_or_default();
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, offset).map_err(failed("reading the spool file"))?;
            Ok(Bytes::from(buffer))
        });
        read.await.map_err(|error| failed("reading the spool file")(error.into()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n * 7 % 251) as u8).collect()
    }

    async fn read_all(spool: &Spool, mut offset: u64) -> Vec<u8> {
        let (mut all, end) = (Vec::new(), spool.end());
        while offset < end {
            let piece = spool.read(offset, end).await.unwrap();
            assert!(!piece.is_empty());
            offset += piece.len() as u64;
            all.extend_from_slice(&piece);
        }
        all
    }

    /// As the intake writes it: a batch now and then.
    fn fill(spool: &Spool, body: &[u8], piece: usize) {
        let mut file = None;
        for piece in body.chunks(piece) {
            spool.push(Bytes::copy_from_slice(piece));
            let Some(pieces) = spool.unwritten() else { continue };
            let file = file.get_or_insert_with(|| spool.unnamed_file().unwrap());
            let mut at = spool.state().in_file;
            for piece in pieces {
                file.write_all_at(&piece, at).unwrap();
                at += piece.len() as u64;
            }
            spool.written(file, at);
        }
    }

    #[tokio::test]
    async fn a_small_one_stays_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolSpace::new(folder.path().into(), 1 << 20).spool();
        fill(&spool, &body(100_000), 8192);
        assert!(spool.state().file.is_none());
        assert_eq!(read_all(&spool, 0).await, body(100_000));
        assert_eq!(read_all(&spool, 99_999).await, body(100_000)[99_999..]);
    }

    #[tokio::test]
    async fn a_large_one_goes_to_a_file_without_a_name_and_memory_stays_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let space = SpoolSpace::new(folder.path().into(), 64 << 20);
        let spool = space.spool();
        let whole = body(9_000_001);
        fill(&spool, &whole, 60_000);
        assert!(spool.state().file.is_some());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let held: usize = spool.state().recent.iter().map(|(_, piece)| piece.len()).sum();
        assert!(held as u64 <= WINDOW_BYTES + 60_000, "{held}");
        assert_eq!(space.memory.available_permits(), 61 * 1024, "the window and the batches are paid for");
        assert_eq!(read_all(&spool, 0).await, whole);
        assert_eq!(read_all(&spool, 4_200_000).await, whole[4_200_000..]);
        assert_eq!(read_all(&spool, 8_900_000).await, whole[8_900_000..]);
        drop(spool);
        assert_eq!(space.memory.available_permits(), 64 * 1024, "the budget is free again");
    }

    #[tokio::test]
    async fn without_budget_a_small_one_goes_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolSpace::new(folder.path().into(), 0).spool();
        fill(&spool, &body(1_000), 100);
        assert!(spool.state().file.is_some() && !spool.is_roomy());
        assert!(spool.state().recent.is_empty(), "memory that nobody has is not used");
        assert_eq!(read_all(&spool, 0).await, body(1_000));
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let spool = SpoolSpace::new(folder.path().join("gone"), 0).spool();
        let error = spool.unnamed_file().unwrap_err();
        assert!(error.to_string().contains("creating the spool file"), "{error}");
    }
}
