//! The log as openraft reads and appends it.
//!
//! Everything that changes the file goes through the [`writer`](super::writer), in order. What is on its way there is
//! kept in memory, so that an appended entry is readable at once. The log in memory and the log on disk differ only so:
//! entries in [`Tail::pending`] may be missing on disk; entries outside `(purged, last]` may still lie there, unseen.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use redb::{ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use roadstead_proto::offload::offload;

use super::codec::Stored;
use super::compaction::Compactor;
use super::writer::{Op, Writer};
use super::{Entry, LogId, Types, Vote};
use crate::config::Compaction;
use crate::store::files::{Closed, OpenDatabase, damaged, failed, open_database};
use crate::store::keys::{COMMITTED, ENTRIES, FACTS, LOG_CACHE_BYTES, LOG_FILE, LOG_FORMAT, PURGED, VOTE};
use crate::store::medium::Medium;
use crate::store::state::StateFile;

/// A replication request carries at most so many bytes of entries (and at least one entry): a follower must be able to
/// hold it, write it and answer within a heartbeat's patience.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log file with what is on its way to it.
pub(crate) struct LogFile {
    pub(super) database: OpenDatabase,
    compactor: Arc<Compactor>,
    tail: Mutex<Tail>,
}

/// The log as raft sees it, ahead of the disk.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// What the file has of `committed`.
    saved_committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    /// What the file has of `purged`: no entry may go before it says so.
    saved_purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    /// Appended and not yet synced: always the end of the log.
    pub(super) pending: BTreeMap<u64, Arc<Entry>>,
}

impl Tail {
    /// These entries are on disk now, and so is this commit index.
    pub(super) fn synced<'a>(&mut self, entries: impl Iterator<Item = &'a Arc<Entry>>, committed: Option<LogId>) {
        for entry in entries {
            // The index may have been truncated and appended anew since; then another entry waits there.
            if self.pending.get(&entry.log_id.index).is_some_and(|pending| Arc::ptr_eq(pending, entry)) {
                self.pending.remove(&entry.log_id.index);
            }
        }
        self.saved_committed = committed.or(self.saved_committed);
    }

    /// Up to where entries are purged, as far as the file may be told: what raft purges is in its memory first.
    pub(super) fn purged_on_disk(&self) -> Option<u64> {
        self.saved_purged.map(|id| id.index)
    }

    /// About how many of the file's bytes the entries after `covered` take: by their number, and the file has room besides,
    /// so that it is rather too many.
    fn share_after(&self, covered: Option<u64>, bytes: u64) -> u64 {
        let next = |index: Option<u64>| index.map_or(0, |index| index + 1);
        let (first, end) = (next(self.purged.map(|id| id.index)), next(self.last.map(|id| id.index)));
        let after = end.saturating_sub(first.max(next(covered)));
        if after == 0 { 0 } else { (u128::from(bytes) * u128::from(after) / u128::from(end - first)) as u64 }
    }

    /// The file says that these are purged.
    pub(super) fn purge_is_saved(&mut self, upto: LogId) {
        self.saved_purged = self.saved_purged.max(Some(upto));
    }

    /// Whether a commit now would bring the commit index forward.
    pub(super) fn committed_is_unsaved(&self) -> bool {
        self.committed != self.saved_committed && self.committed.map(|id| id.index) <= self.last.map(|id| id.index)
    }
}

impl LogFile {
    /// Opens the log of a directory, or creates it. The last snapshot covers `covered`.
    pub(crate) fn open(
        medium: &dyn Medium,
        directory: &Path,
        compaction: &Compaction,
        covered: Option<u64>,
    ) -> io::Result<(Self, Closed)> {
        let create_tables = |write: &WriteTransaction| write.open_table(ENTRIES).map(drop);
        let path = directory.join(LOG_FILE);
        let (database, closed) = open_database(medium, &path, LOG_CACHE_BYTES, LOG_FORMAT, create_tables)?;
        let tail = load_tail(&database.begin_read().map_err(failed)?)?;
        let grown = tail.share_after(covered, std::fs::metadata(&path)?.len());
        let compactor = Arc::new(Compactor::new(compaction.clone(), grown));
        Ok((Self { database, compactor, tail: Mutex::new(tail) }, closed))
    }

