//! A closed-loop load generator that leaves the processor to the server.
//!
//! Generator and server share the machine, so what the generator costs is taken from what it measures. It therefore
//! speaks HTTP/1.1 over blocking sockets, one thread for each connection, reads into one buffer that is used again and
//! again, and looks at no more of an answer than its status and length. The same generator loads every server.
//!
//! | file | what it holds |
//! |---|---|
//! | `connection.rs` | one keep-alive connection: send, read the head, drain the body |
//! | `head.rs` | the head of an answer, purely |
//! | `load.rs` | many connections at once, for a time or a number of requests |
//! | `pace.rs` | how slowly a slow client reads |
//! | `process.rs` | what a server costs: processor time and resident memory, from `/proc` |
//! | `quantiles.rs` | latencies, and what is printed of them |

mod connection;
mod head;
mod load;
mod pace;
pub mod process;
pub mod quantiles;

pub use connection::Target;
pub use load::{Amount, Load, Outcome};
pub(crate) use pace::Pace;
