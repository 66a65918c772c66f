//! The names of everything on disk. A name is for ever: what is here was written by somebody's older version.
//!
//! | file | table | key | value (`raft.proto`) |
//! |---|---|---|---|
//! | `log.redb` | `entries` | log index | `Entry` |
//! | `log.redb` | `facts` | `format`, `vote`, `committed`, `purged` | `FileFormat`, `Vote`, `LogId`, `LogId` |
//! | `state.redb` | `rows` | table id (2 bytes, big-endian), row key | as in `roadstead_proto::state::table` |
//! | `state.redb` | `facts` | `format`, `applied`, `membership` | `FileFormat`, `LogId`, `StoredMembership` |
//! | `snapshot` | – | – | length-delimited `SnapshotRecord` |
//! | `marker` | – | – | `NodeMarker` |
//!
//! The rows of all keyspaces lie in one redb table, behind the keyspace's stable id: a transaction then opens one
//! table instead of twenty-five, a snapshot is one ordered walk, and a keyspace that a later version adds needs no
//! migration here.

use redb::TableDefinition;

/// The raft log, the vote, and how far the log is known to be committed.
pub(crate) const LOG_FILE: &str = "log.redb";
/// The applied metadata.
pub(crate) const STATE_FILE: &str = "state.redb";
/// The last complete snapshot.
pub(crate) const SNAPSHOT_FILE: &str = "snapshot";
/// Whose directory this is.
pub(crate) const MARKER_FILE: &str = "marker";
/// Held locked by the process that uses the directory; its content means nothing.
pub(crate) const LOCK_FILE: &str = "lock";
/// The ending of a file that is not complete. Swept at start.
pub(crate) const PART_SUFFIX: &str = ".part";

/// Log entries by index.
pub(crate) const ENTRIES: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("entries");
/// The rows of every keyspace.
pub(crate) const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
/// Single values, in either file.
pub(crate) const FACTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("facts");

/// [`FACTS`]: the version of the file.
pub(crate) const FORMAT: &str = "format";
/// [`FACTS`] of the log: the vote.
pub(crate) const VOTE: &str = "vote";
/// [`FACTS`] of the log: the last entry known to be committed; may lag.
pub(crate) const COMMITTED: &str = "committed";
/// [`FACTS`] of the log: entries up to this one are gone.
pub(crate) const PURGED: &str = "purged";
/// [`FACTS`] of the state: the last entry whose effect the rows hold.
pub(crate) const APPLIED: &str = "applied";
/// [`FACTS`] of the state: the last membership among the applied entries.
pub(crate) const MEMBERSHIP: &str = "membership";

/// Version of `log.redb`.
pub(crate) const LOG_FORMAT: u32 = 1;
/// Version of `state.redb`.
pub(crate) const STATE_FORMAT: u32 = 1;
/// Version of a snapshot.
pub(crate) const SNAPSHOT_FORMAT: u32 = 1;
/// Version of the directory as a whole.
pub(crate) const DIRECTORY_FORMAT: u32 = 1;

/// Page cache of `log.redb`: only its tail is read, by apply and by replication.
pub(crate) const LOG_CACHE_BYTES: usize = 32 << 20;
/// Page cache of `state.redb`: the rows that pulls ask for.
pub(crate) const STATE_CACHE_BYTES: usize = 128 << 20;
