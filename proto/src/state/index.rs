//! The index of entries: what is cached of an upstream, newest first, and how much of it.
//!
//! Each right and each tag whose epoch is its upstream's has one row in the index, written by the command that records it, and
//! is counted once. Where an upstream's epoch rises, the index of the new epoch is empty and the count of the old one says
//! nothing any more: nothing has to be removed for what was purged to be gone from the list. Rows of an epoch that has passed
//! go when their entry is recorded anew.
//!
//! # How entries come in that were recorded before there was an index
//!
//! There is none until the first [`super::command::Command::IndexEntries`] is applied. From that point in the log on, every
//! command that records an entry keeps the index too, and each `IndexEntries` takes a step: it brings in the next
//! [`limits::INDEX_STEP`] tags, then rights, and notes how far it came, until it has seen all. So every replica does the same at the
//! same point of the log, whatever version applied what came before, a step holds up nobody for long, and memory holds
//! one step. Who proposes it: a gateway, as long as the answer is that more is to be done
//! ([`crate::meta::index_entries`]); never a node, since members of the version before would not know the command, and
//! gateways are upgraded last. Until the last step the list is incomplete and says so.

use super::command::Outcome;
use super::rows::{EntryCount, Indexed, Indexing, load, store};
use super::table::{self, Table, id_key};
use super::{Context, Stop};
use crate::domain::entry::{ContentKind, EntryRef, Right, TagEntry};
use crate::domain::epoch::Epoch;
use crate::domain::limits;
use crate::domain::registry::UpstreamId;
use crate::domain::time::Timestamp;
use crate::domain::upstream::Upstream;
use crate::state::rows::RowsError;
use crate::wire::Record;

/// What of an entry decides on its place in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    epoch: Epoch,
    created_at: Timestamp,
}

impl From<&Right> for Place {
    fn from(right: &Right) -> Self {
        Self { epoch: right.upstream_epoch, created_at: right.created_at }
    }
}

impl From<&TagEntry> for Place {
    fn from(tag: &TagEntry) -> Self {
        Self { epoch: tag.upstream_epoch, created_at: tag.created_at }
    }
}

impl Place {
    fn key(self, entry: &EntryRef) -> Vec<u8> {
        table::indexed_key(self.epoch, self.created_at, entry)
    }
}

fn is_kept(context: &Context<'_>) -> Result<bool, Stop> {
    Ok(context.rows.get(Table::Indexing, table::INDEXING_KEY)?.is_some())
}

/// An entry was recorded; `before` is what stood in its row until then, of whichever epoch.
pub(super) fn recorded(
    context: &mut Context<'_>,
    entry: &EntryRef,
    kind: ContentKind,
    before: Option<Place>,
    now: Place,
) -> Result<(), Stop> {
    if !is_kept(context)? {
        return Ok(());
    }
    let before = before.filter(|before| *before != now);
    if let Some(before) = before {
        remove(context, entry, before)?;
        if before.epoch != now.epoch {
            // It is another entry than the one of this name that was purged: downloads count from its creation.
            context.rows.delete(Table::Usage, &table::entry_key(entry))?;
        }
    }
    add(context, entry, kind, now)
}

/// The row of an entry was removed.
pub(super) fn forgotten(context: &mut Context<'_>, entry: &EntryRef, was: Place) -> Result<(), Stop> {
    if is_kept(context)? { remove(context, entry, was) } else { Ok(()) }
}

fn add(context: &mut Context<'_>, entry: &EntryRef, kind: ContentKind, place: Place) -> Result<(), Stop> {
    let key = place.key(entry);
    let known: Option<Indexed> = load(context.rows, Table::Indexed, &key)?;
    if known == Some(Indexed { kind }) {
        return Ok(());
    }
    store(context.rows, Table::Indexed, &key, &Indexed { kind })?;
    if known.is_none() {
        let entries = count(context, entry.upstream, place.epoch)?.saturating_add(1);
        store_count(context, entry.upstream, EntryCount { epoch: place.epoch, entries })?;
    }
    Ok(())
}

fn remove(context: &mut Context<'_>, entry: &EntryRef, place: Place) -> Result<(), Stop> {
    let key = place.key(entry);
    if context.rows.get(Table::Indexed, &key)?.is_none() {
        return Ok(());
    }
    context.rows.delete(Table::Indexed, &key)?;
    let counted: Option<EntryCount> = load(context.rows, Table::EntryCounts, &id_key(entry.upstream.0))?;
    match counted.filter(|counted| counted.epoch == place.epoch) {
        Some(EntryCount { epoch, entries }) => {
            store_count(context, entry.upstream, EntryCount { epoch, entries: entries.saturating_sub(1) })
        }
        // Of an epoch that has passed: it counts no more.
        None => Ok(()),
    }
}

fn count(context: &Context<'_>, upstream: UpstreamId, epoch: Epoch) -> Result<u64, Stop> {
    let counted: Option<EntryCount> = load(context.rows, Table::EntryCounts, &id_key(upstream.0))?;
    Ok(counted.filter(|counted| counted.epoch == epoch).map_or(0, |counted| counted.entries))
}

fn store_count(context: &mut Context<'_>, upstream: UpstreamId, count: EntryCount) -> Result<(), Stop> {
    Ok(store(context.rows, Table::EntryCounts, &id_key(upstream.0), &count)?)
}

/// One step of bringing in what was recorded before; answers whether all of it is in.
pub(super) fn step(context: &mut Context<'_>) -> Result<Outcome, Stop> {
    let progress: Option<Indexing> = load(context.rows, Table::Indexing, table::INDEXING_KEY)?;
    let (of, after) = match progress {
        None => (Table::Tags, None),
        Some(Indexing::Tags { after }) => (Table::Tags, after),
        Some(Indexing::Rights { after }) => (Table::Rights, after),
        Some(Indexing::Complete) => return Ok(Outcome::EntriesIndexed { complete: true }),
    };
    let rows = context.rows.scan(of, &[], after.as_deref(), limits::INDEX_STEP)?;
    for (key, value) in &rows {
        bring_in(context, of, key, value)?;
    }
    let after = rows.into_iter().next_back().map(|(key, _)| key);
    let progress = match (of, after) {
        (Table::Tags, None) => Indexing::Rights { after: None },
        (Table::Tags, after) => Indexing::Tags { after },
        (_, None) => Indexing::Complete,
        (_, after) => Indexing::Rights { after },
    };
    store(context.rows, Table::Indexing, table::INDEXING_KEY, &progress)?;
    Ok(Outcome::EntriesIndexed { complete: progress == Indexing::Complete })
}

fn bring_in(context: &mut Context<'_>, of: Table, key: &[u8], value: &[u8]) -> Result<(), Stop> {
    let (entry, kind, place) = if of == Table::Tags {
        let tag = TagEntry::decode(value).map_err(RowsError::new)?;
        (table::entry_of_tag_key(key), ContentKind::Manifest, Place::from(&tag))
    } else {
        let right = Right::decode(value).map_err(RowsError::new)?;
        (table::entry_of_content_key(key), right.kind, Place::from(&right))
    };
    let entry = entry.ok_or_else(|| RowsError::new("an entry's key names no entry"))?;
    let upstream: Option<Upstream> = load(context.rows, Table::Upstreams, &id_key(entry.upstream.0))?;
    match upstream.filter(|upstream| upstream.epoch == place.epoch) {
        Some(_) => add(context, &entry, kind, place),
        None => Ok(()),
    }
}
