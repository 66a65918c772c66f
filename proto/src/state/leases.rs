//! Sessions and leases.
//!
//! Invariants: a lease belongs to a session that exists; a key has at most one lease; a token is the index of its
//! grant, so that tokens strictly increase; whoever shows an older token changes nothing.

use super::command::{Outcome, Refusal};
use super::rows::{Lease, Session, load, store};
use super::table::{self, Table, id_key};
use super::{Context, Stop, read};
use crate::domain::entry::EntryRef;
use crate::domain::epoch::Epoch;
use crate::domain::fleet::Registration;
use crate::domain::lease::{AcquireRequest, Acquired, FencingToken, Holder, LeaseKey, SessionId};
use crate::domain::upstream::Upstream;
use crate::wire::Record;

use super::rows::RowsError;

pub(super) fn open_session(context: &mut Context<'_>, registration: &Registration) -> Result<Outcome, Stop> {
    let Registration { gateway, region, address, version } = registration;
    let id = SessionId(context.index.0);
    let earlier: Vec<SessionId> = read::sessions(context.rows)?
        .into_iter()
        .filter(|(_, session)| session.gateway == gateway.0)
        .map(|(id, _)| id)
        .collect();
    remove_sessions(context, &earlier)?;
    let session = Session {
        gateway: gateway.0.clone(),
        region: region.clone(),
        address: address.clone(),
        version: version.clone(),
        opened_at: context.counters.now,
    };
    store(context.rows, Table::Sessions, &table::session_key(id), &session)?;
    Ok(Outcome::SessionOpened(id))
}

pub(super) fn end_sessions(context: &mut Context<'_>, ids: &[SessionId]) -> Result<Outcome, Stop> {
    remove_sessions(context, ids)?;
    Ok(Outcome::Done)
}

fn remove_sessions(context: &mut Context<'_>, ids: &[SessionId]) -> Result<(), Stop> {
    if ids.is_empty() {
        return Ok(());
    }
    // As many leases as downloads are running: small enough to look at each.
    for (key, value) in context.rows.scan(Table::Leases, &[], None, usize::MAX)? {
        let lease = Lease::decode(&value).map_err(RowsError::new)?;
        if ids.contains(&lease.session) {
            context.rows.delete(Table::Leases, &key)?;
        }
    }
    for id in ids {
        context.rows.delete(Table::Sessions, &table::session_key(*id))?;
    }
    Ok(())
}

pub(super) fn acquire(context: &mut Context<'_>, request: &AcquireRequest) -> Result<Outcome, Stop> {
    let EntryRef { upstream: id, repository, reference } = &request.entry;
    let upstream: Upstream = load(context.rows, Table::Upstreams, &id_key(id.0))?.ok_or(Refusal::NoUpstream(*id))?;
    if upstream.epoch != request.upstream_epoch {
        return Err(Refusal::EpochChanged.into());
    }
    if load::<Session>(context.rows, Table::Sessions, &table::session_key(request.session))?.is_none() {
        return Err(Refusal::NoSession.into());
    }
    if let Some(digest) = reference.digest()
        && let Some(right) = read::right(context.rows, &upstream, repository, digest)?
        && let Some(location) = read::location(context.rows, digest, &request.region)?
        && request.distrusts != Some(location.key.token)
    {
        return Ok(Outcome::Acquired(Acquired::Stored { location, right }));
    }
    let key = table::lease_key(&request.key);
    if let Some(lease) = load::<Lease>(context.rows, Table::Leases, &key)?
        && lease.session != request.session
    {
        let holder: Option<Session> = load(context.rows, Table::Sessions, &table::session_key(lease.session))?;
        let address = holder.map(|session| session.address).unwrap_or_default();
        return Ok(Outcome::Acquired(Acquired::Held(Holder { session: lease.session, token: lease.token, address })));
    }
    // A session that asks for what it already holds has lost the answer: it is granted anew, under a new token.
    let token = FencingToken(context.index.0);
    let lease = Lease { session: request.session, token, acquired_at: context.counters.now };
    store(context.rows, Table::Leases, &key, &lease)?;
    Ok(Outcome::Acquired(Acquired::Granted(token)))
}

pub(super) fn release(context: &mut Context<'_>, key: &LeaseKey, token: FencingToken) -> Result<Outcome, Stop> {
    let key = table::lease_key(key);
    if holds(context, &key, token)? {
        context.rows.delete(Table::Leases, &key)?;
    }
    Ok(Outcome::Done)
}

/// Takes the lease out of force; refused where `token` is not the one in force.
pub(super) fn surrender(context: &mut Context<'_>, key: &LeaseKey, token: FencingToken) -> Result<(), Stop> {
    let key = table::lease_key(key);
    if !holds(context, &key, token)? {
        return Err(Refusal::LeaseLost.into());
    }
    context.rows.delete(Table::Leases, &key)?;
    Ok(())
}

fn holds(context: &Context<'_>, key: &[u8], token: FencingToken) -> Result<bool, Stop> {
    Ok(load::<Lease>(context.rows, Table::Leases, key)?.is_some_and(|lease| lease.token == token))
}

/// Whether something recorded under `epoch` is void for work that began at `began`.
pub(super) fn outdated(epoch: Epoch, began: crate::domain::epoch::Revision) -> bool {
    epoch.0 > began.0
}
