//! Queries over the rows, for every host of the state machine.

mod entries;

pub use entries::{EntryPage, EntryQuery, entries, entry};

use super::rows::{Counters, Delivery, LastUse, Lease, Rows, RowsError, Session, load, load_all};
use super::table::{self, Table, id_key};
use crate::domain::configuration::Configuration;
use crate::domain::digest::Digest;
use crate::domain::entry::{BlobLocation, Descriptor, EntryRef, Right, Route, TagEntry, TagKey, Usage};
use crate::domain::epoch::Revision;
use crate::domain::image::{RepositoryName, Tag};
use crate::domain::lease::{LeaseKey, SessionId};
use crate::domain::limits;
use crate::domain::principal::Token;
use crate::domain::registry::{GroupId, Link, RegionId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{Origin, Upstream};
use crate::wire::Record;

/// A tag of a virtual registry: the route that answered last, and what that upstream's entry says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagView {
    /// The route; the caller checks it against the registry's `routing`.
    pub route: Option<Route>,
    /// The entry of the route's upstream, unless it is void.
    pub entry: Option<TagEntry>,
}

/// A question about one digest, for one or more upstreams of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentQuery {
    /// The upstreams, in the order they would be asked.
    pub upstreams: Vec<UpstreamId>,
    /// The repository.
    pub repository: RepositoryName,
    /// The digest.
    pub digest: Digest,
    /// The region whose bucket counts.
    pub region: RegionId,
}

/// What is known of a digest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContentView {
    /// The revision of this view.
    pub revision: Revision,
    /// Where the bytes lie in the region, whoever may read them.
    pub location: Option<BlobLocation>,
    /// Per upstream asked, in that order.
    pub upstreams: Vec<UpstreamContent>,
    /// Where else they lie, where not in the region.
    pub elsewhere: Vec<(RegionId, BlobLocation)>,
}

/// What is known of a digest at one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamContent {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The right of (upstream, repository) to the bytes, where it holds.
    pub right: Option<Right>,
    /// What a manifest of (upstream, repository) says of the digest.
    pub descriptor: Option<Descriptor>,
    /// Whether an upstream of the same origin delivered it.
    pub delivered: bool,
}

/// The whole configuration, as of `revision`.
pub fn configuration(rows: &dyn Rows, revision: Revision) -> Result<Configuration, RowsError> {
    let mut links: Vec<Link> = load_all(rows, Table::Links, &[])?;
    links.sort_by_key(|link| (link.registry, link.position));
    Ok(Configuration {
        revision,
        groups: load_all(rows, Table::Groups, &[])?,
        registries: load_all(rows, Table::Registries, &[])?,
        upstreams: load_all(rows, Table::Upstreams, &[])?,
        links,
        tokens: load_all(rows, Table::Tokens, &[])?,
        signing_keys: load_all(rows, Table::SigningKeys, &[])?,
        cleanup_policies: load_all(rows, Table::CleanupPolicies, &[])?,
        identity_providers: load_all(rows, Table::IdentityProviders, &[])?,
        claim_rules: load_all(rows, Table::ClaimRules, &[])?,
        gitlab: load(rows, Table::GitLab, table::GITLAB_KEY)?,
    })
}

/// The counters.
pub fn counters(rows: &dyn Rows) -> Result<Counters, RowsError> {
    Ok(load(rows, Table::Counters, table::COUNTERS_KEY)?.unwrap_or_default())
}

fn upstream(rows: &(impl Rows + ?Sized), id: UpstreamId) -> Result<Option<Upstream>, RowsError> {
    load(rows, Table::Upstreams, &id_key(id.0))
}

/// A tag of a virtual registry.
pub fn tag(rows: &dyn Rows, key: &TagKey) -> Result<TagView, RowsError> {
    let Some(route) = load::<Route>(rows, Table::Routes, &table::route_key(key))? else {
        return Ok(TagView::default());
    };
    let entry = tag_entry(rows, route.upstream, &key.repository, &key.tag)?;
    Ok(TagView { route: Some(route), entry })
}

/// A tag of an upstream, unless it is void.
pub fn tag_entry(
    rows: &dyn Rows,
    id: UpstreamId,
    repository: &RepositoryName,
    tag: &Tag,
) -> Result<Option<TagEntry>, RowsError> {
    let Some(upstream) = upstream(rows, id)? else { return Ok(None) };
    let entry: Option<TagEntry> = load(rows, Table::Tags, &table::tag_key(id, repository, tag))?;
    Ok(entry.filter(|entry| entry.upstream_epoch == upstream.epoch))
}

