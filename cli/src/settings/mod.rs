//! Settings: flags over file over defaults, every one checked before anything is bound or written.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` `file.rs` | what was typed for pulls: the command line, the configuration file |
//! | `named.rs` | upstreams as an operator names them, passwords included |
//! | `storage.rs` | where blobs are kept, as an operator says it |
//! | `connections.rs` | connections to single hosts, their certificates read and checked |
//! | `tls.rs` | the certificates between nodes, gateways and this program, read and checked |
//! | `pulls.rs` | what every process that serves pulls runs with, put together |
//!
//! What is of one role alone is in that role's folder.

pub(crate) mod connections;
pub(crate) mod file;
mod flags;
pub(crate) mod named;
mod pulls;
pub(crate) mod storage;
pub(crate) mod tls;

pub(crate) use flags::{PullFlags, address};
pub(crate) use pulls::{
    ADMIN_TOKEN_VARIABLE, RoleDefaults, SECRET_KEY_VARIABLE, Settings, SettingsError, TOKEN_LENGTH_ADVISED, is_token,
    resolve, resolve_with, validity,
};
