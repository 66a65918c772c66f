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
use redb::{ReadableTable, Table};
use roadstead_proto::offload::offload;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::codec::Stored;
use super::log::LogFile;
use super::{Entry, LogId, Types, Vote};
use crate::store::files::failed;
use crate::store::keys::{COMMITTED, ENTRIES, FACTS, PURGED, VOTE};

/// Most operations of one commit: bounds what a crash in the middle makes redb roll back, and the wait of the first.
const BATCH_MAX: usize = 256;

/// How long a moved commit index may wait for a commit to travel with. After a crash this member shows at worst
/// what it showed so long before, even while there is no quorum.
const COMMITTED_LAG: Duration = Duration::from_millis(50);

/// A change of the log file.
pub(super) enum Op {
    Append(Vec<Arc<Entry>>),
    Vote(Vote),
    /// Removes entries at and after this index.
    TruncateFrom(u64),
    /// Removes entries up to and including this one.
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
    loop {
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
        // Where a commit failed, redb refuses all further ones: those who ask are told, nobody else tries.
        let is_due = is_sound && file.tail().committed_is_unsaved();
        lazy_commit_at = is_due.then(|| Instant::now() + COMMITTED_LAG);
    }
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
        file.tail().synced(batch.iter().flat_map(Job::entries), *saved);
    }
    let result = result.map(drop);
    for job in batch {
        job.answer.give(&result);
    }
    result.is_ok()
}

impl Job {
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
            perform(&job.op, &mut entries, &mut facts)?;
        }
        // A follower may commit what it has not synced yet. The saved commit index must not point past the
        // saved entries: it is what a restart applies up to.
        let last = match entries.last().map_err(failed)? {
            Some((index, _)) => Some(index.value()),
            None => facts
                .get(PURGED)
                .map_err(failed)?
                .map(|bytes| LogId::decode(bytes.value()))
                .transpose()?
                .map(|id| id.index),
        };
        let saved = committed.filter(|committed| Some(committed.index) <= last);
        if let Some(committed) = saved {
            facts.insert(COMMITTED, committed.encode().as_slice()).map_err(failed)?;
        }
        saved
    };
    transaction.commit().map_err(failed)?;
    Ok(saved)
}

fn perform(op: &Op, entries: &mut Table<'_, u64, &[u8]>, facts: &mut Table<'_, &str, &[u8]>) -> io::Result<()> {
    match op {
        Op::Append(new) => {
            for entry in new {
                entries.insert(entry.log_id.index, entry.encode().as_slice()).map_err(failed)?;
            }
        }
        Op::Vote(vote) => {
            facts.insert(VOTE, vote.encode().as_slice()).map_err(failed)?;
        }
        Op::TruncateFrom(index) => entries.retain_in::<u64, _>(*index.., |_, _| false).map_err(failed)?,
        Op::Purge(upto) => {
            entries.retain_in::<u64, _>(..=upto.index, |_, _| false).map_err(failed)?;
            facts.insert(PURGED, upto.encode().as_slice()).map_err(failed)?;
        }
        Op::Flush | Op::CommittedMoved => {}
    }
    Ok(())
}
