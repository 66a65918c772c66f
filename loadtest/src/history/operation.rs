//! What one client did to one key, and when.

use std::collections::BTreeMap;

/// A moment of the history. Only the order of moments means anything.
pub type Tick = u64;

/// What was asked of a register, and what it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<V> {
    /// The value was set; `None` removes it.
    Write(Option<V>),
    /// This value was seen; `None` is nothing.
    Read(Option<V>),
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<V> {
    /// Who did it; for the reader of a verdict.
    pub client: u32,
    /// When it was asked for.
    pub called: Tick,
    /// When the answer was there; `None` if no answer said what became of it. Such a read has said nothing and is left
    /// out of histories.
    pub returned: Option<Tick>,
    /// What it was.
    pub action: Action<V>,
}

/// Operations by key. Every key begins without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History<K, V> {
    /// In any order.
    pub keys: BTreeMap<K, Vec<Operation<V>>>,
}

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self { keys: BTreeMap::new() }
    }
}

impl<K: Ord, V> History<K, V> {
    /// Adds an operation on a key.
    pub fn push(&mut self, key: K, operation: Operation<V>) {
        self.keys.entry(key).or_default().push(operation);
    }

    /// How many writes were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.writes().filter(|operation| operation.returned.is_some()).count()
    }

    /// How many writes nobody knows the outcome of.
    pub fn unknown(&self) -> usize {
        self.writes().filter(|operation| operation.returned.is_none()).count()
    }

    fn writes(&self) -> impl Iterator<Item = &Operation<V>> {
        self.keys.values().flatten().filter(|operation| matches!(operation.action, Action::Write(_)))
    }
}
