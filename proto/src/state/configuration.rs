//! The first configuration.

use super::command::{Bootstrap, Outcome, Refusal};
use super::rows::store;
use super::table::{Table, id_key};
use super::{Context, Stop, upstreams};
use crate::domain::limits;
use crate::domain::registry::{Group, GroupId, Registry, RegistryId};

pub(super) fn bootstrap(context: &mut Context<'_>, bootstrap: &Bootstrap) -> Result<Outcome, Stop> {
    if context.counters.last_registry > 0 {
        return Ok(Outcome::Bootstrapped { created: false });
    }
    if bootstrap.upstreams.len() > limits::UPSTREAMS_PER_REGISTRY {
        return Err(Refusal::TooManyUpstreams(limits::UPSTREAMS_PER_REGISTRY).into());
    }
    let now = context.counters.now;
    context.counters.last_group += 1;
    context.counters.last_registry += 1;
    let group = Group { id: GroupId(context.counters.last_group), path: bootstrap.group_path.clone(), created_at: now };
    let registry = Registry {
        id: RegistryId(context.counters.last_registry),
        group: group.id,
        name: bootstrap.registry_name.clone(),
        description: None,
        anonymous_pull: false,
        routing: context.index,
        created_at: now,
        updated_at: now,
    };
    store(context.rows, Table::Groups, &id_key(group.id.0), &group)?;
    store(context.rows, Table::Registries, &id_key(registry.id.0), &registry)?;
    for (position, settings) in (1..).zip(&bootstrap.upstreams) {
        upstreams::add(context, &registry, position, settings)?;
    }
    context.configuration_changed();
    Ok(Outcome::Bootstrapped { created: true })
}
