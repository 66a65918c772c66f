//! Downloads between gateways: one leads, the others follow it byte by byte.
//!
//! ```text
//!   upstream ──► leading gateway ──► its clients
//!                      │ one stream per gateway, from byte 0
//!                      └──► following gateway: own spool, own hash ──► its clients, at every offset
//! ```
//!
//! A follower believes nothing: it hashes what it gets and holds back the end for its own clients. Who has a right to the bytes is
//! its own question too. It follows only whoever holds the lease (or was chosen, where nobody grants any), and whoever follows
//! is not followed, so that no circle comes about.
//!
//! | file | what it holds |
//! |---|---|
//! | `serve` | lets others follow what this gateway leads |
//! | `follow` | follows what another leads |
//! | `look` | asks who works on a blob where no lease tells |
//! | `wire` | what is said between them |

pub(super) mod follow;
pub(super) mod look;
pub(crate) mod serve;
mod wire;
