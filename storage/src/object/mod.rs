//! The slow tier: objects in an object store, each written once and read only through its checks.
//!
//! | file | what |
//! |---|---|
//! | `local` | what a local directory needs beyond `LocalFileSystem`: lock, start-up sweep |
//! | `upload` | multipart uploads, with and without an id that outlives us |
//! | `write` | put: parts, checksums, commit, clean-up |
//! | `writers` | one writer per key |
//! | `read` | get: checked blocks, trimmed to the range |
//! | `pool` | buffers of one block, used again |
//! | `list` | listings |
//! | `answer` | errors of cloud stores in one line, and what to do about them |
//! | `tier` | [`ObjectTier`]: the trait over the above |

mod answer;
mod list;
mod local;
mod pool;
mod read;
mod tier;
mod upload;
mod write;
mod writers;

pub use local::LocalError;
pub(crate) use tier::{Bucket, advised, without_object};
pub use tier::{ObjectTier, OpenError, Options};
pub use upload::UploadLog;
