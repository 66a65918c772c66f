//! Links: which upstreams a registry asks, in which order.
//!
//! Invariants: the positions of a registry's links are 1 to their number; an upstream is linked at most once to a registry;
//! both are of one group. Each change voids the registry's routes.

use super::command::{Outcome, Refusal};
use super::rows::{load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop, registries, upstreams};
use crate::domain::registry::{Link, LinkId, Registry, RegistryId, UpstreamId};

/// Every link there is.
pub(super) fn all(context: &Context<'_>) -> Result<Vec<Link>, Stop> {
    Ok(load_all(context.rows, Table::Links, &[])?)
}

/// The links of a registry, first asked first.
pub(super) fn of_registry(context: &Context<'_>, registry: RegistryId) -> Result<Vec<Link>, Stop> {
    let mut links = all(context)?;
    links.retain(|link| link.registry == registry);
    links.sort_by_key(|link| link.position);
    Ok(links)
}

/// The place behind the last one, refused where the registry has as many as it may.
pub(super) fn next_position(links: &[Link], at_most: usize) -> Result<u32, Stop> {
    let next = u32::try_from(links.len()).ok().and_then(|count| count.checked_add(1));
    next.filter(|_| links.len() < at_most).ok_or(Refusal::TooManyUpstreams(at_most).into())
}

/// Links an upstream at a place that is free.
pub(super) fn add(
    context: &mut Context<'_>,
    registry: RegistryId,
    upstream: UpstreamId,
    position: u32,
) -> Result<LinkId, Stop> {
    context.counters.last_link += 1;
    let link = Link { id: LinkId(context.counters.last_link), registry, upstream, position };
    store(context.rows, Table::Links, &id_key(link.id.0), &link)?;
    Ok(link.id)
}

/// Gives links the places in which they stand here.
fn place(context: &mut Context<'_>, links: &[Link]) -> Result<(), Stop> {
    for (position, link) in (1..).zip(links) {
        if link.position != position {
            store(context.rows, Table::Links, &id_key(link.id.0), &Link { position, ..*link })?;
        }
    }
    Ok(())
}

/// Removes links of one registry, closes the gaps, and voids its routes.
pub(super) fn remove(context: &mut Context<'_>, registry: RegistryId, upstream: UpstreamId) -> Result<(), Stop> {
    let (gone, rest): (Vec<_>, Vec<_>) =
        of_registry(context, registry)?.into_iter().partition(|link| link.upstream == upstream);
    for link in gone {
        context.rows.delete(Table::Links, &id_key(link.id.0))?;
    }
    place(context, &rest)?;
    registries::void_routes(context, registry)
}

fn link(context: &Context<'_>, id: LinkId) -> Result<Link, Stop> {
    Ok(load(context.rows, Table::Links, &id_key(id.0))?.ok_or(Refusal::NoLink(id))?)
}

pub(super) fn create(
    context: &mut Context<'_>,
    registry: RegistryId,
    upstream: UpstreamId,
    at_most: usize,
) -> Result<Outcome, Stop> {
    let Registry { id, group, .. } = registries::registry(context, registry)?;
    if upstreams::upstream(context, upstream)?.group != group {
        return Err(Refusal::OtherGroup(upstream).into());
    }
    let links = of_registry(context, id)?;
    if links.iter().any(|link| link.upstream == upstream) {
        return Err(Refusal::AlreadyLinked.into());
    }
    let position = next_position(&links, at_most)?;
    let link = add(context, id, upstream, position)?;
    registries::void_routes(context, id)?;
    context.configuration_changed();
    Ok(Outcome::Linked { link, position })
}

pub(super) fn shift(context: &mut Context<'_>, id: LinkId, position: u32) -> Result<Outcome, Stop> {
    let moved = link(context, id)?;
    if position == 0 {
        return Err(Refusal::NoPosition.into());
    }
    let mut links = of_registry(context, moved.registry)?;
    links.retain(|link| link.id != id);
    let before = links.len().min(usize::try_from(position - 1).unwrap_or(usize::MAX));
    links.insert(before, moved);
    let position = (1..).zip(&links).find(|(_, link)| link.id == id).map_or(position, |(position, _)| position);
    if position != moved.position {
        place(context, &links)?;
        registries::void_routes(context, moved.registry)?;
        context.configuration_changed();
    }
    Ok(Outcome::Linked { link: id, position })
}

pub(super) fn delete(context: &mut Context<'_>, id: LinkId) -> Result<Outcome, Stop> {
    let Link { registry, upstream, .. } = link(context, id)?;
    remove(context, registry, upstream)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}
