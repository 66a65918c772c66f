//! Harness for tests of this crate and of whoever runs on it. Only under the feature `test-util`.
//!
//! | file | what it holds |
//! |---|---|
//! | [`power`] | a medium whose power can be cut: what was not synced is gone, wholly or in part |
//! | [`cluster`] | several members in one process, with real files, over a network that a test can cut |
//! | [`fill`] | a state with as many cache entries as wanted, for measurements |
//! | [`conformance`] | openraft's own suite over the log and the machine of this crate |

pub mod cluster;
pub mod conformance;
pub mod fill;
pub mod power;
