//! The metadata as a gateway sees it: one immutable configuration snapshot, swapped whole.

pub mod snapshot;
