//! Every grant has a token of its own, and one that was asked for after another of the same key was granted has a higher one.

use std::collections::BTreeMap;

use crate::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
    // For each call under way, the highest token that its key had when it began.
    let mut asked: BTreeMap<u64, u64> = BTreeMap::new();
    let mut holders: BTreeMap<u64, &str> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::AcquireAsked { call, key } => {
                asked.insert(*call, highest.get(key.as_str()).copied().unwrap_or_default());
            }
            What::Granted { call, key, token } => {
                let before = asked.remove(call).unwrap_or_default();
                if *token <= before {
                    violations.push(format!("a token not above {before}: {event}"));
                }
                if let Some(other) = holders.insert(*token, &event.host) {
                    violations.push(format!("a token that {other} had been granted: {event}"));
                }
                let highest = highest.entry(key).or_default();
                *highest = (*highest).max(*token);
            }
            _ => {}
        }
    }
    violations
}
