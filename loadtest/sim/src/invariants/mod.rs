//! What must hold of every history, one property per file. Each is a function from a history to what violates it.

mod acknowledged_configuration_survives;
mod every_pull_ends;
mod fencing_tokens_increase;
mod no_older_token_completes;
mod no_wrong_bytes;
mod one_download_per_digest;
mod revisions_are_monotonic;

use crate::history::Event;

/// A property, by its name.
pub(crate) type Invariant = (&'static str, fn(&[Event]) -> Vec<String>);

/// All of them.
pub(crate) const ALL: [Invariant; 7] = [
    ("one download per source and digest while the leader lives", one_download_per_digest::check),
    ("no wrong byte ever", no_wrong_bytes::check),
    ("fencing tokens strictly increase", fencing_tokens_increase::check),
    ("no older token ever completes", no_older_token_completes::check),
    ("acknowledged configuration survives", acknowledged_configuration_survives::check),
    ("revisions are monotonic per watcher", revisions_are_monotonic::check),
    ("every pull ends once everything is well", every_pull_ends::check),
];
