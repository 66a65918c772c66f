//! The state machine's rows over a transaction of the state file.

use std::ops::Bound;

use redb::{ReadableTable, Table as WritableTable};
use roadstead_proto::state::rows::{Row, Rows, RowsError, RowsMut};
use roadstead_proto::state::table::Table;

/// Bytes of the table id in front of each key.
pub(crate) const TABLE_ID_BYTES: usize = 2;

/// Whether the file could not be read, as opposed to holding what nobody wrote.
pub(crate) fn is_unreadable(error: &RowsError) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<redb::StorageError>());
    matches!(
        cause,
        Some(redb::StorageError::Io(_) | redb::StorageError::PreviousIo | redb::StorageError::DatabaseClosed)
    )
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&table.id().to_be_bytes()[..], key].concat()
}

fn get(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    key: &[u8],
) -> Result<Option<Vec<u8>>, RowsError> {
    let value = rows.get(full_key(table, key).as_slice()).map_err(RowsError::new)?;
    Ok(value.map(|value| value.value().to_vec()))
}

fn scan(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Row>, RowsError> {
    let prefix = full_key(table, prefix);
    let after = after.map(|after| full_key(table, after));
    let start = match &after {
        Some(after) if *after >= prefix => Bound::Excluded(after.as_slice()),
        _ => Bound::Included(prefix.as_slice()),
    };
    let mut found = Vec::new();
    for row in rows.range::<&[u8]>((start, Bound::Unbounded)).map_err(RowsError::new)?.take(limit) {
        let (key, value) = row.map_err(RowsError::new)?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        found.push((key.value()[TABLE_ID_BYTES..].to_vec(), value.value().to_vec()));
    }
    Ok(found)
}

/// Rows as one read transaction sees them.
pub(crate) struct ReadRows(pub(super) redb::ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Rows for ReadRows {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        get(&self.0, table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, RowsError> {
        scan(&self.0, table, prefix, after, limit)
    }
}

/// Rows inside a write transaction.
pub(crate) struct WriteRows<'txn>(pub(super) WritableTable<'txn, &'static [u8], &'static [u8]>);

impl Rows for WriteRows<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RowsError> {
        get(&self.0, table, key)
    }

    fn scan(&self, table: Table, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, RowsError> {
        scan(&self.0, table, prefix, after, limit)
    }
}

impl RowsMut for WriteRows<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RowsError> {
        self.0.insert(full_key(table, key).as_slice(), value).map_err(RowsError::new)?;
        Ok(())
    }

    fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), RowsError> {
        self.0.remove(full_key(table, key).as_slice()).map_err(RowsError::new)?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
