//! What all hosts of a run share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use roadstead_node::testing::power::Power;
use roadstead_storage::testing::faulty::FaultyStore;

use crate::clock::SkewedClock;
use crate::content::Image;
use crate::draw::Draw;
use crate::history::{Counter, History, Shared};
use crate::sabotage::Sabotage;
use crate::scenario::Scenario;
use crate::upstream::Upstream;

/// See the module's text. A clone is the same stage.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) seed: u64,
    pub(crate) nodes: u64,
    pub(crate) gateways: u64,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) history: History,
    pub(crate) images: Rc<Vec<Image>>,
    pub(crate) bucket: Arc<FaultyStore>,
    pub(crate) upstream: Arc<Upstream>,
    /// Numbers of everything that is numbered in the history.
    pub(crate) calls: Counter,
    /// The node that led when it was last looked; 0 before the first did.
    pub(crate) leader: Arc<AtomicU64>,
    pub(crate) powers: Shared<BTreeMap<String, Power>>,
    pub(crate) clocks: Shared<BTreeMap<String, SkewedClock>>,
    starts: Shared<BTreeMap<String, u64>>,
}

impl Stage {
    pub(crate) fn new(
        seed: u64,
        scenario: &Scenario,
        images: Vec<Image>,
        upstream: Arc<Upstream>,
        sabotage: Option<Sabotage>,
    ) -> Self {
        let bucket = FaultyStore::cloud(Arc::new(object_store::memory::InMemory::new()));
        Self {
            seed,
            nodes: scenario.nodes,
            gateways: scenario.gateways,
            sabotage,
            history: History::default(),
            images: Rc::new(images),
            bucket,
            upstream,
            calls: Counter::default(),
            leader: Arc::default(),
            powers: Rc::new(RefCell::default()),
            clocks: Rc::new(RefCell::default()),
            starts: Rc::new(RefCell::default()),
        }
    }

    /// The clock of a host, which keeps its error over restarts.
    pub(crate) fn clock(&self, host: &str) -> SkewedClock {
        self.clocks.borrow_mut().entry(host.to_owned()).or_default().clone()
    }

    /// A host's software begins; which time it is.
    pub(crate) fn started(&self, host: &str) -> u64 {
        let mut starts = self.starts.borrow_mut();
        let start = starts.entry(host.to_owned()).or_default();
        *start += 1;
        *start
    }

    pub(crate) fn draw(&self, user: &str) -> Draw {
        Draw::of(self.seed, user)
    }
}