    /// Who says when the log is worth a snapshot.
    pub(crate) fn compactor(&self) -> &Arc<Compactor> {
        &self.compactor
    }

    /// Creates the log of a directory whose snapshot holds everything up to `last`.
    pub(crate) fn create_behind(medium: &dyn Medium, directory: &Path, last: LogId) -> io::Result<()> {
        let (log, _) = Self::open(medium, directory, &Compaction::default(), Some(last.index))?;
        let write = log.database.begin_write().map_err(failed)?;
        {
            let mut facts = write.open_table(FACTS).map_err(failed)?;
            facts.insert(PURGED, last.encode().as_slice()).map_err(failed)?;
            // Or the next term could be one that the log has been through.
            let vote = Vote { leader_id: last.leader_id, committed: true };
            facts.insert(VOTE, vote.encode().as_slice()).map_err(failed)?;
        }
        write.commit().map_err(failed)
    }

    /// The last entry of the log.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.tail().last.map(|last| last.index)
    }

    /// How many entries the log holds.
    pub(crate) fn length(&self) -> u64 {
        let tail = self.tail();
        let index = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
        index(tail.last) - index(tail.purged)
    }

    /// Whether nothing was ever voted or appended.
    pub(crate) fn is_pristine(&self) -> bool {
        let tail = self.tail();
        tail.vote.is_none() && tail.last.is_none()
    }

    pub(super) fn tail(&self) -> MutexGuard<'_, Tail> {
        // Every section under this lock only moves values; none can leave them half changed.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries of `[from, to)` as far as the log has them, at most `bytes` of them and at least one.
    fn read(&self, from: u64, to: u64, bytes: usize) -> io::Result<Vec<Entry>> {
        let (from, on_disk_until, transaction, pending) = {
            let tail = self.tail();
            let from = from.max(tail.purged.map_or(0, |purged| purged.index + 1));
            let to = to.min(tail.last.map_or(0, |last| last.index + 1));
            if from >= to {
                return Ok(Vec::new());
            }
            let on_disk_until = tail.pending.keys().next().map_or(to, |first| to.min(*first)).max(from);
            let pending: Vec<_> = tail.pending.range(on_disk_until..to).map(|(_, entry)| Arc::clone(entry)).collect();
            // Begun under the lock: what left `pending` before is in it, what leaves later was copied.
            let transaction =
                if from < on_disk_until { Some(self.database.begin_read().map_err(failed)?) } else { None };
            (from, on_disk_until, transaction, pending)
        };
        let mut entries = Vec::new();
        let mut room = bytes;
        if let Some(transaction) = transaction {
            room = read_disk(&transaction, from, on_disk_until, room, &mut entries)?;
        }
        for entry in pending {
            if room == 0 {
                break;
            }
            if bytes != usize::MAX {
                room = room.saturating_sub(entry.encoded_len());
            }
            entries.push((*entry).clone());
        }
        Ok(entries)
    }
}

