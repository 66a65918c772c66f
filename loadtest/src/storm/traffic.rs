//! What the upstream sent: everything once, but for what faults force. Pure.
//!
//! Counted is what the upstream handed to its connections. A reset throws away what has not left the sender's socket by
//! then: such bytes were sent, never arrived, and have to be sent again. They are counted, and allowed for: no more than a
//! socket holds, and only with that answer.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;

use super::answers::breaks;
use super::judge::{Rule, Verdict};
use super::scenario::{Happening, Scenario};
use crate::image::Image;
use crate::registry::{Effect, End, Kind, Page};

/// What a socket holds at most on its way (`tcp_wmem`), and so what a reset can lose.
const SOCKET_BYTES: u64 = 4 * 1024 * 1024;
/// What an upstream that goes away has handed to a connection and not to the kernel.
const UNWRITTEN_BYTES: u64 = 1024 * 1024;
/// Below this, a body that breaks off may not have begun to arrive.
const HARDLY_BEGUN: u64 = 64 * 1024;
/// Attempts to continue after which a download is given up (`FILL_RESUMES_MAX` in the gateway's limits).
const RESUMES_MAX: u64 = 10;
/// How the gateway asks for the size of a blob where `HEAD` does not tell it.
const PROBE: &str = "bytes=0-0";

/// What was to be sent, and what was sent, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Manifests and blobs, each once.
    pub content: u64,
    /// What the upstream sent.
    pub sent: u64,
    /// What faults allowed it to send beyond that.
    pub forced: u64,
}

pub(super) fn has_outage(scenario: &Scenario) -> bool {
    scenario.events.iter().any(|event| matches!(event.what, Happening::Outage(_)))
}

pub(super) fn judge_traffic(scenario: &Scenario, images: &[Image], pages: &[Page], verdict: &mut Verdict) {
    let mut traffic = Traffic::default();
    let outage = has_outage(scenario);
    let blobs: BTreeMap<&str, u64> =
        images.iter().flat_map(Image::blobs).map(|blob| (blob.digest(), blob.size())).collect();
    for (digest, size) in blobs {
        let downloads: Vec<&Page> = pages.iter().filter(|page| brings_blob(page, digest)).collect();
        let forced = judge_blob(digest, size, &downloads, outage, verdict);
        traffic.content += size;
        traffic.forced += forced;
    }
    for (image, plan) in images.iter().zip(&scenario.images) {
        traffic.content += image.manifest().bytes().len() as u64;
        for reference in [plan.tag.as_str(), image.digest()] {
            judge_manifest(&plan.repository, reference, pages, verdict);
        }
    }
    traffic.sent = pages.iter().map(|page| page.sent).sum();
    let most = traffic.content + traffic.content / 10 + traffic.forced;
    if traffic.sent > most {
        verdict.complain(Rule::TooManyBytes, format!("in all {traffic:?}: at most {most} may be sent"));
    }
    verdict.summary.traffic = traffic;
}

fn brings_blob(page: &Page, digest: &str) -> bool {
    matches!(page.kind, Kind::BlobGet | Kind::CdnGet) && page.reference.as_deref() == Some(digest)
}

/// Returns the bytes that faults allowed beyond the blob's own.
fn judge_blob(digest: &str, size: u64, downloads: &[&Page], outage: bool, verdict: &mut Verdict) -> u64 {
    let sent: u64 = downloads.iter().map(|page| page.sent).sum();
    let begun = downloads.iter().filter(|page| is_served(page) && page.range.is_none()).count() as u64;
    let tolls: Vec<Toll> = downloads.iter().map(|page| toll(page, size, outage)).collect();
    let broken = tolls.iter().filter(|toll| toll.breaks).count() as u64;
    let given_up = broken / RESUMES_MAX;
    let forced = tolls.iter().map(|toll| toll.bytes).sum::<u64>() + given_up * size;
    let anew = tolls.iter().filter(|toll| toll.anew).count() as u64 + given_up;
    if begun > 1 + anew {
        let what = format!("{digest} was begun {begun} times, and faults explain {anew} times more than once");
        verdict.complain(Rule::BegunAnew, format!("{what}: {downloads:?}"));
    }
    if sent > size + forced {
        let what = format!("{digest} of {size} bytes: {sent} were sent, and faults explain {forced} more than once");
        verdict.complain(Rule::TooManyBytes, format!("{what}: {downloads:?}"));
    }
    forced
}

