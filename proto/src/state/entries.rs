//! What the cache knows: locations, rights, tags, routes, descriptors, usage.

use super::command::{Changed, Outcome, Recorded, Refusal};
use super::index::{self, Place};
use super::leases::{outdated, surrender};
use super::rows::{Delivery, Purge, load, store};
use super::table::{self, Table, id_key};
use super::{Context, Stop, read};
use crate::domain::digest::Digest;
use crate::domain::entry::{BlobLocation, ContentKind, EntryRef, Right, Route, TagEntry, TagKey, Touch, Usage};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::image::{Reference, Tag};
use crate::domain::lease::{Completion, Delivered, EarnedByHead, TagVerdict};
use crate::domain::upstream::Upstream;

pub(super) fn complete(context: &mut Context<'_>, completion: &Completion) -> Result<Outcome, Stop> {
    surrender(context, &completion.key, completion.token)?;
    let id = completion.entry.upstream;
    let Some(upstream) = load::<Upstream>(context.rows, Table::Upstreams, &id_key(id.0))? else {
        return Ok(Outcome::Completed(Recorded::Outdated));
    };
    if is_outdated(context, &upstream, &completion.entry, completion.began)? {
        return Ok(Outcome::Completed(Recorded::Outdated));
    }
    let location = match &completion.delivered {
        None => None,
        Some(delivered) => {
            let by_digest = digest_entry(&completion.entry, delivered.object.digest);
            if is_outdated(context, &upstream, &by_digest, completion.began)? {
                return Ok(Outcome::Completed(Recorded::Outdated));
            }
            if delivered.copied {
                // The right may have gone since the copy began; then there is nobody to say whose it is.
                if read::right(context.rows, &upstream, &by_digest.repository, &delivered.object.digest)?.is_none() {
                    return Ok(Outcome::Completed(Recorded::Outdated));
                }
                Some(record_location(context, delivered)?)
            } else {
                Some(record_delivery(context, &upstream, &by_digest, delivered)?)
            }
        }
    };
    if let (Some(verdict), Reference::Tag(tag)) = (&completion.tag, &completion.entry.reference) {
        record_tag(context, &upstream, &completion.entry, tag, verdict)?;
    }
    Ok(Outcome::Completed(Recorded::Live(location)))
}

/// Whether the upstream changed, or the entry was purged, after the work began.
fn is_outdated(context: &Context<'_>, upstream: &Upstream, entry: &EntryRef, began: Revision) -> Result<bool, Stop> {
    let purge: Option<Purge> = load(context.rows, Table::Purges, &table::entry_key(entry))?;
    Ok(outdated(upstream.epoch, began) || purge.is_some_and(|purge| outdated(purge.epoch, began)))
}

fn digest_entry(entry: &EntryRef, digest: Digest) -> EntryRef {
    EntryRef { upstream: entry.upstream, repository: entry.repository.clone(), reference: Reference::Digest(digest) }
}

/// Makes the object the live one of its region, unless there is one.
fn record_location(context: &mut Context<'_>, delivered: &Delivered) -> Result<BlobLocation, Stop> {
    let digest = delivered.object.digest;
    match read::location(context.rows, &digest, &delivered.region)? {
        Some(live) if delivered.replaces != Some(live.key.token) => Ok(live),
        _ => {
            let stored_at = context.counters.now;
            let location = BlobLocation { key: delivered.object, size: delivered.size, stored_at };
            store(context.rows, Table::Locations, &table::location_key(&digest, &delivered.region), &location)?;
            Ok(location)
        }
    }
}

fn record_delivery(
    context: &mut Context<'_>,
    upstream: &Upstream,
    entry: &EntryRef,
    delivered: &Delivered,
) -> Result<BlobLocation, Stop> {
    let now = context.counters.now;
    let digest = delivered.object.digest;
    let location = record_location(context, delivered)?;
    let key = table::content_key(upstream.id, &entry.repository, &digest);
    let before: Option<Right> = load(context.rows, Table::Rights, &key)?;
    let earlier = before.as_ref().filter(|right| right.upstream_epoch == upstream.epoch);
    let right = Right {
        size: delivered.size,
        media_type: delivered.media_type.clone(),
        kind: delivered.kind,
        sha1: delivered.sha1,
        created_at: earlier.map_or(now, |right| right.created_at),
        upstream_epoch: upstream.epoch,
    };
    store(context.rows, Table::Rights, &key, &right)?;
    index::recorded(context, entry, right.kind, before.as_ref().map(Place::from), Place::from(&right))?;
    let delivery = table::delivery_key(&upstream.settings.url.origin(), &digest);
    store(context.rows, Table::Deliveries, &delivery, &Delivery { at: now })?;
    for child in &delivered.children {
        let key = table::content_key(upstream.id, &entry.repository, &child.digest);
        store(context.rows, Table::Descriptors, &key, child)?;
    }
    Ok(location)
}

