//! Append-only bytes that one writer grows and many readers follow, each at its own pace.
//!
//! The latest bytes are in memory, shared without a copy by every reader that keeps up. A spool that outgrows its share
//! of memory goes to files: the store's own where that is a directory, so that the file becomes the object; else, or from
//! the byte on at which that one takes no more, one without a name, which vanishes with the last reader or with the process,
//! whichever is first. Where no file takes anything the spool is *unbacked*: it holds a window, its writer waits for the
//! slowest reader, and whoever comes late finds the beginning gone. Memory is bounded: per spool by
//! [`limits::SPOOL_MEMORY_PER_FILL`], over all of them by a common budget.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use roadstead_proto::domain::limits;
use roadstead_proto::offload::offload;
use roadstead_storage::floor::Floor;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Bytes per read from the file, and per item of a reader's stream. A client at a standstill holds one: five hundred of them
/// hold 64 MiB.
const READ_BYTES: u64 = 128 * 1024;
/// What a spool in a file keeps of the common budget: its window, and a MiB for the batches on their way to the file. Less than
/// [`limits::SPOOL_MEMORY_PER_FILL`] by more than a piece, so that a spool has it when it outgrows memory.
const KEPT_BYTES: u64 = 3 * 1024 * 1024;
/// What is kept in memory of a spool in a file, if the budget has it: enough for whoever follows the writer. With half of it a
/// client on a busy machine falls behind now and then, and reads from the file. The most that an unbacked spool holds.
const WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// The window of an unbacked spool for which the budget has nothing. Above what waits for the verdict at the end of a body,
/// or its readers could never let go of anything.
const SMALL_WINDOW_BYTES: u64 = 4 * limits::VERIFY_HOLD_BACK;
/// One permit's worth of the budget.
const SHARE_BYTES: u64 = 256 * 1024;

/// The spool's bytes could not be written or read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// A file could not be written or read.
    #[error("{action}: {cause}")]
    File {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        cause: Arc<std::io::Error>,
    },
    /// The spool is unbacked, and has moved on: the reader came late, or stood still.
    #[error("there is no room to keep a download, and this one has moved on")]
    Passed,
    /// The spool is unbacked, and nobody reads it.
    #[error("there is no room to keep a download, and nobody reads this one")]
    Unread,
}

pub(super) fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> SpoolError {
    move |cause| SpoolError::File { action, cause: Arc::new(cause) }
}

/// Where spools go, and what they may hold in memory together.
#[derive(Debug, Clone)]
pub struct SpoolSpace {
    folder: PathBuf,
    floor: Floor,
    /// One permit per KiB.
    memory: Arc<Semaphore>,
}

impl SpoolSpace {
    /// Spools in `folder`, which exists and whose disk keeps `floor` free, with `memory` bytes for all of them.
    pub fn new(folder: PathBuf, floor: Floor, memory: u64) -> Self {
        let permits = usize::try_from(memory / 1024).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { folder, floor, memory: Arc::new(Semaphore::new(permits)) }
    }

    /// An empty spool.
    pub fn spool(&self) -> Spool {
        Spool { space: self.clone(), state: Mutex::default(), room: Notify::new() }
    }
}

/// See the module's text. One writer calls [`Spool::push`] and sees to the rest; anybody attaches a [`Reader`].
#[derive(Debug)]
pub struct Spool {
    space: SpoolSpace,
    state: Mutex<State>,
    /// Rung when an unbacked spool's readers have moved.
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The latest pieces, in order and without gaps, up to the end.
    recent: VecDeque<(u64, Bytes)>,
    len: u64,
    /// Bytes that the files hold; everything at and after it is in `recent`, or gone where the spool is unbacked.
    in_file: u64,
    /// Each has the bytes from its offset on up to the next one's, at the place they have in the body.
    files: Vec<(u64, Arc<File>)>,
    /// Memory may not hold the whole any more.
    outgrown: bool,
    /// No file takes what memory may not hold.
    unbacked: bool,
    readers: HashMap<u64, Stand>,
    last_reader: u64,
    memory: Vec<OwnedSemaphorePermit>,
    memory_bytes: u64,
}

