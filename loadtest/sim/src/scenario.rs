//! What a run is: who is there, what they do, and what goes wrong when. All of it is data, drawn from the seed.

use std::time::Duration;

use crate::draw::Draw;
use crate::upstream::Manners;

/// Something goes wrong, or is well again.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// The power of this host goes.
    Crash(Target),
    /// Everything that is down starts again.
    StartAll,
    /// Nothing passes between these hosts and all others.
    Isolate(Target),
    /// Nothing passes from this host to the nodes; everything passes back.
    Mute(Target),
    /// Nothing passes from the nodes to this host.
    Deafen(Target),
    /// Everything passes.
    Connect,
    /// The clock of this host is wrong by so many milliseconds.
    Skew(Target, i64),
    /// The bucket does not answer.
    BucketDown,
    /// The bucket answers.
    BucketUp,
    /// So many milliseconds more for every byte range, part and object.
    BucketSlow(u64),
    /// The upstream behaves so.
    Upstream(Manners),
}

/// A host, named or by what it is doing when it is hit.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// This node.
    Node(u64),
    /// The node that leads.
    Leader,
    /// This gateway.
    Gateway(u64),
    /// The gateway that downloads from the upstream; the first one where none does.
    Filler,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) nodes: u64,
    pub(crate) gateways: u64,
    pub(crate) pullers: u64,
    pub(crate) images: usize,
    pub(crate) layer_bytes: u64,
    pub(crate) manners: Manners,
    /// Pullers begin within this time.
    pub(crate) spread_ms: u64,
    /// For so long configuration is changed and faults strike.
    pub(crate) lasts: Duration,
    /// From the beginning of the pulls.
    pub(crate) actions: Vec<(Duration, Action)>,
}

/// Every scenario.
pub(crate) const NAMES: [&str; 8] =
    ["smoke", "herd", "leader_loss", "gateway_loss", "partition", "clock_skew", "s3_outage", "mix"];

fn base() -> Scenario {
    Scenario {
        nodes: 3,
        gateways: 3,
        pullers: 4,
        images: 2,
        layer_bytes: 600_000,
        manners: Manners::default(),
        spread_ms: 2_000,
        lasts: Duration::from_secs(8),
        actions: Vec::new(),
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The scenario `name` as it is under `seed`.
pub(crate) fn of(name: &str, seed: u64) -> Option<Scenario> {
    let draw = Draw::of(seed, name);
    let scenario = match name {
        "smoke" => base(),
        "herd" => Scenario { pullers: 12, images: 1, spread_ms: 50, lasts: ms(4_000), ..base() },
        "leader_loss" => Scenario {
            lasts: ms(14_000),
            spread_ms: 8_000,
            actions: vec![
                (draw.millis(300, 1_500), Action::Crash(Target::Leader)),
                (draw.millis(3_500, 5_000), Action::StartAll),
                (draw.millis(7_000, 8_500), Action::Crash(Target::Leader)),
                (draw.millis(9_000, 11_000), Action::StartAll),
            ],
            ..base()
        },
        "gateway_loss" => Scenario {
            spread_ms: 300,
            images: 1,
            lasts: ms(8_000),
            layer_bytes: 1_500_000,
            actions: vec![
                (draw.millis(100, 900), Action::Crash(Target::Filler)),
                (draw.millis(5_000, 6_000), Action::StartAll),
            ],
            ..base()
        },
        "partition" => Scenario {
            lasts: ms(16_000),
            spread_ms: 10_000,
            actions: vec![
                (draw.millis(200, 1_000), split(&draw)),
                (draw.millis(4_000, 6_000), Action::Connect),
                (draw.millis(7_000, 8_000), split(&draw)),
                (draw.millis(11_000, 13_000), Action::Connect),
            ],
            ..base()
        },
        "clock_skew" => Scenario {
            lasts: ms(12_000),
            spread_ms: 6_000,
            actions: (0..6)
                .map(|_| (draw.millis(0, 9_000), Action::Skew(anyone(&draw), skew(&draw))))
                .chain([(draw.millis(3_000, 6_000), Action::Crash(Target::Leader)), (ms(8_000), Action::StartAll)])
                .collect(),
            ..base()
        },
        "s3_outage" => Scenario {
            lasts: ms(10_000),
            spread_ms: 6_000,
            actions: vec![
                (ms(0), Action::BucketSlow(draw.between(0, 30))),
                (draw.millis(200, 2_000), Action::BucketDown),
                (draw.millis(4_000, 6_000), Action::BucketUp),
            ],
            ..base()
        },
        "mix" => mix(&draw),
        _ => return None,
    };
    Some(sorted(scenario))
}

fn sorted(mut scenario: Scenario) -> Scenario {
    scenario.actions.sort_by_key(|(at, _)| *at);
    scenario
}

fn anyone(draw: &Draw) -> Target {
    match draw.between(0, 4) {
        0 => Target::Leader,
        1 => Target::Node(draw.between(1, 4)),
        2 => Target::Filler,
        _ => Target::Gateway(draw.between(1, 4)),
    }
}

fn split(draw: &Draw) -> Action {
    let of = anyone(draw);
    match draw.between(0, 3) {
        0 => Action::Isolate(of),
        1 => Action::Mute(of),
        _ => Action::Deafen(of),
    }
}

/// Up to an hour wrong, in either direction; mostly a few seconds.
fn skew(draw: &Draw) -> i64 {
    let most = draw.one_of(&[2_000, 10_000, 3_600_000]);
    i64::try_from(draw.between(0, 2 * most)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}

fn mix(draw: &Draw) -> Scenario {
    let lasts = 15_000;
    let actions = (0..draw.between(3, 9)).map(|_| {
        let action = match draw.between(0, 11) {
            0 | 1 => Action::Crash(anyone(draw)),
            2 | 3 => Action::StartAll,
            4 | 5 => split(draw),
            6 => Action::Connect,
            7 => Action::Skew(anyone(draw), skew(draw)),
            8 => Action::BucketDown,
            9 => Action::BucketUp,
            _ => Action::BucketSlow(draw.between(0, 60)),
        };
        (draw.millis(0, lasts), action)
    });
    Scenario {
        pullers: draw.between(2, 8),
        images: usize::try_from(draw.between(1, 4)).unwrap_or(1),
        layer_bytes: draw.between(50_000, 1_000_000),
        manners: Manners {
            piece_ms: draw.between(2, 25),
            breaks: draw.one_of(&[0, 0, 20, 50]),
            refuses: draw.one_of(&[0, 0, 10]),
            lies: draw.one_of(&[0, 0, 15]),
        },
        spread_ms: draw.between(100, 10_000),
        lasts: ms(lasts),
        actions: actions.collect(),
        ..base()
    }
}
