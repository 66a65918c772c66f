//! Connections between nodes, gateways and the CLI.
//!
//! | file | what it holds |
//! |---|---|
//! | [`identity`] | roles, and the certificates that prove them |
//! | [`dial`] | outgoing connections: one per address, kept alive, opened when needed |
//! | [`listen`] | incoming ones: the server's settings, and who may call what |
//! | [`status`] | what an error looks like on the wire |
//! | [`revision`] | how up to date an answer is, and must be |
//!
//! Everything is mutual TLS, and a certificate proves a role, not an address: a caller checks that it speaks to a node, a
//! node that a gateway calls. So addresses may change without a new certificate. Without certificates nobody is checked,
//! which is for loopback and for tests.

pub mod dial;
pub mod identity;
pub mod listen;
pub mod revision;
pub mod status;

pub use dial::{Connect, Connection, Dialer};
pub use identity::{Identity, Role};
pub use listen::Guard;
