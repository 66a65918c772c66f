//! The steps of a start, and of an end, that roles share.
//!
//! | file | what it holds |
//! |---|---|
//! | `process.rs` | the runtime and the log: a role from its first line to its last |
//! | `signals.rs` | the first signal drains, the second ends |
//! | `listen.rs` | listeners, bound before any state is touched |
//! | `first_start.rs` | the first configuration, and how it differs from what is named later; pure |
//! | `configure.rs` | puts the first configuration and the admin token in force |
//! | `plane.rs` | from settings to a gateway's configuration and its blobs |
//! | `probes.rs` | plain answers over HTTP where there is no gateway to give them |
//! | `banner.rs` | what a start prints; pure |

pub(crate) mod banner;
pub(crate) mod configure;
pub(crate) mod first_start;
pub(crate) mod listen;
pub(crate) mod plane;
pub(crate) mod probes;
pub(crate) mod process;
pub(crate) mod signals;
