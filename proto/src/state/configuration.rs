//! Groups, registries, upstreams, links and tokens.

use super::command::{Bootstrap, Outcome, PutToken, Refusal};
use super::rows::{load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop};
use crate::domain::epoch::Epoch;
use crate::domain::limits;
use crate::domain::principal::Token;
use crate::domain::registry::{Group, GroupId, Link, LinkId, Registry, RegistryId, TokenId, UpstreamId};
use crate::domain::upstream::{Upstream, UpstreamSettings};

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
        create_upstream(context, &registry, position, settings)?;
    }
    context.configuration_changed();
    Ok(Outcome::Bootstrapped { created: true })
}

fn create_upstream(
    context: &mut Context<'_>,
    registry: &Registry,
    position: u32,
    settings: &UpstreamSettings,
) -> Result<(), Stop> {
    context.counters.last_upstream += 1;
    context.counters.last_link += 1;
    let upstream = Upstream {
        id: UpstreamId(context.counters.last_upstream),
        group: registry.group,
        settings: settings.clone(),
        epoch: Epoch::from(context.index),
        created_at: context.counters.now,
        updated_at: context.counters.now,
    };
    let link = Link { id: LinkId(context.counters.last_link), registry: registry.id, upstream: upstream.id, position };
    store(context.rows, Table::Upstreams, &id_key(upstream.id.0), &upstream)?;
    store(context.rows, Table::Links, &id_key(link.id.0), &link)?;
    Ok(())
}

fn upstream(context: &Context<'_>, id: UpstreamId) -> Result<Upstream, Stop> {
    Ok(load(context.rows, Table::Upstreams, &id_key(id.0))?.ok_or(Refusal::NoUpstream(id))?)
}

pub(super) fn update_upstream(
    context: &mut Context<'_>,
    id: UpstreamId,
    settings: &UpstreamSettings,
) -> Result<Outcome, Stop> {
    let mut upstream = upstream(context, id)?;
    // A password sealed again is other bytes of the same password: the identity decides, not the ciphertext.
    let moved =
        upstream.settings.url != settings.url || upstream.settings.source().credential != settings.source().credential;
    if moved {
        upstream.epoch = Epoch::from(context.index);
        void_routes(context, id)?;
    }
    upstream.settings = settings.clone();
    upstream.updated_at = context.counters.now;
    store(context.rows, Table::Upstreams, &id_key(id.0), &upstream)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

/// What an upstream at another address or for another account has is not known: where it said "not here", it may say
/// otherwise, and routes past it are void.
fn void_routes(context: &mut Context<'_>, upstream: UpstreamId) -> Result<(), Stop> {
    let links: Vec<Link> = load_all(context.rows, Table::Links, &[])?;
    for link in links.into_iter().filter(|link| link.upstream == upstream) {
        let key = id_key(link.registry.0);
        if let Some(mut registry) = load::<Registry>(context.rows, Table::Registries, &key)? {
            registry.routing = context.index;
            store(context.rows, Table::Registries, &key, &registry)?;
        }
    }
    Ok(())
}

pub(super) fn purge_upstream(context: &mut Context<'_>, id: UpstreamId) -> Result<Outcome, Stop> {
    let mut upstream = upstream(context, id)?;
    upstream.epoch = Epoch::from(context.index);
    store(context.rows, Table::Upstreams, &id_key(id.0), &upstream)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn put_token(context: &mut Context<'_>, put: &PutToken) -> Result<Outcome, Stop> {
    if load::<Group>(context.rows, Table::Groups, &id_key(put.group.0))?.is_none() {
        return Err(Refusal::NoGroup(put.group).into());
    }
    let tokens: Vec<Token> = load_all(context.rows, Table::Tokens, &[])?;
    let existing = tokens.into_iter().find(|token| token.name == put.name);
    let (id, created_at) = match existing {
        Some(token) if token.hash == put.hash && token.role == put.role && token.expires_at == put.expires_at => {
            return Ok(Outcome::Done);
        }
        Some(token) => (token.id, token.created_at),
        None => {
            context.counters.last_token += 1;
            (TokenId(context.counters.last_token), context.counters.now)
        }
    };
    let token = Token {
        id,
        name: put.name.clone(),
        hash: put.hash,
        group: put.group,
        role: put.role,
        created_at,
        expires_at: put.expires_at,
    };
    store(context.rows, Table::Tokens, &id_key(id.0), &token)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}
