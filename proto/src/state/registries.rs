//! Groups and virtual registries.

use super::command::{CreateRegistry, Outcome, Refusal, UpdateRegistry};
use super::rows::{load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop, links, upstreams};
use crate::domain::registry::{Group, GroupId, GroupRef, Link, Registry, RegistryId, UpstreamId};
use crate::domain::text::DisplayName;

/// The registry of a number.
pub(super) fn registry(context: &Context<'_>, id: RegistryId) -> Result<Registry, Stop> {
    Ok(load(context.rows, Table::Registries, &id_key(id.0))?.ok_or(Refusal::NoRegistry(id))?)
}

/// Refused where there is no such group.
pub(super) fn check_group(context: &Context<'_>, id: GroupId) -> Result<(), Stop> {
    let group: Option<Group> = load(context.rows, Table::Groups, &id_key(id.0))?;
    group.map(drop).ok_or(Refusal::NoGroup(id).into())
}

/// A way of its routes that was decided before is void.
pub(super) fn void_routes(context: &mut Context<'_>, id: RegistryId) -> Result<(), Stop> {
    let mut registry = registry(context, id)?;
    registry.routing = context.index;
    Ok(store(context.rows, Table::Registries, &id_key(id.0), &registry)?)
}

pub(super) fn create(context: &mut Context<'_>, create: &CreateRegistry) -> Result<Outcome, Stop> {
    let known = find_group(context, &create.group)?;
    if known.is_none() && !create.create_group {
        return Err(match create.group {
            GroupRef::Id(id) => Refusal::NoGroup(id),
            GroupRef::Path(_) => Refusal::NoGroupPath,
        }
        .into());
    }
    let others = match known {
        Some(group) => of_group(context, group)?,
        None => Vec::new(),
    };
    check_name(&others, &create.name)?;
    if others.len() >= create.at_most {
        return Err(Refusal::TooManyRegistries(create.at_most).into());
    }
    let group = match known {
        Some(group) => group,
        None => create_group(context, &create.group)?,
    };
    let now = context.counters.now;
    context.counters.last_registry += 1;
    let registry = Registry {
        id: RegistryId(context.counters.last_registry),
        group,
        name: create.name.as_str().to_owned(),
        description: create.description.as_ref().map(|text| text.as_str().to_owned()),
        anonymous_pull: false,
        routing: context.index,
        created_at: now,
        updated_at: now,
    };
    store(context.rows, Table::Registries, &id_key(registry.id.0), &registry)?;
    context.configuration_changed();
    Ok(Outcome::RegistryCreated { registry: registry.id, group })
}

fn find_group(context: &Context<'_>, group: &GroupRef) -> Result<Option<GroupId>, Stop> {
    Ok(match group {
        GroupRef::Id(id) => load::<Group>(context.rows, Table::Groups, &id_key(id.0))?.map(|group| group.id),
        GroupRef::Path(path) => {
            let groups: Vec<Group> = load_all(context.rows, Table::Groups, &[])?;
            groups.into_iter().find(|group| group.path == path.as_str()).map(|group| group.id)
        }
    })
}

/// A group that is named by its number is GitLab's, whose path nobody here knows: its number takes the place of one. Such
/// numbers lie anywhere, so that the next one for a path has to be looked for.
fn create_group(context: &mut Context<'_>, group: &GroupRef) -> Result<GroupId, Stop> {
    let (id, path) = match group {
        GroupRef::Id(id) => (*id, id.to_string()),
        GroupRef::Path(path) => {
            let mut next = GroupId(context.counters.last_group + 1);
            while context.rows.get(Table::Groups, &id_key(next.0))?.is_some() {
                next.0 += 1;
            }
            context.counters.last_group = next.0;
            (next, path.as_str().to_owned())
        }
    };
    let group = Group { id, path, created_at: context.counters.now };
    store(context.rows, Table::Groups, &id_key(id.0), &group)?;
    Ok(id)
}

fn of_group(context: &Context<'_>, group: GroupId) -> Result<Vec<Registry>, Stop> {
    let mut registries: Vec<Registry> = load_all(context.rows, Table::Registries, &[])?;
    registries.retain(|registry| registry.group == group);
    Ok(registries)
}

fn check_name(others: &[Registry], name: &DisplayName) -> Result<(), Stop> {
    let taken = others.iter().any(|registry| registry.name == name.as_str());
    if taken { Err(Refusal::NameTaken.into()) } else { Ok(()) }
}

pub(super) fn update(context: &mut Context<'_>, update: &UpdateRegistry) -> Result<Outcome, Stop> {
    let before = registry(context, update.id)?;
    let mut registry = before.clone();
    if let Some(name) = &update.name {
        let mut others = of_group(context, registry.group)?;
        others.retain(|other| other.id != registry.id);
        check_name(&others, name)?;
        registry.name = name.as_str().to_owned();
    }
    if let Some(description) = &update.description {
        registry.description = description.as_ref().map(|text| text.as_str().to_owned());
    }
    if let Some(anonymous_pull) = update.anonymous_pull {
        registry.anonymous_pull = anonymous_pull;
    }
    if registry == before {
        return Ok(Outcome::Done);
    }
    registry.updated_at = context.counters.now;
    store(context.rows, Table::Registries, &id_key(registry.id.0), &registry)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn delete(context: &mut Context<'_>, id: RegistryId) -> Result<Outcome, Stop> {
    registry(context, id)?;
    let (own, only_here) = upstreams_of(context, id)?;
    for link in own {
        context.rows.delete(Table::Links, &id_key(link.id.0))?;
    }
    for upstream in only_here {
        context.rows.delete(Table::Upstreams, &id_key(upstream.0))?;
    }
    context.rows.delete(Table::Registries, &id_key(id.0))?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn purge(context: &mut Context<'_>, id: RegistryId) -> Result<Outcome, Stop> {
    registry(context, id)?;
    let (_, only_here) = upstreams_of(context, id)?;
    if only_here.is_empty() {
        return Ok(Outcome::Done);
    }
    for upstream in only_here {
        upstreams::void(context, upstream)?;
    }
    context.configuration_changed();
    Ok(Outcome::Done)
}

/// The links of a registry, and the upstreams that only it has.
fn upstreams_of(context: &Context<'_>, id: RegistryId) -> Result<(Vec<Link>, Vec<UpstreamId>), Stop> {
    let (own, others): (Vec<_>, Vec<_>) = links::all(context)?.into_iter().partition(|link| link.registry == id);
    let is_shared = |link: &&Link| others.iter().any(|other| other.upstream == link.upstream);
    let only_here = own.iter().filter(|link| !is_shared(link)).map(|link| link.upstream).collect();
    Ok((own, only_here))
}
