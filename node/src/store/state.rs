//! The state file: applied rows, checkpoints, and the swap that a snapshot makes.
//!
//! Apply commits **without** fsync ([`redb::Durability::None`]): the log already holds every entry durably, so a crash
//! costs only their repetition. What a crash leaves is the last *checkpoint*, a commit with fsync. Two things rest on it and
//! wait for one: a snapshot is offered, and the log is purged, only up to an index that a checkpoint covers.
//!
//! Checkpoints also record redb's allocator ("quick repair"), which costs a second fsync but makes opening after a
//! crash independent of the size of the file; without it redb walks all of it, three times.

use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use prost::Message;
use redb::{Durability, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use roadstead_proto::wire::pb::raft::v1 as pb;

use super::files::{Closed, OpenDatabase, failed, open_database, part_of, replace};
use super::keys::{APPLIED, FACTS, MEMBERSHIP, ROWS, STATE_CACHE_BYTES, STATE_FILE, STATE_FORMAT};
use super::medium::Medium;
use super::rows::{ReadRows, WriteRows};

/// How far the rows have come.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Head {
    /// The last entry whose effect the rows hold.
    pub(crate) applied: Option<pb::LogId>,
    /// The last membership among the applied entries.
    pub(crate) membership: Option<pb::StoredMembership>,
}

impl Head {
    /// How many entries of the log's history the rows hold: the index after the last applied.
    fn count(&self) -> u64 {
        count(self.applied.as_ref())
    }
}

fn count(applied: Option<&pb::LogId>) -> u64 {
    applied.map_or(0, |applied| applied.index + 1)
}

struct Current {
    database: Arc<OpenDatabase>,
    closed: Closed,
}

/// The open state file.
pub(crate) struct StateFile {
    path: PathBuf,
    medium: Arc<dyn Medium>,
    /// Swapped whole when a snapshot is installed. Whoever reads keeps the database it began with.
    current: RwLock<Option<Current>>,
    /// Checkpoints and swaps exclude each other, or a checkpoint of the old file could pass for one of the new.
    upkeep: Mutex<()>,
    /// Entries below this index survive a crash.
    durable: AtomicU64,
    /// Entries below this index are applied.
    applied: AtomicU64,
}

impl StateFile {
    /// Opens the state file of a directory, or creates it.
    pub(crate) fn open(medium: Arc<dyn Medium>, directory: &Path) -> io::Result<Self> {
        let path = directory.join(STATE_FILE);
        let current = open(&*medium, &path)?;
        let head = head(&current.database.begin_read().map_err(failed)?)?;
        Ok(Self {
            path,
            medium,
            current: RwLock::new(Some(current)),
            upkeep: Mutex::new(()),
            durable: AtomicU64::new(head.count()),
            applied: AtomicU64::new(head.count()),
        })
    }

    fn database(&self) -> io::Result<Arc<OpenDatabase>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map(|current| Arc::clone(&current.database)).ok_or_else(|| failed("the state file is closed"))
    }

    /// Closes the file once its last reader is done; every later call fails.
    pub(crate) fn close(&self) -> Option<Closed> {
        let current = self.current.write().unwrap_or_else(PoisonError::into_inner).take();
        current.map(|current| current.closed)
    }

    fn upkeep(&self) -> MutexGuard<'_, ()> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows as they are now; later writes do not show.
    pub(crate) fn read(&self) -> io::Result<View> {
        let database = self.database()?;
        let transaction = database.begin_read().map_err(failed)?;
        let rows = ReadRows(transaction.open_table(ROWS).map_err(failed)?);
        Ok(View { rows, transaction, _database: database })
    }

    /// Changes rows and head in one transaction, visible at once and durable with the next checkpoint.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut WriteRows<'_>) -> io::Result<(T, Head)>) -> io::Result<T> {
        let database = self.database()?;
        let mut write = database.begin_write().map_err(failed)?;
        write.set_durability(Durability::None).map_err(failed)?;
        let mut rows = WriteRows(write.open_table(ROWS).map_err(failed)?);
        let (result, head) = change(&mut rows)?;
        drop(rows);
        put_head(&write, &head)?;
        write.commit().map_err(failed)?;
        self.applied.store(head.count(), Ordering::Release);
        Ok(result)
    }

    /// Makes everything applied so far durable. Apply waits meanwhile, reads do not.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        let _upkeep = self.upkeep();
        if self.unsynced() == 0 {
            return Ok(());
        }
        let mut write = self.database()?.begin_write().map_err(failed)?;
        write.set_quick_repair(true);
        // Read inside the transaction: no apply can come between this index and the commit that covers it.
        let covered = {
            let facts = write.open_table(FACTS).map_err(failed)?;
            count(applied(&facts)?.as_ref())
        };
        write.commit().map_err(failed)?;
        self.durable.store(covered, Ordering::Release);
        Ok(())
    }

    /// How many entries were applied since the last checkpoint, and would be applied again after a crash.
    pub(crate) fn unsynced(&self) -> u64 {
        self.applied.load(Ordering::Acquire).saturating_sub(self.durable.load(Ordering::Acquire))
    }

    /// The last entry applied.
    pub(crate) fn applied_index(&self) -> Option<u64> {
        self.applied.load(Ordering::Acquire).checked_sub(1)
    }

    /// Makes the effect of entry `index` durable, unless it is already or is not applied at all.
    pub(crate) fn checkpoint_covering(&self, index: u64) -> io::Result<()> {
        if self.durable.load(Ordering::Acquire) > index { Ok(()) } else { self.checkpoint() }
    }

    /// Builds a whole new state beside this one and swaps it in: after a crash there is the old state or the new one.
    ///
    /// `fill` is given the rows of the new state; it returns its head once it is sure of them.
    pub(crate) fn replace(&self, fill: impl FnOnce(&mut WriteRows<'_>) -> io::Result<Head>) -> io::Result<()> {
        let part = part_of(&self.path);
        if part.exists() {
            std::fs::remove_file(&part)?;
        }
        let fresh = open(&*self.medium, &part)?;
        let mut write = fresh.database.begin_write().map_err(failed)?;
        write.set_quick_repair(true);
        let mut rows = WriteRows(write.open_table(ROWS).map_err(failed)?);
        let head = fill(&mut rows)?;
        drop(rows);
        put_head(&write, &head)?;
        write.commit().map_err(failed)?;

        let _upkeep = self.upkeep();
        replace(&part, &self.path)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
        self.applied.store(head.count(), Ordering::Release);
        self.durable.store(head.count(), Ordering::Release);
        Ok(())
    }
}

