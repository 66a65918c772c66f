//! The faults of a scenario. Pure.

use rand::RngExt as _;
use rand::rngs::StdRng;

use super::draw::pick;
use super::scenario::{Event, Happening, Scenario};
use crate::image::{Blob, Image};
use crate::registry::{Effect, Fault, Kind};

/// Faults for the scenario so far.
pub(super) fn draw_faults(random: &mut StdRng, scenario: &Scenario, images: &[Image]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for _ in 0..random.random_range(1..=6) {
        match random.random_range(0..10) {
            0..6 => faults.push(blob_fault(random, scenario, images)),
            6..8 => faults.push(manifest_fault(random, scenario)),
            8 => faults.push(token_fault(random)),
            _ => faults.push(habit(random)),
        }
    }
    // A blob whose every answer breaks off for a while: what a download survives by going on.
    if random.random_bool(0.25) {
        let blob = any_blob(random, images);
        faults.extend((0..random.random_range(3..9)).map(|number| {
            let after = random.random_range(1..=blob.size().max(1));
            let effect = if random.random_bool(0.5) { Effect::Reset { after } } else { Effect::Truncate { after } };
            downloads(scenario, effect).of(blob.digest()).skip(number).times(1)
        }));
    }
    // What nothing vouches for nobody can judge: a manifest by its tag, without a digest and with another byte.
    if faults.iter().any(|fault| fault.effect == Effect::OmitDigest && fault.kinds.is_empty()) {
        faults.retain(|fault| {
            !(matches!(fault.effect, Effect::Corrupt { .. }) && fault.kinds.contains(&Kind::ManifestGet))
        });
    }
    faults
}

/// What happens to the upstream as a whole.
pub(super) fn draw_events(random: &mut StdRng) -> Vec<Event> {
    let mut events = Vec::new();
    if random.random_bool(0.1) {
        let what = Happening::Outage(random.random_range(50..500));
        events.push(Event { at_millis: random.random_range(0..800), what });
    }
    if random.random_bool(0.15) {
        let what = *pick(random, &[Happening::RevokeTokens, Happening::ExpireRedirects]);
        events.extend([50, 300, 700].map(|at_millis| Event { at_millis, what }));
    }
    events
}

fn any_blob<'a>(random: &mut StdRng, images: &'a [Image]) -> &'a Blob {
    let blobs: Vec<&Blob> = images.iter().flat_map(Image::blobs).collect();
    blobs[random.random_range(0..blobs.len())]
}

/// A fault of the answers that bring blobs, wherever they come from.
fn downloads(scenario: &Scenario, effect: Effect) -> Fault {
    let kind = if scenario.redirect.is_some() { Kind::CdnGet } else { Kind::BlobGet };
    Fault::new(effect).on(kind)
}

fn blob_fault(random: &mut StdRng, scenario: &Scenario, images: &[Image]) -> Fault {
    let blob = any_blob(random, images);
    let somewhere = random.random_range(0..=blob.size());
    let fault = match random.random_range(0..30) {
        0..4 => downloads(scenario, Effect::Reset { after: somewhere }),
        4..8 => downloads(scenario, Effect::Truncate { after: somewhere }),
        8..10 => downloads(scenario, Effect::Hang { after: somewhere }),
        10..12 => downloads(scenario, Effect::Corrupt { at: somewhere.min(blob.size().saturating_sub(1)) }),
        12 => downloads(scenario, Effect::Disconnect),
        13 => downloads(scenario, Effect::Hold),
        14 => downloads(scenario, Effect::Chunked),
        15 => downloads(scenario, Effect::Latency { millis: random.random_range(1..300) }),
        16 => Fault::new(Effect::OmitDigest).on(Kind::BlobGet).on(Kind::BlobHead),
        17 => status(random, &[500, 502, 503, 429], downloads(scenario, Effect::Hold)),
        18 => status(random, &[500, 503], Fault::new(Effect::Hold).on(Kind::BlobHead)),
        19 => status(random, &[404, 403], Fault::new(Effect::Hold).on(Kind::BlobGet)),
        20 => downloads(scenario, Effect::Bandwidth { bytes_per_second: (blob.size() / 2).max(100_000) }),
        21 => Fault::redirect_to("{registry}{target}").on(Kind::BlobGet),
        22 => Fault::redirect_to("{cdn}/blobs/{reference}?signature=0").on(Kind::BlobGet),
        23 => downloads(scenario, Effect::ExpireRedirects { after: somewhere }),
        24 => downloads(scenario, Effect::ExpireTokens { after: somewhere }),
        25 => downloads(scenario, Effect::WrongRange { by: *pick(random, &[-1, 1, 100]) }),
        26 => downloads(scenario, Effect::WrongLength { by: *pick(random, &[-100, -1]) }),
        27 => downloads(scenario, Effect::Garbage),
        28 => downloads(scenario, Effect::WrongDigest),
        _ => status(random, &[500, 502, 503, 504], Fault::new(Effect::Hold).on(Kind::BlobGet)),
    };
    let fault = if random.random_bool(0.7) { fault.of(blob.digest()) } else { fault };
    fault.skip(random.random_range(0..3)).times(random.random_range(1..4))
}