fn record_tag(
    context: &mut Context<'_>,
    upstream: &Upstream,
    entry: &EntryRef,
    tag: &Tag,
    verdict: &TagVerdict,
) -> Result<(), Stop> {
    let now = context.counters.now;
    let key = table::tag_key(upstream.id, &entry.repository, tag);
    let before: Option<TagEntry> = load(context.rows, Table::Tags, &key)?;
    let place = before.as_ref().map(Place::from);
    let earlier = before.filter(|tag| tag.upstream_epoch == upstream.epoch);
    match verdict {
        TagVerdict::Gone => {
            if let Some(mut gone) = earlier {
                gone.gone_since.get_or_insert(now);
                gone.checked_at = now;
                store(context.rows, Table::Tags, &key, &gone)?;
            }
        }
        TagVerdict::Names { digest, upstream_etag, registry, not_here, routing, age } => {
            let checked_at = now.before(*age);
            // What is recorded late must not take the place of what was said since.
            if !age.is_zero() && earlier.as_ref().is_some_and(|known| known.checked_at >= checked_at) {
                return Ok(());
            }
            let moved = earlier.as_ref().is_none_or(|tag| tag.digest != *digest);
            let tag_entry = TagEntry {
                digest: *digest,
                checked_at,
                created_at: earlier.as_ref().map_or(now, |tag| tag.created_at),
                updated_at: earlier.as_ref().filter(|_| !moved).map_or(now, |tag| tag.updated_at),
                upstream_etag: upstream_etag.clone(),
                gone_since: None,
                upstream_epoch: upstream.epoch,
            };
            store(context.rows, Table::Tags, &key, &tag_entry)?;
            index::recorded(context, entry, ContentKind::Manifest, place, Place::from(&tag_entry))?;
            if let Some(registry) = *registry {
                let route_key = TagKey { registry, repository: entry.repository.clone(), tag: tag.clone() };
                let route = Route { upstream: upstream.id, not_here: not_here.clone(), routing: *routing };
                store(context.rows, Table::Routes, &table::route_key(&route_key), &route)?;
            }
        }
    }
    Ok(())
}

pub(super) fn earn_right(context: &mut Context<'_>, earned: &EarnedByHead) -> Result<Outcome, Stop> {
    let EntryRef { upstream: id, repository, reference } = &earned.entry;
    let upstream: Upstream = load(context.rows, Table::Upstreams, &id_key(id.0))?.ok_or(Refusal::NoUpstream(*id))?;
    if upstream.epoch != earned.upstream_epoch || is_outdated(context, &upstream, &earned.entry, earned.began)? {
        return Err(Refusal::EpochChanged.into());
    }
    let digest = reference.digest().ok_or(Refusal::NotDelivered)?;
    let location = read::location(context.rows, digest, &earned.region)?.ok_or(Refusal::NotDelivered)?;
    if !read::delivered(context.rows, &upstream.settings.url.origin(), digest)? {
        return Err(Refusal::NotDelivered.into());
    }
    let right = Right {
        size: location.size,
        media_type: earned.media_type.clone(),
        kind: earned.kind,
        sha1: None,
        created_at: context.counters.now,
        upstream_epoch: upstream.epoch,
    };
    let key = table::content_key(*id, repository, digest);
    let before: Option<Right> = load(context.rows, Table::Rights, &key)?;
    store(context.rows, Table::Rights, &key, &right)?;
    index::recorded(context, &earned.entry, right.kind, before.as_ref().map(Place::from), Place::from(&right))?;
    Ok(Outcome::Done)
}

pub(super) fn purge(context: &mut Context<'_>, entry: &EntryRef) -> Result<Outcome, Stop> {
    let place = match &entry.reference {
        Reference::Tag(tag) => {
            let key = table::tag_key(entry.upstream, &entry.repository, tag);
            let before: Option<TagEntry> = load(context.rows, Table::Tags, &key)?;
            context.rows.delete(Table::Tags, &key)?;
            before.as_ref().map(Place::from)
        }
        Reference::Digest(digest) => {
            let key = table::content_key(entry.upstream, &entry.repository, digest);
            let before: Option<Right> = load(context.rows, Table::Rights, &key)?;
            context.rows.delete(Table::Rights, &key)?;
            before.as_ref().map(Place::from)
        }
    };
    if let Some(place) = place {
        index::forgotten(context, entry, place)?;
    }
    let key = table::entry_key(entry);
    context.rows.delete(Table::Usage, &key)?;
    store(context.rows, Table::Purges, &key, &Purge { epoch: Epoch::from(context.index), at: context.counters.now })?;
    context.changed(Changed::Purged(entry.clone()));
    Ok(Outcome::Done)
}

pub(super) fn record_usage(context: &mut Context<'_>, touches: &[Touch]) -> Result<Outcome, Stop> {
    for touch in touches {
        let key = table::entry_key(&touch.entry);
        let mut usage: Usage = load(context.rows, Table::Usage, &key)?.unwrap_or_default();
        usage.downloads = usage.downloads.saturating_add(touch.downloads);
        usage.downloaded_at = usage.downloaded_at.max(touch.downloaded_at);
        store(context.rows, Table::Usage, &key, &usage)?;
    }
    Ok(Outcome::Done)
}