/// The rows at one moment. Keeps the database open that it reads, even when another one has taken its place.
pub(crate) struct View {
    rows: ReadRows,
    transaction: ReadTransaction,
    _database: Arc<OpenDatabase>,
}

impl View {
    /// The rows of the keyspaces.
    pub(crate) fn rows(&self) -> &ReadRows {
        &self.rows
    }

    /// How far they had come.
    pub(crate) fn head(&self) -> io::Result<Head> {
        head(&self.transaction)
    }

    /// The last entry whose effect they hold: the head without the membership, which no read asks for.
    pub(crate) fn applied(&self) -> io::Result<Option<pb::LogId>> {
        applied(&self.transaction.open_table(FACTS).map_err(failed)?)
    }

    /// Every row with its whole key, in order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<()> {
        self.for_each_after(None, |key, value| visit(key, value).map(|()| true)).map(drop)
    }

    /// The same from after `after` on, for as long as `visit` wants more; whether that was all of it.
    pub(crate) fn for_each_after(
        &self,
        after: Option<&[u8]>,
        mut visit: impl FnMut(&[u8], &[u8]) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        for row in self.rows.0.range::<&[u8]>((start, Bound::Unbounded)).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            if !visit(key.value(), value.value())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl WriteRows<'_> {
    /// Sets a row by its whole key, as [`View::for_each`] gave it.
    pub(crate) fn put_whole(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.0.insert(key, value).map_err(failed)?;
        Ok(())
    }
}

fn open(medium: &dyn Medium, path: &Path) -> io::Result<Current> {
    let create_tables = |write: &WriteTransaction| write.open_table(ROWS).map(drop);
    let (database, closed) = open_database(medium, path, STATE_CACHE_BYTES, STATE_FORMAT, create_tables)?;
    Ok(Current { database: Arc::new(database), closed })
}

fn head(transaction: &ReadTransaction) -> io::Result<Head> {
    let facts = transaction.open_table(FACTS).map_err(failed)?;
    let membership = facts.get(MEMBERSHIP).map_err(failed)?;
    Ok(Head {
        applied: applied(&facts)?,
        membership: membership.map(|bytes| pb::StoredMembership::decode(bytes.value())).transpose().map_err(failed)?,
    })
}

fn applied(facts: &impl ReadableTable<&'static str, &'static [u8]>) -> io::Result<Option<pb::LogId>> {
    let bytes = facts.get(APPLIED).map_err(failed)?;
    bytes.map(|bytes| pb::LogId::decode(bytes.value())).transpose().map_err(failed)
}

fn put_head(write: &WriteTransaction, head: &Head) -> io::Result<()> {
    let mut facts = write.open_table(FACTS).map_err(failed)?;
    if let Some(applied) = &head.applied {
        facts.insert(APPLIED, applied.encode_to_vec().as_slice()).map_err(failed)?;
    }
    if let Some(membership) = &head.membership {
        facts.insert(MEMBERSHIP, membership.encode_to_vec().as_slice()).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
