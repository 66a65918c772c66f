//! Once a token was granted, a completion under an older one of the same key that begins afterwards is refused.

use std::collections::BTreeMap;

use crate::history::{Event, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut granted: BTreeMap<&str, u64> = BTreeMap::new();
    let mut asked: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for event in events {
        match &event.what {
            What::Granted { key, token, .. } => {
                let highest = granted.entry(key).or_default();
                *highest = (*highest).max(*token);
            }
            What::CompleteAsked { call, key, token } => {
                asked.insert(*call, (*token, granted.get(key.as_str()).copied().unwrap_or_default()));
            }
            What::Completed { call, accepted: Some(true) } => {
                if let Some((token, newest)) = asked.get(call)
                    && token < newest
                {
                    violations.push(format!("completed under {token} after {newest} was granted: {event}"));
                }
            }
            _ => {}
        }
    }
    violations
}
