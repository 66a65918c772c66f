//! Whether a history is that of a register which never forgets and never tells what is over.
//!
//! The search of Wing and Gong, with the memory that Lowe added: lay the operations out one after the other, always taking
//! one that no other had to precede, and never look twice at a situation that was met before. Two remarks keep it short.
//!
//! - A read that may come next and fits is taken at once: it changes nothing, so that it can only be in the way of others.
//! - A write of unknown outcome is needed only for the sake of a read that saw it. It is laid out only right before such a
//!   read, and otherwise never happened.
//!
//! Keys do not know of each other (linearizability is a property of each object alone), so each is judged by itself.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;

use super::operation::{Action, History, Operation, Tick};

/// A history that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many keys it has.
    pub keys: usize,
    /// How many operations were laid out or found to have no trace.
    pub operations: usize,
}

/// A key whose operations have no order that explains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotLinearizable<K, V> {
    /// Which key.
    pub key: K,
    /// How many of its operations could be explained at best.
    pub explained: usize,
    /// What the register held then.
    pub held: Option<V>,
    /// What then could have come next, none of which fits.
    pub stuck_at: Vec<Operation<V>>,
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for NotLinearizable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, explained, held, stuck_at } = self;
        writeln!(
            f,
            "key {key:?}: {explained} operations can be explained and leave {held:?}; then none of these fits:"
        )?;
        for Operation { client, called, returned, action } in stuck_at {
            match returned {
                Some(returned) => writeln!(f, "  client {client}, from {called} to {returned}: {action:?}")?,
                None => writeln!(f, "  client {client}, from {called}, outcome unknown: {action:?}")?,
            }
        }
        Ok(())
    }
}

impl<K: fmt::Debug, V: fmt::Debug> std::error::Error for NotLinearizable<K, V> {}

/// Judges a history.
///
/// # Errors
/// The first key whose operations no order explains.
pub fn check<K: Ord + Clone, V: Eq + Hash + Clone>(history: &History<K, V>) -> Result<Checked, NotLinearizable<K, V>> {
    let mut checked = Checked::default();
    for (key, operations) in &history.keys {
        Register::new(operations).explain().map_err(|stuck| NotLinearizable {
            key: key.clone(),
            explained: stuck.explained,
            held: stuck.held.cloned(),
            stuck_at: stuck.at.into_iter().cloned().collect(),
        })?;
        checked.keys += 1;
        checked.operations += operations.len();
    }
    Ok(checked)
}

/// The operations on one key.
struct Register<'a, V> {
    /// Those with an answer, by the moment of their call, and the moment of their return.
    answered: Vec<(Tick, &'a Operation<V>)>,
    /// Writes of unknown outcome.
    open: Vec<&'a Operation<V>>,
}

/// A situation of the search: what has been laid out, and what the register holds after it. All answered operations before
/// `first` are laid out, and of the others those in `beyond`; of the open ones those in `used`. Both are sorted.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Situation<'a, V> {
    first: usize,
    beyond: Vec<usize>,
    used: Vec<usize>,
    held: Option<&'a V>,
}

impl<V> Situation<'_, V> {
    fn explained(&self) -> usize {
        self.first + self.beyond.len()
    }

    fn has(&self, answered: usize) -> bool {
        answered < self.first || self.beyond.binary_search(&answered).is_ok()
    }

    /// Lays out an answered operation.
    fn lay_out(&mut self, answered: usize) {
        if let Err(place) = self.beyond.binary_search(&answered) {
            self.beyond.insert(place, answered);
        }
        while self.beyond.first() == Some(&self.first) {
            self.beyond.remove(0);
            self.first += 1;
        }
    }
}

/// The furthest that the search came.
struct Stuck<'a, V> {
    explained: usize,
    held: Option<&'a V>,
    at: Vec<&'a Operation<V>>,
}

impl<'a, V: Eq + Hash + Clone> Register<'a, V> {
    fn new(operations: &'a [Operation<V>]) -> Self {
        let mut answered: Vec<_> =
            operations.iter().filter_map(|operation| Some((operation.returned?, operation))).collect();
        answered.sort_by_key(|(returned, operation)| (operation.called, *returned));
        let open = operations.iter().filter(|operation| operation.returned.is_none()).collect();
        Self { answered, open }
    }

    /// Finds an order of all answered operations.
    fn explain(&self) -> Result<(), Stuck<'a, V>> {
        let start = Situation { first: 0, beyond: Vec::new(), used: Vec::new(), held: None };
        let mut furthest = start.clone();
        let (mut met, mut to_look_at) = (HashSet::new(), vec![start]);
        while let Some(mut situation) = to_look_at.pop() {
            let next = self.take_fitting_reads(&mut situation);
            if situation.explained() == self.answered.len() {
                return Ok(());
            }
            if !met.insert(situation.clone()) {
                continue;
            }
            if situation.explained() > furthest.explained() {
                furthest = situation.clone();
            }
            self.branch(&situation, &next, &mut to_look_at);
        }
        let at = self.next(&furthest).into_iter().map(|index| self.answered[index].1).collect();
        Err(Stuck { explained: furthest.explained(), held: furthest.held, at })
    }

    /// The answered operations that may come next: those that began before any other of what is left had returned.
    fn next(&self, situation: &Situation<'a, V>) -> Vec<usize> {
        let (mut next, mut horizon) = (Vec::new(), Tick::MAX);
        for index in situation.first..self.answered.len() {
            let (returned, operation) = self.answered[index];
            // Sorted by calls: nothing further on begins earlier.
            if operation.called > horizon {
                break;
            }
            if !situation.has(index) {
                next.push(index);
                horizon = horizon.min(returned);
            }
        }
        // Found before the horizon had come down to where it is.
        next.retain(|index| self.answered[*index].1.called <= horizon);
        next
    }

    /// Lays out reads that fit for as long as there are any, and says what may come after them.
    fn take_fitting_reads(&self, situation: &mut Situation<'a, V>) -> Vec<usize> {
        loop {
            let next = self.next(situation);
            let fits = |index: &&usize| match &self.answered[**index].1.action {
                Action::Read(seen) => seen.as_ref() == situation.held,
                Action::Write(_) => false,
            };
            let fitting: Vec<usize> = next.iter().filter(fits).copied().collect();
            if fitting.is_empty() {
                return next;
            }
            fitting.into_iter().for_each(|index| situation.lay_out(index));
        }
    }

    /// The situations that can follow.
    fn branch(&self, situation: &Situation<'a, V>, next: &[usize], to_look_at: &mut Vec<Situation<'a, V>>) {
        let horizon = next.iter().map(|index| self.answered[*index].0).min().unwrap_or(Tick::MAX);
        for &index in next {
            match &self.answered[index].1.action {
                Action::Write(value) => {
                    let mut then = situation.clone();
                    then.held = value.as_ref();
                    then.lay_out(index);
                    to_look_at.push(then);
                }
                Action::Read(seen) => {
                    for (number, open) in self.open.iter().enumerate() {
                        let Err(place) = situation.used.binary_search(&number) else { continue };
                        let wrote = matches!(&open.action, Action::Write(value) if value == seen);
                        if wrote && open.called <= horizon {
                            let mut then = situation.clone();
                            then.held = seen.as_ref();
                            then.used.insert(place, number);
                            then.lay_out(index);
                            to_look_at.push(then);
                        }
                    }
                }
            }
        }
    }
}
