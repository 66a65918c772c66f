//! Buckets: S3, Google Cloud Storage, Azure Blob Storage.
//!
//! | file | what |
//! |---|---|
//! | `client` | settings to clients: credentials, endpoints, time limits |
//! | [`capabilities`] | what a store really does, tried out at every start |
//! | [`upload_log`] | uploads under way, remembered over the end of the process |

pub mod capabilities;
pub(crate) mod client;
pub mod upload_log;
