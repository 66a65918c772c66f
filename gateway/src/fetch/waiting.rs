//! The queue of results that wait to be recorded: the oldest first, but those that somebody waits for before all others.

use std::collections::{HashMap, HashSet, VecDeque};

use roadstead_proto::domain::lease::LeaseKey;
use roadstead_proto::domain::limits;

use super::later::Deferred;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: VecDeque<Deferred>,
    /// How many there are of each key, the one in hand included.
    keys: HashMap<LeaseKey, usize>,
    /// What somebody waits for.
    hurried: HashSet<LeaseKey>,
}

/// One that is in hand: to be [put back](Waiting::put_back) or [settled](Waiting::settle).
#[derive(Debug)]
pub(super) struct InHand {
    pub(super) deferred: Deferred,
    /// Whether somebody waits for it.
    pub(super) is_hurried: bool,
}

impl Waiting {
    /// Adds one; where there are too many the oldest is let go.
    pub(super) fn push(&mut self, deferred: Deferred) {
        if self.queue.len() >= limits::LATER_MAX
            && let Some(oldest) = self.queue.pop_front()
        {
            self.settle(&oldest.key);
        }
        *self.keys.entry(deferred.key.clone()).or_default() += 1;
        self.queue.push_back(deferred);
    }

    /// Takes the next one.
    pub(super) fn take(&mut self) -> Option<InHand> {
        let deferred = self.queue.pop_front()?;
        let is_hurried = self.hurried.remove(&deferred.key);
        Some(InHand { deferred, is_hurried })
    }

    /// It has to wait on.
    pub(super) fn put_back(&mut self, deferred: Deferred) {
        if self.hurried.contains(&deferred.key) {
            self.queue.push_front(deferred);
        } else {
            self.queue.push_back(deferred);
        }
    }

    /// One of this key is recorded, or never will be.
    pub(super) fn settle(&mut self, key: &LeaseKey) {
        if let Some(count) = self.keys.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.keys.remove(key);
                self.hurried.remove(key);
            }
        }
    }

    /// Whether something of this key waits or is in hand; it comes next then.
    pub(super) fn hurry(&mut self, key: &LeaseKey) -> bool {
        let waits = self.keys.contains_key(key);
        if waits && self.hurried.insert(key.clone()) {
            let at = self.queue.iter().position(|deferred| deferred.key == *key);
            if let Some(deferred) = at.and_then(|at| self.queue.remove(at)) {
                self.queue.push_front(deferred);
            }
        }
        waits
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }
}
