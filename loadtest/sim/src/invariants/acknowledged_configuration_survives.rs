//! Of each name the last acknowledged change stands at the end, or a later one whose answer was lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut acknowledged: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unknown: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut last = None;
    for event in events {
        match &event.what {
            What::Acknowledged { name, value } => {
                acknowledged.insert(name, *value);
            }
            What::Unacknowledged { name, value, .. } => {
                unknown.entry(name).or_default().insert(*value);
            }
            What::FinalConfiguration { values } => last = Some(values),
            _ => {}
        }
    }
    // Whoever could not read it has said so.
    let Some(last) = last else { return Vec::new() };
    let found: BTreeMap<&str, u64> = last.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let is_kept = |name: &str, value: u64| {
        found.get(name).is_some_and(|found| {
            // A change whose answer was lost may take effect at any time.
            *found == value || unknown.get(name).is_some_and(|unknown| unknown.contains(found))
        })
    };
    let lost = acknowledged.into_iter().filter(|(name, value)| !is_kept(name, *value));
    lost.map(|(name, value)| format!("{name} was acknowledged as {value} and is {:?}", found.get(name))).collect()
}