/// What a fault of one answer costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Toll {
    /// Bytes that have to be sent again.
    bytes: u64,
    /// The download has to begin anew.
    anew: bool,
    /// The download breaks off here, and is continued.
    breaks: bool,
}

fn toll(page: &Page, size: u64, outage: bool) -> Toll {
    if page.range.as_deref() == Some(PROBE) {
        return Toll { bytes: page.sent, ..Toll::default() };
    }
    let from = page.range.as_deref().and_then(first_of).unwrap_or(0);
    if !is_served(page) {
        // A download that has begun, and then it is said that there is no such blob, or another thing comes.
        let gone = from > 0 && matches!(page.status, Some(200 | 401 | 403 | 404)) && page.met.iter().any(breaks);
        // What is no blob is taken for one until the verdict; what comes after it is in vain.
        let poisoned = page.status == Some(200) && page.met.contains(&Effect::Garbage);
        let bytes = if poisoned {
            size
        } else if gone {
            from
        } else {
            0
        };
        return Toll { bytes, anew: gone || poisoned, breaks: page.met.iter().any(breaks) };
    }
    let mut toll = Toll::default();
    if page.part.start < from {
        // The range was ignored: what came before comes again.
        toll.bytes += page.sent.min(from - page.part.start);
    }
    if page.met.iter().any(|effect| matches!(effect, Effect::Disconnect)) {
        return Toll { bytes: page.sent, anew: true, breaks: true };
    }
    if page.range.is_some() && page.met.iter().any(|effect| matches!(effect, Effect::WrongRange { .. })) {
        // Not taken, whatever it brings.
        return Toll { bytes: page.sent, anew: false, breaks: true };
    }
    if is_corrupt(page) || page.met.iter().any(|effect| matches!(effect, Effect::WrongLength { .. })) {
        toll.bytes += size;
        toll.anew = true;
    }
    let cut = page
        .met
        .iter()
        .find(|effect| matches!(effect, Effect::Reset { .. } | Effect::Truncate { .. } | Effect::Hang { .. }));
    match cut {
        _ if page.end != End::CutOff => {}
        Some(Effect::Reset { .. }) => {
            toll.bytes += page.sent.min(SOCKET_BYTES);
            toll.breaks = true;
            toll.anew |= page.sent < HARDLY_BEGUN;
        }
        Some(Effect::Truncate { .. }) => {
            toll.breaks = true;
            // Nothing has arrived, so that there is nothing to continue.
            toll.anew |= page.sent == 0;
        }
        _ if outage => {
            toll.bytes += page.sent.min(UNWRITTEN_BYTES);
            toll.breaks = true;
            toll.anew |= page.sent < UNWRITTEN_BYTES;
        }
        _ => {}
    }
    toll
}

fn is_served(page: &Page) -> bool {
    matches!(page.status, Some(200 | 206)) && !page.met.contains(&Effect::Garbage)
}

fn is_corrupt(page: &Page) -> bool {
    let sent: Range<u64> = page.part.start..page.part.start + page.sent;
    let flipped = page.met.iter().find_map(|effect| match effect {
        Effect::Corrupt { at } => Some(*at),
        _ => None,
    });
    flipped.is_some_and(|at| sent.contains(&at))
}

/// The first byte of `bytes=<first>-`.
fn first_of(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

/// A good answer about a manifest is asked for once.
fn judge_manifest(repository: &str, reference: &str, pages: &[Page], verdict: &mut Verdict) {
    let good = |page: &&Page| {
        page.kind == Kind::ManifestGet
            && page.repository.as_deref() == Some(repository)
            && page.reference.as_deref() == Some(reference)
            && is_served(page)
            && page.end == End::Whole
            && !page.met.iter().any(breaks)
    };
    let count = pages.iter().filter(good).count();
    if count > 1 {
        let what = format!("the manifest {repository} {reference} was sent {count} times without any fault");
        verdict.complain(Rule::TooManyBytes, what);
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
