//! Values as people write them, and as they are written for people.
//!
//! | file | what it holds |
//! |---|---|
//! | `span.rs` `size.rs` | durations and sizes in bytes |
//! | `log_format.rs` | how log lines look |
//! | `host_port.rs` | where somebody can be called: a name or an address, and a port |
//! | `network.rs` | networks of IP addresses |
//! | `shell.rs` | words of a command that can be pasted |

mod host_port;
mod log_format;
mod network;
mod shell;
mod size;
mod span;

pub(crate) use host_port::HostPort;
pub(crate) use log_format::LogFormat;
pub(crate) use network::Network;
pub(crate) use shell::shell_word;
pub(crate) use size::Size;
pub(crate) use span::Span;
