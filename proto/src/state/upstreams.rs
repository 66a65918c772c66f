//! Upstreams.
//!
//! A deleted upstream leaves what was recorded of it behind: every read and every record asks for the upstream's row first, its
//! number is never given again, and to remove ten million rows here would hold up everybody. They are for a collector.

use super::command::{Outcome, Refusal};
use super::rows::{load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop, links, registries};
use crate::domain::epoch::Epoch;
use crate::domain::registry::{GroupId, Link, LinkId, Registry, RegistryId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{Upstream, UpstreamSettings};

/// The upstream of a number.
pub(super) fn upstream(context: &Context<'_>, id: UpstreamId) -> Result<Upstream, Stop> {
    Ok(load(context.rows, Table::Upstreams, &id_key(id.0))?.ok_or(Refusal::NoUpstream(id))?)
}

/// Creates an upstream and links it at a place that is free.
pub(super) fn add(
    context: &mut Context<'_>,
    registry: &Registry,
    position: u32,
    settings: &UpstreamSettings,
) -> Result<(UpstreamId, LinkId), Stop> {
    context.counters.last_upstream += 1;
    let upstream = Upstream {
        id: UpstreamId(context.counters.last_upstream),
        group: registry.group,
        settings: settings.clone(),
        epoch: Epoch::from(context.index),
        created_at: context.counters.now,
        updated_at: context.counters.now,
    };
    store(context.rows, Table::Upstreams, &id_key(upstream.id.0), &upstream)?;
    let link = links::add(context, registry.id, upstream.id, position)?;
    Ok((upstream.id, link))
}

/// Refused where another upstream of the group asks the same address as the same account.
fn check_twins(
    context: &Context<'_>,
    group: GroupId,
    but: Option<UpstreamId>,
    settings: &UpstreamSettings,
) -> Result<(), Stop> {
    let upstreams: Vec<Upstream> = load_all(context.rows, Table::Upstreams, &[])?;
    let mut others = upstreams.iter().filter(|upstream| upstream.group == group && Some(upstream.id) != but);
    match others.find(|other| other.settings.is_twin_of(settings)) {
        Some(twin) => Err(Refusal::Twin(twin.id).into()),
        None => Ok(()),
    }
}

pub(super) fn create(
    context: &mut Context<'_>,
    registry: RegistryId,
    settings: &UpstreamSettings,
    at_most: usize,
) -> Result<Outcome, Stop> {
    let registry = registries::registry(context, registry)?;
    check_twins(context, registry.group, None, settings)?;
    let position = links::next_position(&links::of_registry(context, registry.id)?, at_most)?;
    let (upstream, link) = add(context, &registry, position, settings)?;
    registries::void_routes(context, registry.id)?;
    context.configuration_changed();
    Ok(Outcome::UpstreamCreated { upstream, link, position })
}

pub(super) fn update(
    context: &mut Context<'_>,
    id: UpstreamId,
    settings: &UpstreamSettings,
    if_updated_at: Option<Timestamp>,
) -> Result<Outcome, Stop> {
    let mut upstream = upstream(context, id)?;
    if if_updated_at.is_some_and(|read| read != upstream.updated_at) {
        return Err(Refusal::Changed.into());
    }
    // A password sealed again is other bytes of the same password: the identity decides, not the ciphertext.
    let moved =
        upstream.settings.url != settings.url || upstream.settings.source().credential != settings.source().credential;
    if moved {
        // Twins that the first start made may be renamed: only what makes one is refused.
        check_twins(context, upstream.group, Some(id), settings)?;
        upstream.epoch = Epoch::from(context.index);
    }
    // Which upstreams are asked for a name depends on the rules too.
    if moved || upstream.settings.rules != settings.rules {
        void_routes(context, id)?;
    }
    upstream.settings = settings.clone();
    // Strictly later, or two changes within a millisecond would pass for one before `if_updated_at`.
    upstream.updated_at = context.counters.now.max(Timestamp(upstream.updated_at.0.saturating_add(1)));
    store(context.rows, Table::Upstreams, &id_key(id.0), &upstream)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

/// What an upstream at another address or for another account has is not known: where it said "not here", it may say
/// otherwise, and routes past it are void.
fn void_routes(context: &mut Context<'_>, upstream: UpstreamId) -> Result<(), Stop> {
    for registry in linked_to(context, upstream)? {
        registries::void_routes(context, registry)?;
    }
    Ok(())
}

/// The registries that have an upstream.
fn linked_to(context: &Context<'_>, upstream: UpstreamId) -> Result<Vec<RegistryId>, Stop> {
    let has_it = |link: &Link| link.upstream == upstream;
    Ok(links::all(context)?.into_iter().filter(has_it).map(|link| link.registry).collect())
}

/// Makes everything void that is cached of an upstream.
pub(super) fn void(context: &mut Context<'_>, id: UpstreamId) -> Result<(), Stop> {
    let mut upstream = upstream(context, id)?;
    upstream.epoch = Epoch::from(context.index);
    Ok(store(context.rows, Table::Upstreams, &id_key(id.0), &upstream)?)
}

pub(super) fn purge(context: &mut Context<'_>, id: UpstreamId) -> Result<Outcome, Stop> {
    void(context, id)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn delete(context: &mut Context<'_>, id: UpstreamId) -> Result<Outcome, Stop> {
    upstream(context, id)?;
    for registry in linked_to(context, id)? {
        links::remove(context, registry, id)?;
    }
    context.rows.delete(Table::Upstreams, &id_key(id.0))?;
    context.configuration_changed();
    Ok(Outcome::Done)
}
