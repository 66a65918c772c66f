//! One run: sets the stage, lets the scenario happen, heals everything, and looks at what is left.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roadstead_storage::testing::faulty::{FaultKind, Op, When};
use turmoil::Sim;

use crate::content;
use crate::history::{Event, History, Recorder, What};
use crate::hosts::{gateway, gateway_name, node, node_name, person, puller, watcher};
use crate::sabotage::{Sabotage, copy_files};
use crate::scenario::{Action, Scenario, Target};
use crate::stage::Stage;
use crate::upstream::{Manners, Upstream};

/// Watchers of a run.
const WATCHERS: u64 = 2;
/// People who change the configuration.
const PEOPLE: u64 = 2;
/// Longest run.
const PATIENCE: Duration = Duration::from_secs(400);

/// What came of a run.
pub(crate) struct Ran {
    pub(crate) history: History,
    /// Why it could not be run to its end: a panic, or a host's software that ended.
    pub(crate) failure: Option<String>,
    pub(crate) lasted: Duration,
}

/// Runs `scenario` under `seed`, in the current directory.
pub(crate) fn run(scenario: &Scenario, seed: u64, sabotage: Option<Sabotage>) -> Ran {
    let images = content::images(seed, scenario.images, scenario.layer_bytes);
    let upstream = Upstream::new(seed, images.clone(), scenario.manners);
    let stage = Stage::new(seed, scenario, images, upstream, sabotage);
    let sim = turmoil::Builder::new()
        .rng_seed(seed)
        .enable_random_order()
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(8))
        .tcp_capacity(4096)
        .simulation_duration(PATIENCE)
        .build();
    let history = stage.history.clone();
    let mut run = Run { sim, scenario, recorder: history.of("-"), stage, down: Vec::new() };
    let failure = run.whole().err().map(|error| error.to_string());
    let lasted = run.sim.elapsed();
    Ran { history, failure, lasted }
}

struct Run<'a> {
    sim: Sim<'static>,
    scenario: &'a Scenario,
    stage: Stage,
    recorder: Recorder,
    down: Vec<String>,
}

