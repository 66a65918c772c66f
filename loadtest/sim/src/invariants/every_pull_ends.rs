//! Whoever goes on asking gets what there is, and the group can be read, once everything is well again.

use std::collections::BTreeMap;

use crate::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut open: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::PullBegan { digest, .. } => *open.entry((&event.host, digest.to_string())).or_default() += 1,
            What::PullOver { digest, whole, .. } => {
                open.remove(&(event.host.as_str(), digest.to_string()));
                if !whole {
                    violations.push(format!("a client gave up: {event}"));
                }
            }
            What::Unfinished(_) => violations.push(event.to_string()),
            _ => {}
        }
    }
    let left = open.into_iter().map(|((host, digest), tries)| format!("{host} still asks for {digest}, {tries} times"));
    violations.extend(left);
    violations
}
