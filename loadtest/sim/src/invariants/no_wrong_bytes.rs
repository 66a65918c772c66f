//! A body that ends as announced is the right one, whatever the upstream sent and whatever the bucket kept.

use crate::history::{Event, Got, What};

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let is_wrong = |event: &&Event| matches!(&event.what, What::PullEnded { got: Got::Whole { right: false, .. }, .. });
    events.iter().filter(is_wrong).map(|event| format!("a wrong body ended cleanly: {event}")).collect()
}
