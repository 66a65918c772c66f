//! What tests of this crate and of its users share.
//!
//! | file | what |
//! |---|---|
//! | [`suite`] | the promises of [`crate::blob::BlobStore`], one test function each |
//! | [`faulty`] | an object store that fails as it is told |
//! | [`brittle`] | a store whose disk fails as it is told |
//! | [`gate`] | a place where work stops until the test opens it |
//! | [`signing`] | a store that has URLs for its objects |
//! | [`counting`] | counts calls per digest |
//! | [`sample`] | bodies and their keys |

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a failed unwrap is a failed test")]

pub mod brittle;
pub mod counting;
pub mod faulty;
pub mod gate;
pub mod sample;
pub mod signing;
pub mod suite;
