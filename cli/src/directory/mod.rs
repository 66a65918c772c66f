//! What a process that serves pulls keeps on its own disk.
//!
//! | file | what it holds |
//! |---|---|
//! | `data.rs` | the data directory: what lies where, and who uses it |
//! | `private_file.rs` | small files that only this user may read |
//! | `secret_key.rs` `admin_token.rs` | found or made, and proved against what is stored |

pub(crate) mod admin_token;
mod data;
pub(crate) mod private_file;
pub(crate) mod secret_key;

pub(crate) use admin_token::{AdminToken, AdminTokenError, Origin};
pub(crate) use data::{Directory, DirectoryError};
pub(crate) use secret_key::{SecretKey, SecretKeyError};