impl Run<'_> {
    fn whole(&mut self) -> turmoil::Result {
        self.set_up()?;
        self.happen()?;
        self.sabotage()?;
        self.heal();
        self.until_clients_are_done()?;
        let stage = self.stage.clone();
        self.sim.client("auditor", person::read(stage));
        self.until_clients_are_done()
    }

    fn step(&mut self) -> Result<bool, Box<dyn std::error::Error>> {
        self.sim.step()
    }

    fn until_clients_are_done(&mut self) -> turmoil::Result {
        while !self.step()? {}
        Ok(())
    }

    fn set_up(&mut self) -> turmoil::Result {
        for id in 1..=self.scenario.nodes {
            let stage = self.stage.clone();
            self.sim.host(node_name(id), move || node::run(stage.clone(), id));
        }
        for number in 1..=self.scenario.gateways {
            let stage = self.stage.clone();
            self.sim.host(gateway_name(number), move || gateway::run(stage.clone(), number));
        }
        self.sim.client("founder", person::found(self.stage.clone()));
        self.until_clients_are_done()?;
        for number in 1..=WATCHERS {
            let stage = self.stage.clone();
            self.sim.host(format!("watcher-{number}"), move || watcher::run(stage.clone(), number));
        }
        let draw = self.stage.draw("pullers");
        for number in 1..=self.scenario.pullers {
            let mut images: Vec<usize> = (0..self.scenario.images).collect();
            let first = usize::try_from(draw.any() % images.len() as u64).expect("an index");
            images.rotate_left(first);
            let wait = draw.millis(0, self.scenario.spread_ms);
            self.sim.client(format!("puller-{number}"), puller::run(self.stage.clone(), number, images, wait));
        }
        let until = self.sim.elapsed() + self.scenario.lasts;
        for number in 1..=PEOPLE {
            self.sim.client(format!("person-{number}"), person::change(self.stage.clone(), number, until));
        }
        Ok(())
    }

    fn happen(&mut self) -> turmoil::Result {
        let began = self.sim.elapsed();
        let mut actions = self.scenario.actions.iter().peekable();
        let mut is_copied = self.stage.sabotage != Some(Sabotage::DisksForget);
        while self.sim.elapsed() < began + self.scenario.lasts {
            if !is_copied && self.sim.elapsed() >= began + self.scenario.lasts / 2 {
                is_copied = true;
                for id in 1..=self.scenario.nodes {
                    copy_files(Path::new(&node_name(id)), Path::new(&earlier(id)))?;
                }
            }
            while let Some((_, action)) = actions.next_if(|(at, _)| began + *at <= self.sim.elapsed()) {
                self.act(action);
            }
            self.step()?;
        }
        Ok(())
    }

    /// What of a sabotage strikes at the end of the scenario.
    fn sabotage(&mut self) -> turmoil::Result {
        match self.stage.sabotage {
            Some(Sabotage::DisksForget) => {
                let nodes = 1..=self.scenario.nodes;
                nodes.clone().for_each(|id| self.act(&Action::Crash(Target::Node(id))));
                for id in nodes {
                    copy_files(Path::new(&earlier(id)), Path::new(&node_name(id)))?;
                }
            }
            Some(Sabotage::NobodyStarts) => {
                (1..=self.scenario.gateways).for_each(|number| self.act(&Action::Crash(Target::Gateway(number))));
                let stage = self.stage.clone();
                self.sim.client("puller-late", puller::run(stage, 1, vec![0], Duration::ZERO));
                self.down.clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn heal(&mut self) {
        self.act(&Action::Connect);
        self.act(&Action::BucketUp);
        self.act(&Action::Upstream(Manners { breaks: 0, refuses: 0, lies: 0, ..self.scenario.manners }));
        self.act(&Action::StartAll);
        self.fault("everything is well again".to_owned());
    }

    fn fault(&self, what: String) {
        self.recorder.record_at(self.sim.elapsed(), What::Fault(what));
    }

    fn target(&self, target: &Target) -> String {
        match target {
            Target::Node(id) => node_name(*id),
            Target::Leader => node_name(self.stage.leader.load(Ordering::Relaxed).max(1)),
            Target::Gateway(number) => gateway_name(*number),
            Target::Filler => filler(&self.stage.history.all()).unwrap_or_else(|| gateway_name(1)),
        }
    }

    fn everyone(&self) -> Vec<String> {
        let nodes = (1..=self.scenario.nodes).map(node_name);
        nodes.chain((1..=self.scenario.gateways).map(gateway_name)).collect()
    }

    fn nodes(&self) -> Vec<String> {
        (1..=self.scenario.nodes).map(node_name).collect()
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Crash(target) => {
                let host = self.target(target);
                if self.down.contains(&host) {
                    return;
                }
                self.fault(format!("crash {host}"));
                // First: what is dropped with the process must not reach the disk any more.
                if let Some(power) = self.stage.powers.borrow_mut().remove(&host) {
                    power.cut();
                }
                self.sim.crash(host.as_str());
                self.down.push(host);
            }
            Action::StartAll => {
                for host in std::mem::take(&mut self.down) {
                    self.fault(format!("start {host}"));
                    self.sim.bounce(host.as_str());
                }
            }
            Action::Isolate(target) => {
                let host = self.target(target);
                self.fault(format!("isolate {host}"));
                for other in self.everyone().into_iter().filter(|other| *other != host) {
                    self.sim.partition(host.as_str(), other.as_str());
                }
            }
            Action::Mute(target) => {
                let host = self.target(target);
                self.fault(format!("mute {host}"));
                for node in self.nodes().into_iter().filter(|node| *node != host) {
                    self.sim.partition_oneway(host.as_str(), node.as_str());
                }
            }
            Action::Deafen(target) => {
                let host = self.target(target);
                self.fault(format!("deafen {host}"));
                for node in self.nodes().into_iter().filter(|node| *node != host) {
                    self.sim.partition_oneway(node.as_str(), host.as_str());
                }
            }
            Action::Connect => {
                self.fault("connect".to_owned());
                let hosts = self.everyone();
                for (number, one) in hosts.iter().enumerate() {
                    for other in &hosts[number + 1..] {
                        self.sim.repair(one.as_str(), other.as_str());
                    }
                }
            }
            Action::Skew(target, wrong_by_ms) => {
                let host = self.target(target);
                self.fault(format!("skew {host} {wrong_by_ms}"));
                self.stage.clock(&host).set(*wrong_by_ms);
            }
            Action::BucketDown => {
                self.fault("bucket down".to_owned());
                self.stage.bucket.heal();
                self.stage.bucket.fail_everything();
            }
            Action::BucketUp => {
                self.fault("bucket up".to_owned());
                self.stage.bucket.heal();
            }
            Action::BucketSlow(millis) => {
                self.fault(format!("bucket slow {millis}"));
                for op in [Op::Get, Op::Put, Op::Part] {
                    self.stage.bucket.fail(op, When::Always, FaultKind::Latency(Duration::from_millis(*millis)));
                }
            }
            Action::Upstream(manners) => {
                self.fault(format!("{manners:?}"));
                self.stage.upstream.set_manners(*manners);
            }
        }
    }
}

/// Where the files of a node are kept that its disk is to go back to.
fn earlier(id: u64) -> String {
    format!("{}.earlier", node_name(id))
}

/// The gateway whose download of a blob began last and has not ended.
fn filler(events: &[Event]) -> Option<String> {
    let mut running = Vec::new();
    for event in events {
        match &event.what {
            What::UpstreamBegan { get, .. } => running.push((*get, event.host.clone())),
            What::UpstreamEnded { get, .. } => {
                running.retain(|(running, _)| running != get);
            }
            _ => {}
        }
    }
    running.pop().map(|(_, host)| host)
}
