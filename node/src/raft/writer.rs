//! The one writer of the log file: group commit.
//!
//! Operations queue up while a commit runs; the next commit takes all of them, so that any number of proposals waiting
//! at the same time cost one fsync. An operation is answered only after the commit that holds it. Order in the file is
//! the order of the queue: a vote and the entries appended under it can never change places.
//!
//! Commits are offloaded like all such work and have no thread of their own, so that a simulation can keep them on its.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::storage::IOFlushed;
use redb::{Durability, ReadableTable, Table};
use roadstead_proto::offload::offload;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::codec::Stored;
use super::compaction::Compactor;
use super::log::LogFile;
use super::{Entry, LogId, Types, Vote};
use crate::store::files::failed;
use crate::store::keys::{COMMITTED, ENTRIES, FACTS, PURGED, VOTE};

/// Most operations of one commit: bounds what a crash in the middle makes redb roll back, and the wait of the first.
const BATCH_MAX: usize = 256;

/// Entries removed in one step of a sweep: two or three milliseconds, for which a proposal may have to wait.
const SWEEP_STEP: u64 = 500;

/// How long a moved commit index may wait for a commit to travel with. After a crash this member shows at worst
/// what it showed so long before, even while there is no quorum.
const COMMITTED_LAG: Duration = Duration::from_millis(50);

/// A change of the log file.
pub(super) enum Op {
    Append(Vec<Arc<Entry>>),
    Vote(Vote),
    /// Removes entries at and after this index.
    TruncateFrom(u64),
    /// Entries up to and including this one are gone. They still lie there, unseen, until they are swept.
    Purge(LogId),
    /// Changes nothing; answered when everything before it, and the commit index, is durable.
    Flush,
    /// The commit index has moved. No reason for a commit of its own, unless none comes for a while.
    CommittedMoved,
}

enum Answer {
    Raft(IOFlushed<Types>),
    Caller(oneshot::Sender<io::Result<()>>),
    Nobody,
}

impl Answer {
    fn give(self, result: &io::Result<()>) {
        // `io::Error` cannot be cloned, and one failed commit fails many.
        let result = result.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
        match self {
            Self::Raft(flushed) => flushed.io_completed(result),
            // A caller that does not wait any more needs no answer.
            Self::Caller(sender) => drop(sender.send(result)),
            Self::Nobody => {}
        }
    }
}

struct Job {
    op: Op,
    answer: Answer,
}

/// The way into the queue.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Job>,
}

impl Writer {
    /// Starts the writer of a log file. It ends when the last handle is gone, after everything queued.
    ///
    /// The queue is not bounded by itself: each append belongs to callers that wait for it.
    pub(crate) fn start(file: Arc<LogFile>) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        tokio::spawn(drive(file, jobs));
        Self { queue }
    }

    pub(super) fn append(&self, entries: Vec<Arc<Entry>>, flushed: IOFlushed<Types>) -> io::Result<()> {
        self.send(Job { op: Op::Append(entries), answer: Answer::Raft(flushed) })
    }

    /// Removes entries up to and including `upto`, before whatever is queued after this.
    pub(super) fn purge(&self, upto: LogId) -> io::Result<()> {
        self.send(Job { op: Op::Purge(upto), answer: Answer::Nobody })
    }

    /// The commit index has moved; the next commit takes it along.
    pub(super) fn committed_moved(&self) {
        // Fails only where the writer has stopped, which every real operation reports.
        let _ = self.send(Job { op: Op::CommittedMoved, answer: Answer::Nobody });
    }

    /// Runs one operation; returns once it is durable.
    pub(super) async fn run(&self, op: Op) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.send(Job { op, answer: Answer::Caller(sender) })?;
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Returns once everything queued before is durable, the commit index included.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.run(Op::Flush).await
    }

    fn send(&self, job: Job) -> io::Result<()> {
        self.queue.send(job).map_err(|_| stopped())
    }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the writer of the raft log has stopped")
}

type Jobs = mpsc::UnboundedReceiver<Job>;

async fn drive(file: Arc<LogFile>, mut jobs: Jobs) {
    let mut batch = Vec::new();
    let mut lazy_commit_at: Option<Instant> = None;
    // A crash may have left something to sweep.
    let (mut is_swept, mut swept_to) = (false, None);
    loop {
        while !is_swept && !jobs.is_closed() {
            swept_to = file.tail().purged_on_disk();
            is_swept = sweep_some(&file).await;
            if !jobs.is_empty() {
                break;
            }
        }
        let received = match lazy_commit_at {
            Some(at) => timeout_at(at, jobs.recv_many(&mut batch, BATCH_MAX)).await.ok(),
            None => Some(jobs.recv_many(&mut batch, BATCH_MAX).await),
        };
        let closed = received == Some(0);
        if received.is_some() && !closed && is_lazy(&batch) {
            batch.clear();
            lazy_commit_at.get_or_insert_with(|| Instant::now() + COMMITTED_LAG);
            continue;
        }
        let (task_file, first) = (Arc::clone(&file), std::mem::take(&mut batch));
        let committed = offload(move || commit_all(&task_file, first, jobs)).await;
        let is_sound;
        (jobs, is_sound) = match committed {
            Ok(result) => result,
            Err(error) => {
                tracing::error!(%error, "the writer of the raft log has failed");
                return;
            }
        };
        if closed {
            return;
        }
        is_swept &= file.tail().purged_on_disk() == swept_to;
        // Where a commit failed, redb refuses all further ones: those who ask are told, nobody else tries.
        let is_due = is_sound && file.tail().committed_is_unsaved();
        lazy_commit_at = is_due.then(|| Instant::now() + COMMITTED_LAG);
    }
}

