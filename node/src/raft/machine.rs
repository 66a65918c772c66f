//! Committed entries into rows, answers and changes.
//!
//! Each batch is one transaction without fsync; rows, the index they stand for and the membership move together. After a
//! crash raft applies again from the index in the state file. See [`StateFile`] for when that index becomes durable.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::offload::offload;
use roadstead_proto::state::apply;

use super::codec::Stored;
use super::compaction::Compactor;
use super::snapshot::{SnapshotFile, Snapshots};
use super::{Answer, Entry, LogId, Snapshot, SnapshotMeta, StoredMembership, Types, Write};
use crate::store::files::{damaged, failed};
use crate::store::rows::WriteRows;
use crate::store::state::{Head, StateFile, View};
use crate::watch::Publisher;

/// Most entries of one transaction: bounds its memory, and how long the first of them waits for its answer.
const BATCH_MAX: usize = 1024;

/// A checkpoint is due after so many entries. Each changes two or three pages of its own, and apply waits until all of them are
/// on the disk: some ten megabytes.
const CHECKPOINT_EVERY: u64 = 1024;

/// The metadata as openraft drives it.
pub(crate) struct Machine {
    state: Arc<StateFile>,
    snapshots: Arc<Snapshots>,
    publisher: Arc<Publisher>,
    compactor: Arc<Compactor>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// The machine over an opened state file.
    pub(crate) fn new(
        state: Arc<StateFile>,
        snapshots: Arc<Snapshots>,
        publisher: Arc<Publisher>,
        compactor: Arc<Compactor>,
    ) -> io::Result<Self> {
        let (applied, membership) = decode_head(state.read()?.head()?)?;
        Ok(Self { state, snapshots, publisher, compactor, applied, membership })
    }

    async fn apply_batch(&mut self, batch: Vec<EntryResponder<Types>>) -> io::Result<()> {
        let (entries, responders): (Vec<Entry>, Vec<Option<ApplyResponder<Types>>>) = batch.into_iter().unzip();
        let (mut applied, mut membership) = (self.applied, self.membership.clone());
        for entry in &entries {
            applied = Some(entry.log_id);
            if let Some(changed) = entry.get_membership() {
                membership = StoredMembership::new(applied, changed);
            }
        }
        let head = Head { applied: applied.map(|id| id.to_message()), membership: Some(membership.to_message()) };
        let state = Arc::clone(&self.state);
        // Not on a worker thread of the runtime: the transaction may have to wait for a checkpoint's fsync.
        let answers = offload(move || state.write(|rows| Ok((apply_entries(rows, &entries)?, head))));
        let answers = answers.await.map_err(failed)??;
        (self.applied, self.membership) = (applied, membership);
        // Readers see the rows by now: whoever hears of a change finds it.
        let changes = answers.iter().filter_map(|answer| answer.0.as_ref()).flat_map(|answer| &answer.changes);
        self.publisher.publish(changes, Revision(applied.map_or(0, |id| id.index)));
        for (responder, answer) in responders.into_iter().zip(answers) {
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        Ok(())
    }

    async fn checkpoint_if_due(&self) -> io::Result<()> {
        if self.state.unsynced() < CHECKPOINT_EVERY {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        offload(move || state.checkpoint()).await.map_err(failed)?
    }
}

fn decode_head(head: Head) -> io::Result<(Option<LogId>, StoredMembership)> {
    let applied = head.applied.map(LogId::from_message).transpose()?;
    Ok((applied, head.membership.map(StoredMembership::from_message).transpose()?.unwrap_or_default()))
}

fn apply_entries(rows: &mut WriteRows<'_>, entries: &[Entry]) -> io::Result<Vec<Answer>> {
    let answer = |entry: &Entry| match &entry.payload {
        EntryPayload::Blank | EntryPayload::Membership(_) => Ok(Answer(None)),
        EntryPayload::Normal(Write(proposal)) => {
            let applied = apply(rows, proposal, Revision(entry.log_id.index)).map_err(failed)?;
            Ok(Answer(Some(applied)))
        }
    };
    entries.iter().map(answer).collect()
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut batches = entries.ready_chunks(BATCH_MAX);
        while let Some(batch) = batches.next().await {
            self.apply_batch(batch.into_iter().collect::<io::Result<_>>()?).await?;
        }
        self.checkpoint_if_due().await
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if force || self.compactor.is_due(self.snapshots.current_bytes()) {
            return Some(self.get_snapshot_builder().await);
        }
        None
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        self.compactor.begins();
        // The view begins here, between two batches; the builder then reads it beside further ones.
        Builder {
            view: Some(self.state.read()),
            state: Arc::clone(&self.state),
            snapshots: Arc::clone(&self.snapshots),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        let (state, snapshots, meta) = (Arc::clone(&self.state), Arc::clone(&self.snapshots), meta.clone());
        let installed = offload(move || install(&state, &snapshots, meta, snapshot));
        (self.applied, self.membership) = decode_head(installed.await.map_err(failed)??)?;
        self.publisher.compact(Revision(self.applied.map_or(0, |id| id.index)));
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.snapshots.current()
    }
}

/// The snapshot file goes first: with it and the old state a restart installs it again; with the new state and the old
/// file, this member could not bring another one up to date.
fn install(state: &StateFile, snapshots: &Snapshots, meta: SnapshotMeta, snapshot: SnapshotFile) -> io::Result<Head> {
    let mut reader = snapshot.reader()?;
    let head = reader.head();
    if reader.meta()? != meta {
        return Err(damaged("the snapshot is not the one that was announced"));
    }
    snapshots.offer(snapshot, meta)?;
    state.replace(|rows| {
        while let Some((key, value)) = reader.next_row()? {
            rows.put_whole(&key, &value)?;
        }
        Ok(head.clone())
    })?;
    Ok(head)
}

/// Writes one snapshot, beside everything else.
pub(crate) struct Builder {
    view: Option<io::Result<View>>,
    state: Arc<StateFile>,
    snapshots: Arc<Snapshots>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let view = self.view.take().ok_or_else(|| failed("a builder builds one snapshot"))??;
        let (state, snapshots) = (Arc::clone(&self.state), Arc::clone(&self.snapshots));
        // Once it is offered, raft purges the log up to it: the state has to stand without those entries first.
        let build = move || snapshots.build(&view, || state.checkpoint());
        offload(build).await.map_err(failed)?
    }
}
