//! Validated values, pure: no async, no I/O, no clock.
//!
//! A value of these types was checked when it was made; behind the border there is no `&str` digest.

pub mod cleanup;
pub mod configuration;
pub mod digest;
pub mod entry;
pub mod epoch;
pub mod fleet;
pub mod identity;
pub mod image;
pub mod lease;
pub mod limits;
pub mod media;
pub mod pattern;
pub mod principal;
pub mod registry;
pub mod rule;
pub mod secret;
pub mod text;
pub mod time;
pub mod upstream;
