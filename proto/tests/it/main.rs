//! Integration tests of the shared language.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing has failed")]

mod access;
mod cleanup;
mod entries;
mod golden;
mod meta;
mod registries;
mod replicas;
mod world;
