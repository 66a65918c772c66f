//! Seed → scenario. Pure: no clock, no ambient randomness.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::draw_faults::{draw_events, draw_faults};
use super::scenario::{AuthPlan, CLIENTS, ClientPlan, Errand, ImagePlan, Scenario};
use crate::image::Image;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Scenario {
    /// The scenario of a seed: always the same.
    pub fn from_seed(seed: u64) -> Self {
        let random = &mut StdRng::seed_from_u64(seed);
        let images = draw_images(random, seed);
        let mut scenario = Self {
            seed,
            images,
            auth: draw_auth(random),
            redirect: random.random_bool(0.3).then(|| *pick(random, &[302, 303, 307, 307, 308])),
            // Slow enough that clients meet a running download, fast enough that all is over in a few seconds.
            bandwidth: random.random_bool(0.5).then(|| random.random_range(4 * MIB..40 * MIB)),
            release_every_millis: random.random_range(50..400),
            faults: Vec::new(),
            events: Vec::new(),
            clients: Vec::new(),
        };
        let built = scenario.build_images();
        scenario.clients = (0..CLIENTS).map(|_| draw_client(random, &built)).collect();
        // One in ten is calm: there, nothing at all may fail.
        if random.random_bool(0.9) {
            scenario.faults = draw_faults(random, &scenario, &built);
            scenario.events = draw_events(random);
        }
        scenario
    }
}

/// One of several, all as likely.
pub(super) fn pick<'a, T>(random: &mut StdRng, among: &'a [T]) -> &'a T {
    &among[random.random_range(0..among.len())]
}

fn draw_images(random: &mut StdRng, seed: u64) -> Vec<ImagePlan> {
    let count = random.random_range(1..=3);
    let large = random.random_bool(0.3);
    (0..count)
        .map(|number| {
            let mut layers: Vec<u64> =
                (0..random.random_range(1..=3)).map(|_| random.random_range(1..900 * KIB)).collect();
            // Above the threshold at which a download goes to disk.
            if large && number == 0 {
                layers.push(random.random_range(4 * MIB + 1..7 * MIB));
            }
            if random.random_bool(0.1) {
                layers.push(random.random_range(0..2));
            }
            ImagePlan {
                repository: format!("storm/s{seed}-{number}"),
                tag: "1".to_owned(),
                // Far apart, so that no two images of any two scenarios have bytes in common but by a base.
                seed: (seed << 8) + number as u64 + 1,
                base: (number > 0 && random.random_bool(0.4)).then_some(0),
                layers,
                docker: random.random_bool(0.4),
            }
        })
        .collect()
}

fn draw_auth(random: &mut StdRng) -> AuthPlan {
    match random.random_range(0..10) {
        0..4 => AuthPlan::Open,
        4 => AuthPlan::Basic,
        // Some tokens end while the scenario runs.
        5..8 => AuthPlan::AnonymousToken(*pick(random, &[1, 60, 300])),
        _ => AuthPlan::Token(*pick(random, &[1, 60, 300])),
    }
}

fn draw_client(random: &mut StdRng, images: &[Image]) -> ClientPlan {
    // Most come at once, as the jobs of a pipeline do.
    let at_millis = if random.random_bool(0.7) { random.random_range(0..40) } else { random.random_range(0..1500) };
    let image = if random.random_bool(0.6) { 0 } else { random.random_range(0..images.len()) };
    let blobs: Vec<u64> = images[image].blobs().map(|blob| blob.size()).collect();
    let blob = random.random_range(0..blobs.len());
    let errand = match random.random_range(0..20) {
        0..9 => Errand::PullTag,
        9..12 => Errand::PullDigest,
        12..15 => Errand::Blob(blob),
        15..18 if blobs[blob] > 0 => Errand::Ranges(blob, draw_ranges(random, blobs[blob])),
        _ => Errand::Heads,
    };
    let largest = blobs.iter().copied().max().unwrap_or_default();
    ClientPlan {
        at_millis,
        image,
        errand,
        // At most two seconds for the largest blob.
        rate: random.random_bool(0.12).then(|| random.random_range(largest / 2..=largest * 4).max(100 * KIB)),
        leaves_after: random.random_bool(0.12).then(|| random.random_range(0..=largest / 2)),
    }
}

fn draw_ranges(random: &mut StdRng, size: u64) -> Vec<(u64, u64)> {
    (0..random.random_range(1..=4))
        .map(|_| {
            let first = random.random_range(0..size);
            let last = random.random_range(first..size);
            match random.random_range(0..6) {
                // The end beyond the end, and the last byte alone.
                0 => (first, size + 100),
                1 => (size - 1, size - 1),
                _ => (first, last),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn text(seed: u64) -> String {
        serde_json::to_string(&Scenario::from_seed(seed)).unwrap()
    }

    #[test]
    fn a_seed_makes_one_scenario() {
        for seed in 0..20 {
            assert_eq!(text(seed), text(seed));
            assert_ne!(text(seed), text(seed + 1));
        }
    }

    #[test]
    fn the_scenario_of_a_seed_stays_what_it_is_while_the_generator_does() {
        let scenario = Scenario::from_seed(1);
        assert_eq!(scenario.clients.len(), CLIENTS);
        assert_eq!(scenario.images[0].repository, "storm/s1-0");
    }

    #[test]
    fn seeds_differ_in_what_matters() {
        let scenarios: Vec<Scenario> = (0..200).map(Scenario::from_seed).collect();
        let some = |is: fn(&Scenario) -> bool| scenarios.iter().filter(|scenario| is(scenario)).count() > 10;
        assert!(some(Scenario::is_calm));
        assert!(some(|scenario| scenario.redirect.is_some()));
        assert!(some(|scenario| scenario.images.iter().any(|image| image.base.is_some())));
        assert!(some(|scenario| scenario.images[0].layers.iter().any(|size| *size > 4 * MIB)));
        assert!(some(|scenario| !scenario.events.is_empty()));
        // Every effect that there is, and every kind of errand.
        let kinds = |text: String| text.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().map(str::to_owned);
        let effects: BTreeSet<_> = (scenarios.iter().flat_map(|scenario| &scenario.faults))
            .filter_map(|fault| {
                kinds(serde_json::to_string(&fault.effect).unwrap().trim_matches(['{', '"']).to_owned())
            })
            .collect();
        let expected = "bandwidth chunked cold_head corrupt disconnect expire_redirects expire_tokens garbage hang hold \
                        ignore_range latency omit_digest omit_etag opaque_etag redirect_to reset status strict_accept \
                        truncate wrong_digest wrong_length wrong_range";
        assert_eq!(effects.into_iter().collect::<Vec<_>>().join(" "), expected);
    }
}