/// Where a reader stands.
#[derive(Debug, Default, Clone, Copy)]
struct Stand {
    /// The next byte it wants.
    position: u64,
    /// How long the writer has waited for it.
    cost: Duration,
}

impl State {
    fn has_beginning(&self) -> bool {
        !self.unbacked || self.recent_from() <= self.in_file
    }

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

    /// The file that has the byte at `offset`, and where in it the next one's bytes begin.
    fn file(&self, offset: u64) -> Option<(Arc<File>, u64)> {
        let after = self.files.partition_point(|(from, _)| *from <= offset);
        let end = self.files.get(after).map_or(self.in_file, |(from, _)| *from);
        let (_, file) = self.files.get(after.checked_sub(1)?)?;
        (offset < end).then(|| (Arc::clone(file), end))
    }

    fn window(&self) -> u64 {
        match (self.memory_bytes >= KEPT_BYTES, self.unbacked) {
            (true, _) => WINDOW_BYTES,
            (false, true) => SMALL_WINDOW_BYTES,
            (false, false) => 0,
        }
    }

    /// Where the reader is that is furthest behind.
    fn slowest(&self) -> Option<u64> {
        self.readers.values().map(|stand| self.len.min(stand.position)).min()
    }

    /// Drops what is in a file and older than the window; without files, what every reader has.
    fn trim(&mut self) {
        let held = if self.unbacked { self.slowest().unwrap_or(self.len) } else { self.in_file };
        let keep_from = held.min(self.len.saturating_sub(self.window()));
        while let Some((offset, piece)) = self.recent.front() {
            if offset + piece.len() as u64 > keep_from {
                break;
            }
            self.recent.pop_front();
        }
    }

    fn is_behind(&self, stand: Stand) -> bool {
        self.len.saturating_sub(stand.position) >= self.window()
    }

    /// The writer has waited for whoever is behind.
    fn charge(&mut self, waited: Duration) {
        let (len, window) = (self.len, self.window());
        for stand in self.readers.values_mut().filter(|stand| len.saturating_sub(stand.position) >= window) {
            stand.cost += waited;
        }
    }

    /// Goes on without those who have cost too much. While everybody is slow, nobody is kept waiting by another.
    fn leave_behind(&mut self, patience: Duration, stood_still: bool) {
        let somebody_waits = self.readers.values().any(|stand| !self.is_behind(*stand));
        let (len, window) = (self.len, self.window());
        self.readers.retain(|_, stand| {
            let is_behind = len.saturating_sub(stand.position) >= window;
            !(is_behind && (stood_still || somebody_waits && stand.cost >= patience))
        });
    }

    /// Gives back the memory that a spool which does not stay in memory has no use for.
    fn settle(&mut self) {
        self.memory.truncate((KEPT_BYTES / SHARE_BYTES) as usize);
        self.memory_bytes = self.memory.len() as u64 * SHARE_BYTES;
        self.trim();
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

    /// Whether all that came is still there.
    pub fn has_beginning(&self) -> bool {
        self.state().has_beginning()
    }

    /// A reader of all there is and will be; `None` where the beginning is gone.
    pub fn attach(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state();
        if !state.has_beginning() {
            return None;
        }
        state.last_reader += 1;
        let id = state.last_reader;
        state.readers.insert(id, Stand::default());
        Some(Reader { spool: Arc::clone(self), id })
    }

    /// Appends bytes; they are readable at once. The writer sees to it that [`Spool::unwritten`] does not grow without end,
    /// and waits for [`Spool::room`] before.
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
        (state.outgrown && !state.unbacked).then(|| {
            let fresh = state.recent.iter().rev().take_while(|(offset, _)| *offset >= from);
            let mut pieces: Vec<Bytes> = fresh.map(|(_, piece)| piece.clone()).collect();
            pieces.reverse();
            pieces
        })
    }

    /// A file for this spool that nobody else sees. Blocks.
    ///
    /// # Errors
    /// Where the folder takes no file, or its disk has no room.
    pub fn unnamed_file(&self) -> Result<Arc<File>, SpoolError> {
        let create = || {
            let file = tempfile::tempfile_in(&self.space.folder)?;
            self.space.floor.admit(&file, 0)?;
            Ok(Arc::new(file))
        };
        create().map_err(failed("creating the spool file"))
    }