/// Removes some of what is purged; whether nothing is left of it. Without fsync: the next commit makes it durable, and what
/// a crash brings back is swept again.
async fn sweep_some(file: &Arc<LogFile>) -> bool {
    let file = Arc::clone(file);
    let swept = offload(move || sweep(&file)).await.map_err(failed).flatten();
    // Where the file cannot be written, the next real operation says so.
    swept.inspect_err(|error| tracing::error!(%error, "purged log entries could not be removed")).unwrap_or(true)
}

fn sweep(file: &LogFile) -> io::Result<bool> {
    let Some(purged) = file.tail().purged_on_disk() else { return Ok(true) };
    let mut transaction = file.database.begin_write().map_err(failed)?;
    transaction.set_durability(Durability::None).map_err(failed)?;
    let mut entries = transaction.open_table(ENTRIES).map_err(failed)?;
    let Some(first) = entries.first().map_err(failed)?.map(|(first, _)| first.value()) else { return Ok(true) };
    if first > purged {
        return Ok(true);
    }
    entries.retain_in::<u64, _>(first..=purged.min(first + SWEEP_STEP), |_, _| false).map_err(failed)?;
    drop(entries);
    transaction.commit().map_err(failed)?;
    Ok(false)
}

fn is_lazy(batch: &[Job]) -> bool {
    batch.iter().all(|job| matches!(job.op, Op::CommittedMoved))
}

/// Commits the first batch, then whatever has queued up meanwhile, until nothing has; answers whether the last commit held.
fn commit_all(file: &LogFile, first: Vec<Job>, mut jobs: Jobs) -> (Jobs, bool) {
    let mut batch = first;
    loop {
        let is_sound = commit(file, batch);
        batch = std::iter::from_fn(|| jobs.try_recv().ok()).take(BATCH_MAX).collect();
        if is_lazy(&batch) {
            return (jobs, is_sound);
        }
    }
}

fn commit(file: &LogFile, batch: Vec<Job>) -> bool {
    // Read before the transaction, so that it never runs ahead of the entries in it.
    let committed = file.tail().committed;
    let result = write(file, &batch, committed);
    if let Err(error) = &result {
        tracing::error!(%error, "the raft log could not be written");
    }
    if let Ok(saved) = &result {
        let mut tail = file.tail();
        tail.synced(batch.iter().flat_map(Job::entries), *saved);
        batch.iter().filter_map(Job::purges).for_each(|upto| tail.purge_is_saved(upto));
    }
    let result = result.map(drop);
    for job in batch {
        job.answer.give(&result);
    }
    result.is_ok()
}

impl Job {
    fn purges(&self) -> Option<LogId> {
        match self.op {
            Op::Purge(upto) => Some(upto),
            _ => None,
        }
    }

    fn entries(&self) -> &[Arc<Entry>] {
        match &self.op {
            Op::Append(entries) => entries,
            _ => &[],
        }
    }
}

/// One transaction, one fsync. Answers the commit index it took along, if any.
fn write(file: &LogFile, batch: &[Job], committed: Option<LogId>) -> io::Result<Option<LogId>> {
    let transaction = file.database.begin_write().map_err(failed)?;
    let saved = {
        let mut entries = transaction.open_table(ENTRIES).map_err(failed)?;
        let mut facts = transaction.open_table(FACTS).map_err(failed)?;
        for job in batch {
            perform(&job.op, &mut entries, &mut facts, file.compactor())?;
        }
        // A follower may commit what it has not synced yet. The saved commit index must not point past the
        // saved entries: it is what a restart applies up to.
        let purged = facts.get(PURGED).map_err(failed)?.map(|bytes| LogId::decode(bytes.value())).transpose()?;
        let last = entries.last().map_err(failed)?.map(|(index, _)| index.value()).max(purged.map(|id| id.index));
        let saved = committed.filter(|committed| Some(committed.index) <= last);
        if let Some(committed) = saved {
            facts.insert(COMMITTED, committed.encode().as_slice()).map_err(failed)?;
        }
        saved
    };
    transaction.commit().map_err(failed)?;
    Ok(saved)
}

fn perform(
    op: &Op,
    entries: &mut Table<'_, u64, &[u8]>,
    facts: &mut Table<'_, &str, &[u8]>,
    compactor: &Compactor,
) -> io::Result<()> {
    match op {
        Op::Append(new) => {
            for entry in new {
                let bytes = entry.encode();
                compactor.grew(bytes.len() as u64);
                entries.insert(entry.log_id.index, bytes.as_slice()).map_err(failed)?;
            }
        }
        Op::Vote(vote) => {
            facts.insert(VOTE, vote.encode().as_slice()).map_err(failed)?;
        }
        Op::TruncateFrom(index) => entries.retain_in::<u64, _>(*index.., |_, _| false).map_err(failed)?,
        Op::Purge(upto) => {
            facts.insert(PURGED, upto.encode().as_slice()).map_err(failed)?;
        }
        Op::Flush | Op::CommittedMoved => {}
    }
    Ok(())
}