/// Reads `[from, to)` whole, or until `room` bytes are used up; answers what is left of it, 0 where it stopped early.
fn read_disk(
    transaction: &ReadTransaction,
    from: u64,
    to: u64,
    mut room: usize,
    into: &mut Vec<Entry>,
) -> io::Result<usize> {
    let table = transaction.open_table(ENTRIES).map_err(failed)?;
    // A log need not begin at 0: the first entry of one that a snapshot started is later.
    let first = table.first().map_err(failed)?.map_or(from, |(first, _)| first.value());
    let mut expected = from.max(first.min(to));
    for row in table.range(from..to).map_err(failed)? {
        let (index, value) = row.map_err(failed)?;
        if index.value() != expected {
            break;
        }
        into.push(Entry::decode(value.value()).map_err(|error| {
            damaged(format!(
                "entry {expected} of the raft log cannot be read ({error}): it is damaged, or a newer version wrote it"
            ))
        })?);
        expected += 1;
        room = room.saturating_sub(value.value().len());
        if room == 0 && expected < to {
            return Ok(0);
        }
    }
    if expected == to {
        return Ok(room.max(1));
    }
    Err(damaged(format!("the raft log has no entry {expected}, though it holds later ones")))
}

fn load_tail(transaction: &ReadTransaction) -> io::Result<Tail> {
    let facts = transaction.open_table(FACTS).map_err(failed)?;
    let fact = |key: &str| facts.get(key).map_err(failed).map(|value| value.map(|value| value.value().to_vec()));
    let log_id = |key: &str| fact(key)?.map(|bytes| LogId::decode(&bytes)).transpose();
    let purged = log_id(PURGED)?;
    let entries = transaction.open_table(ENTRIES).map_err(failed)?;
    let last = match entries.last().map_err(failed)? {
        Some((_, value)) => Some(Entry::decode(value.value())?.log_id),
        None => None,
    };
    let committed = log_id(COMMITTED)?;
    Ok(Tail {
        vote: fact(VOTE)?.map(|bytes| Vote::decode(&bytes)).transpose()?,
        committed,
        saved_committed: committed,
        purged,
        saved_purged: purged,
        last: last.max(purged),
        pending: BTreeMap::new(),
    })
}

/// openraft's handle on the log.
pub(crate) struct LogStore {
    file: Arc<LogFile>,
    writer: Writer,
    state: Arc<StateFile>,
}

impl LogStore {
    /// The log over an opened file. Purging waits for a checkpoint of `state`.
    pub(crate) fn new(file: Arc<LogFile>, writer: Writer, state: Arc<StateFile>) -> Self {
        Self { file, writer, state }
    }
}

/// A reader of the log, for replication and apply.
#[derive(Clone)]
pub(crate) struct LogReader(Arc<LogFile>);

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = bounds(&range);
        self.0.read(from, to, usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.0.tail().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.0.read(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let tail = self.file.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader(Arc::clone(&self.file))
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.file.tail().vote = Some(*vote);
        self.writer.run(Op::Vote(*vote)).await
    }

    /// Not an operation of its own, which would cost an fsync per commit: the writer takes the latest value along.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.file.tail().committed = committed;
        self.writer.committed_moved();
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.file.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
        {
            let mut tail = self.file.tail();
            for entry in &entries {
                tail.pending.insert(entry.log_id.index, Arc::clone(entry));
            }
            if let Some(last) = entries.last() {
                tail.last = Some(last.log_id);
            }
        }
        self.writer.append(entries, flushed)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let keep = last.map_or(0, |last| last.index + 1);
        {
            let mut tail = self.file.tail();
            tail.pending.split_off(&keep);
            tail.last = tail.last.min(last).max(tail.purged);
        }
        self.writer.run(Op::TruncateFrom(keep)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        // openraft purges only what a snapshot holds, and a snapshot is offered after a checkpoint. Checked all the same:
        // entries that are gone before their effect is durable are lost for good.
        let state = Arc::clone(&self.state);
        offload(move || state.checkpoint_covering(upto.index)).await.map_err(failed)??;
        {
            let mut tail = self.file.tail();
            tail.purged = tail.purged.max(Some(upto));
            tail.last = tail.last.max(Some(upto));
            tail.pending = tail.pending.split_off(&(upto.index + 1));
        }
        // Raft does nothing else while it waits here, not even send heartbeats, and a purge may take its time: what comes
        // later is written later, and entries that a crash leaves behind the snapshot are purged again.
        self.writer.purge(upto)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