/// What is known of a digest.
pub fn content(rows: &dyn Rows, query: &ContentQuery, revision: Revision) -> Result<ContentView, RowsError> {
    let mut upstreams = Vec::with_capacity(query.upstreams.len());
    for id in &query.upstreams {
        let Some(upstream) = upstream(rows, *id)? else { continue };
        let key = table::content_key(*id, &query.repository, &query.digest);
        upstreams.push(UpstreamContent {
            upstream: *id,
            right: right(rows, &upstream, &query.repository, &query.digest)?,
            descriptor: load(rows, Table::Descriptors, &key)?,
            delivered: delivered(rows, &upstream.settings.url.origin(), &query.digest)?,
        });
    }
    let location = location(rows, &query.digest, &query.region)?;
    let elsewhere = if location.is_none() { locations(rows, &query.digest)? } else { Vec::new() };
    Ok(ContentView { revision, location, upstreams, elsewhere })
}

/// How often an entry was downloaded.
pub fn usage(rows: &dyn Rows, entry: &EntryRef) -> Result<Option<Usage>, RowsError> {
    load(rows, Table::Usage, &table::entry_key(entry))
}

/// A token with what is not of the configuration: a use of it changes nothing that gateways have to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenView {
    /// The token.
    pub token: Token,
    /// When it was last used, as far as it was reported.
    pub last_used_at: Option<Timestamp>,
}

/// The tokens of a group, or all, by number.
pub fn tokens(rows: &dyn Rows, group: Option<GroupId>) -> Result<Vec<TokenView>, RowsError> {
    let mut tokens: Vec<Token> = load_all(rows, Table::Tokens, &[])?;
    tokens.retain(|token| group.is_none_or(|group| token.group == group));
    let view = |token: Token| {
        let used: Option<LastUse> = load(rows, Table::TokenUses, &id_key(token.id.0))?;
        Ok(TokenView { token, last_used_at: used.map(|used| used.at) })
    };
    tokens.into_iter().map(view).collect()
}

/// The open sessions, by number.
pub fn sessions(rows: &(impl Rows + ?Sized)) -> Result<Vec<(SessionId, Session)>, RowsError> {
    rows.scan(Table::Sessions, &[], None, usize::MAX)?
        .iter()
        .map(|(key, value)| {
            let id = table::session_of_key(key).ok_or_else(|| RowsError::new("a session's key is not a number"))?;
            Ok((id, Session::decode(value).map_err(RowsError::new)?))
        })
        .collect()
}

/// The lease in force on a key.
pub fn lease(rows: &(impl Rows + ?Sized), key: &LeaseKey) -> Result<Option<Lease>, RowsError> {
    load(rows, Table::Leases, &table::lease_key(key))
}

/// The live object of a digest in a region.
pub(super) fn location(
    rows: &(impl Rows + ?Sized),
    digest: &Digest,
    region: &RegionId,
) -> Result<Option<BlobLocation>, RowsError> {
    load(rows, Table::Locations, &table::location_key(digest, region))
}

/// The live objects of a digest, by region.
fn locations(rows: &dyn Rows, digest: &Digest) -> Result<Vec<(RegionId, BlobLocation)>, RowsError> {
    let prefix = table::locations_prefix(digest);
    let rows = rows.scan(Table::Locations, &prefix, None, limits::REGIONS_MAX)?;
    let parse = |(key, value): (Vec<u8>, Vec<u8>)| {
        let region = table::region_of_location_key(&key, prefix.len());
        let region = region.ok_or_else(|| RowsError::new("a location's key names no region"))?;
        Ok((region, BlobLocation::decode(&value).map_err(RowsError::new)?))
    };
    rows.into_iter().map(parse).collect()
}

/// The right of (upstream, repository) to a digest, unless it is void.
pub(super) fn right(
    rows: &(impl Rows + ?Sized),
    upstream: &Upstream,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<Right>, RowsError> {
    let right: Option<Right> = load(rows, Table::Rights, &table::content_key(upstream.id, repository, digest))?;
    Ok(right.filter(|right| right.upstream_epoch == upstream.epoch))
}

/// Whether an upstream of this origin delivered the digest.
pub(super) fn delivered(rows: &(impl Rows + ?Sized), origin: &Origin, digest: &Digest) -> Result<bool, RowsError> {
    Ok(load::<Delivery>(rows, Table::Deliveries, &table::delivery_key(origin, digest))?.is_some())
}