    /// Writes `pieces` into a file of [`Spool::unnamed_file`], from `at` on. Blocks.
    ///
    /// # Errors
    /// The file's own, or that its disk has no room.
    pub fn write(&self, file: &File, pieces: &[Bytes], mut at: u64) -> Result<(), SpoolError> {
        let mut write = |piece: &Bytes| {
            self.space.floor.admit(file, piece.len() as u64)?;
            file.write_all_at(piece, at)?;
            at += piece.len() as u64;
            Ok(())
        };
        pieces.iter().try_for_each(&mut write).map_err(failed("writing the spool file"))
    }

    /// `file` now has everything before `in_file` that no file had before: older pieces leave memory.
    pub fn written(&self, file: &Arc<File>, in_file: u64) {
        let mut state = self.state();
        let from = state.in_file;
        if state.files.last().is_none_or(|(_, last)| !Arc::ptr_eq(last, file)) {
            state.files.push((from, Arc::clone(file)));
        }
        state.in_file = in_file;
        state.settle();
    }

    /// No file takes any more.
    pub fn unback(&self) {
        let mut state = self.state();
        state.unbacked = true;
        state.settle();
    }

    /// Whether anybody reads.
    pub fn is_read(&self) -> bool {
        !self.state().readers.is_empty()
    }

    /// Whether the beginning may be gone.
    pub fn is_unbacked(&self) -> bool {
        self.state().unbacked
    }

    /// Waits until an unbacked spool may hold one piece more. A reader that stands still for `patience` is left behind; so is
    /// one that has cost so much waiting in all, where there are others that could go on without it.
    ///
    /// # Errors
    /// [`SpoolError::Unread`] where nobody reads and nobody comes within `patience`.
    pub async fn room(&self, patience: Duration) -> Result<(), SpoolError> {
        loop {
            let mut moved = std::pin::pin!(self.room.notified());
            moved.as_mut().enable();
            {
                let mut state = self.state();
                if !state.unbacked {
                    return Ok(());
                }
                state.trim();
                if state.slowest().is_some_and(|slowest| state.len - slowest < state.window()) {
                    return Ok(());
                }
            }
            let begun = Instant::now();
            let stood_still = tokio::time::timeout(patience, moved).await.is_err();
            let mut state = self.state();
            if stood_still && state.readers.is_empty() {
                return Err(SpoolError::Unread);
            }
            state.charge(begun.elapsed());
            state.leave_behind(patience, stood_still);
        }
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
}

/// One who follows a spool. An unbacked one keeps what its readers have not had.
#[derive(Debug)]
pub struct Reader {
    spool: Arc<Spool>,
    id: u64,
}

impl Reader {
    /// Nothing before `offset` is wanted.
    pub fn skip_to(&self, offset: u64) {
        self.stand_at(&mut self.spool.state(), offset);
    }

    /// At least one byte from `offset` on, at most up to `end`; `offset < end <= len`.
    pub async fn read(&self, offset: u64, end: u64) -> Result<Bytes, SpoolError> {
        let (file, end) = {
            let mut state = self.spool.state();
            if offset >= state.recent_from()
                && let Some(bytes) = state.slice(offset, end.min(offset + READ_BYTES))
            {
                self.stand_at(&mut state, offset + bytes.len() as u64);
                return Ok(bytes);
            }
            let (file, file_end) = state.file(offset).ok_or(SpoolError::Passed)?;
            self.stand_at(&mut state, offset);
            (file, end.min(file_end))
        };
        let read = offload(move || {
            let length = usize::try_from((end - offset).min(READ_BYTES)).unwrap_or_default();
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, offset).map_err(failed("reading the spool file"))?;
            Ok(Bytes::from(buffer))
        });
        let bytes: Bytes = read.await.map_err(|error| failed("reading the spool file")(error.into()))??;
        self.skip_to(offset + bytes.len() as u64);
        Ok(bytes)
    }

    /// Whoever was left behind stays so.
    fn stand_at(&self, state: &mut State, offset: u64) {
        if let Some(stand) = state.readers.get_mut(&self.id) {
            stand.position = offset;
            if state.unbacked {
                self.spool.room.notify_one();
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.spool.state().readers.remove(&self.id);
        self.spool.room.notify_one();
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;
