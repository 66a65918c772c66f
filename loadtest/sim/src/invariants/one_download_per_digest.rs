//! A digest is downloaded once, by one gateway, while that gateway lives, holds its session, and can store what it gets.
//!
//! A further download from the first byte is excused by what befell the one before: its gateway crashed, was cut off or lost
//! its session; the upstream broke it off or sent what does not match; the bucket was down before it could be stored. Faults
//! of nodes and wrong clocks excuse nothing: sessions outlive a change of leader.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::history::{Ending, Event, What};

/// How long after a fault its effects are excused: a session ends after 3 s, a new leader waits as long again, and a call is
/// given up after 5 s.
const AFTERMATH: Duration = Duration::from_secs(12);

struct Download<'a> {
    host: &'a str,
    began: Duration,
    excused: bool,
}

/// Whether a fault may cost a further download.
fn disturbs(fault: &str) -> bool {
    let befalls_gateway = fault.contains("gateway-") && !fault.starts_with("skew");
    befalls_gateway || fault.starts_with("bucket down") || fault.starts_with("bucket up")
}

pub(super) fn check(events: &[Event]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut downloads: BTreeMap<String, Download<'_>> = BTreeMap::new();
    let mut gets: BTreeMap<u64, String> = BTreeMap::new();
    let mut last_fault: Option<Duration> = None;
    let mut is_cut = false;
    for event in events {
        match &event.what {
            What::Fault(fault) if disturbs(fault) || (is_cut && fault == "connect") => {
                is_cut = fault != "connect" && (is_cut || !fault.starts_with("bucket"));
                last_fault = Some(event.at);
                downloads.values_mut().for_each(|download| download.excused = true);
            }
            What::SessionLost => {
                downloads.values_mut().filter(|of| of.host == event.host).for_each(|of| of.excused = true);
            }
            What::UpstreamBegan { get, digest, from: 0 } => {
                let digest = digest.to_string();
                gets.insert(*get, digest.clone());
                let aftermath = last_fault.is_some_and(|fault| event.at < fault + AFTERMATH);
                let download = Download { host: &event.host, began: event.at, excused: aftermath };
                if let Some(before) = downloads.insert(digest, download)
                    && !before.excused
                    && !aftermath
                {
                    let (host, began) = (before.host, before.began.as_secs_f64());
                    violations.push(format!("{host} had begun to download it at {began:.3}: {event}"));
                }
            }
            What::UpstreamEnded { get, how: Ending::Broken | Ending::Wrong | Ending::LetGo, .. } => {
                if let Some(download) = gets.get(get).and_then(|digest| downloads.get_mut(digest)) {
                    download.excused = true;
                }
            }
            _ => {}
        }
    }
    violations
}
