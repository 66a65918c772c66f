//! What a member keeps on disk, below raft: files, tables, and the rows of the metadata.
//!
//! | file | what it holds |
//! |---|---|
//! | [`keys`] | the names of every file, table and key on disk |
//! | [`medium`] | how a database reaches its file; the seam at which tests take the power away |
//! | [`files`] | the few file operations whose order against fsync matters |
//! | [`marker`] | whose directory this is, and the lock that keeps a second process out |
//! | [`state`] | the state file: applied rows, checkpoints, and the swap that a snapshot makes |
//! | [`rows`] | the state machine's rows over a transaction of the state file |

pub(crate) mod files;
pub(crate) mod keys;
pub(crate) mod marker;
pub(crate) mod medium;
pub(crate) mod rows;
pub(crate) mod state;