/// The same requests, with one of these statuses.
fn status(random: &mut StdRng, among: &[u16], requests: Fault) -> Fault {
    let status = *pick(random, among);
    let (code, message) = match status {
        404 => (Some("BLOB_UNKNOWN".to_owned()), "unknown".to_owned()),
        403 => (Some("DENIED".to_owned()), "denied".to_owned()),
        429 => (Some("TOOMANYREQUESTS".to_owned()), "slower".to_owned()),
        _ => (None, "<html>upstream failed</html>".to_owned()),
    };
    Fault { effect: Effect::Status { status, code, message }, ..requests }
}

fn manifest_fault(random: &mut StdRng, scenario: &Scenario) -> Fault {
    let at = random.random_range(0..400);
    let requests = Fault::new(Effect::Hold).on_manifests();
    let fault = match random.random_range(0..14) {
        0..3 => status(random, &[500, 502, 503, 504, 429], requests),
        3 => Fault { effect: Effect::Truncate { after: at }, ..requests },
        4 => Fault { effect: Effect::Reset { after: at }, ..requests },
        5 => Fault { effect: Effect::Disconnect, ..requests },
        6 => Fault { effect: Effect::Corrupt { at }, ..requests },
        7 => requests,
        8 => Fault { effect: Effect::Hang { after: at }, ..requests },
        9 => Fault { effect: Effect::Chunked, ..requests },
        10 => Fault { effect: Effect::Latency { millis: random.random_range(1..400) }, ..requests },
        11 => Fault { effect: Effect::Garbage, ..requests },
        12 => Fault { effect: Effect::WrongLength { by: *pick(random, &[-7, 7]) }, ..requests },
        _ => Fault { effect: Effect::WrongDigest, ..requests },
    };
    let image = pick(random, &scenario.images);
    fault.in_repository(&image.repository).skip(random.random_range(0..2)).times(random.random_range(1..4))
}

fn token_fault(random: &mut StdRng) -> Fault {
    let requests = Fault::new(Effect::Latency { millis: 100 }).on(Kind::Token);
    let fault = match random.random_range(0..5) {
        0 => requests,
        2 => Fault { effect: Effect::Garbage, ..requests },
        1 => Fault { effect: Effect::Disconnect, ..requests },
        _ => status(random, &[500, 503, 429], requests),
    };
    fault.skip(random.random_range(0..2)).times(random.random_range(1..3))
}

/// What a registry does always.
fn habit(random: &mut StdRng) -> Fault {
    match random.random_range(0..9) {
        0 => Fault::refuse_head(),
        1 | 2 => Fault::new(Effect::IgnoreRange),
        3 => Fault::new(Effect::OmitDigest),
        4 => Fault::new(Effect::Chunked).on(Kind::BlobGet).on(Kind::CdnGet),
        5 => Fault::new(Effect::OmitEtag),
        6 => Fault::new(Effect::OpaqueEtag),
        7 => Fault::new(Effect::ColdHead).on(Kind::BlobGet).on(Kind::BlobHead),
        _ => Fault::new(Effect::StrictAccept),
    }
}
