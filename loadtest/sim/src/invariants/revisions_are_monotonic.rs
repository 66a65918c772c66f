//! No watcher hears of an older revision after a newer one, over every node it asks and every restart of its watch.

use std::collections::BTreeMap;

use crate::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut heard: BTreeMap<&str, u64> = BTreeMap::new();
    for event in events {
        match &event.what {
            // Whoever says from where on does not want to hear of it again.
            What::WatchBegan { watcher, after: revision } | What::Heard { watcher, revision } => {
                let newest = heard.entry(watcher).or_default();
                if revision < newest {
                    violations.push(format!("heard of {newest} before: {event}"));
                }
                *newest = (*newest).max(*revision);
            }
            _ => {}
        }
    }
    violations
}
