//! Ordered byte rows, as a host provides them, and typed access to them.

use std::time::Duration;

use super::table::Table;
use crate::domain::entry::ContentKind;
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::{FleetMember, Registration, Report};
use crate::domain::lease::{FencingToken, GatewayId, SessionId};
use crate::domain::registry::RegionId;
use crate::domain::time::Timestamp;
use crate::wire::Record;

/// A row's key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// The host could not read or write its rows, or they are damaged.
#[derive(Debug, thiserror::Error)]
#[error("metadata rows: {0}")]
pub struct RowsError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl RowsError {
    /// Wraps the host's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Reading ordered rows.
pub trait Rows {
    /// The value under `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError>;

    /// At most `limit` rows, in key order, whose key starts with `prefix` and is greater than `after`.
    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, RowsError>;
}

/// Writing them. What was written is read back at once.
pub trait RowsMut: Rows {
    /// Sets the value under `key`.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowsError>;

    /// Removes the value under `key`, if there is one.
    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowsError>;
}

/// One row, decoded.
pub(super) fn load<R: Record>(rows: &(impl Rows + ?Sized), table: Table, key: &[u8]) -> Result<Option<R>, RowsError> {
    rows.get(table, key)?.map(|bytes| R::decode(&bytes)).transpose().map_err(RowsError::new)
}

/// Every row under `prefix`, decoded. For tables that stay small; large ones are scanned in pages.
pub(super) fn load_all<R: Record>(
    rows: &(impl Rows + ?Sized),
    table: Table,
    prefix: &[u8],
) -> Result<Vec<R>, RowsError> {
    rows.scan(table, prefix, None, usize::MAX)?
        .iter()
        .map(|(_, value)| R::decode(value).map_err(RowsError::new))
        .collect()
}

/// Writes one row.
pub(super) fn store(
    rows: &mut (impl RowsMut + ?Sized),
    table: Table,
    key: &[u8],
    record: &impl Record,
) -> Result<(), RowsError> {
    rows.put(table, key, &record.encode())
}

/// The one row of [`Table::Counters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// The greatest time any proposal carried: time never runs backwards.
    pub now: Timestamp,
    /// The last group id given out.
    pub last_group: u64,
    /// The last registry id given out.
    pub last_registry: u64,
    /// The last upstream id given out.
    pub last_upstream: u64,
    /// The last link id given out.
    pub last_link: u64,
    /// The last token id given out.
    pub last_token: u64,
    /// The last signing key id given out.
    pub last_signing_key: u64,
    /// The last identity provider id given out.
    pub last_identity_provider: u64,
    /// The last claim rule id given out.
    pub last_claim_rule: u64,
    /// When the configuration last changed.
    pub configuration: Revision,
}

/// A row of [`Table::Purges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purge {
    /// What began before this is dropped on arrival.
    pub epoch: Epoch,
    /// When, so that a collector can tell when no fill is that old any more.
    pub at: Timestamp,
}

/// A row of [`Table::Indexed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Indexed {
    /// Manifest or blob, which the key of a digest does not say.
    pub kind: ContentKind,
}

/// A row of [`Table::EntryCounts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryCount {
    /// The epoch of the upstream whose entries these are; under any other there are none.
    pub epoch: Epoch,
    /// How many.
    pub entries: u64,
}

/// The one row of [`Table::Indexing`]: how far the index has come that holds what was recorded before it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indexing {
    /// Tags up to and including this key are in.
    Tags {
        /// The key.
        after: Option<Vec<u8>>,
    },
    /// All tags, and rights up to and including this key.
    Rights {
        /// The key.
        after: Option<Vec<u8>>,
    },
    /// Everything.
    Complete,
}

/// A row of [`Table::Deliveries`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// When the origin last delivered the content.
    pub at: Timestamp,
}

/// A row of [`Table::TokenUses`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastUse {
    /// When the token was last used.
    pub at: Timestamp,
}

/// A row of [`Table::Sessions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The gateway.
    pub gateway: String,
    /// Its region.
    pub region: RegionId,
    /// Where other gateways reach it.
    pub address: String,
    /// What it runs.
    pub version: String,
    /// When it opened.
    pub opened_at: Timestamp,
}

impl Session {
    /// The gateway as the fleet knows it.
    pub fn member(self, session: SessionId, report: Option<Report>, heard_ago: Duration) -> FleetMember {
        let Self { gateway, region, address, version, opened_at } = self;
        let registration = Registration { gateway: GatewayId(gateway), region, address, version };
        FleetMember { session, registration, opened_at, report, heard_ago }
    }
}

/// A row of [`Table::Leases`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Whose it is.
    pub session: SessionId,
    /// The token in force.
    pub token: FencingToken,
    /// When it was granted.
    pub acquired_at: Timestamp,
}
