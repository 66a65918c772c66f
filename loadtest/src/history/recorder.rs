//! Many clients write one history.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::operation::{Action, History, Operation, Tick};

/// Notes down operations of many clients at once.
///
/// Moments are numbers drawn from one counter, before an operation is sent and after its answer has come. That one
/// operation ended before another began is then always seen, and no clock is needed: where two numbers were drawn at once,
/// either order is true.
#[derive(Debug)]
pub struct Recorder<K, V> {
    ticks: AtomicU64,
    history: Mutex<History<K, V>>,
}

impl<K, V> Default for Recorder<K, V> {
    fn default() -> Self {
        Self { ticks: AtomicU64::new(0), history: Mutex::default() }
    }
}

/// An operation that has been sent.
#[derive(Clone, Copy, Debug)]
#[must_use = "what became of it is to be recorded"]
pub struct Begun {
    client: u32,
    called: Tick,
}

impl<K: Ord + Clone, V: Clone> Recorder<K, V> {
    fn tick(&self) -> Tick {
        // Sequentially consistent: an order that all threads agree upon is what the moments are for.
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn push(&self, key: K, operation: Operation<V>) {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).push(key, operation);
    }

    /// To be called right before an operation is sent.
    pub fn begin(&self, client: u32) -> Begun {
        Begun { client, called: self.tick() }
    }

    /// A write was acknowledged, or a read was answered.
    pub fn returned(&self, begun: Begun, key: K, action: Action<V>) {
        let returned = Some(self.tick());
        self.push(key, Operation { client: begun.client, called: begun.called, returned, action });
    }

    /// A write's outcome is not known: it may have happened, may yet happen, or never. Not to be used for a write that was
    /// surely refused; such a one is no part of the history.
    pub fn lost_sight(&self, begun: Begun, key: K, value: Option<V>) {
        let Begun { client, called } = begun;
        self.push(key, Operation { client, called, returned: None, action: Action::Write(value) });
    }

    /// What was recorded so far.
    pub fn so_far(&self) -> History<K, V> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::check;

    #[test]
    fn what_ended_before_another_began_is_seen_in_that_order() {
        let recorder = Recorder::<_, u64>::default();
        let first = recorder.begin(1);
        recorder.returned(first, "a", Action::Write(Some(1)));
        let second = recorder.begin(2);
        recorder.returned(second, "a", Action::Read(None));
        let history = recorder.so_far();
        assert_eq!((history.acknowledged(), history.unknown()), (1, 0));
        assert!(check(&history).is_err(), "the write was over when the read began");
    }

    #[test]
    fn what_overlaps_may_be_seen_either_way() {
        for seen in [None, Some(1)] {
            let recorder = Recorder::<_, u64>::default();
            let (write, read) = (recorder.begin(1), recorder.begin(2));
            recorder.returned(write, "a", Action::Write(Some(1)));
            recorder.returned(read, "a", Action::Read(seen));
            check(&recorder.so_far()).unwrap();
        }
    }

    #[test]
    fn a_write_out_of_sight_may_have_happened_or_not() {
        for seen in [None, Some(1)] {
            let recorder = Recorder::<_, u64>::default();
            let write = recorder.begin(1);
            recorder.lost_sight(write, "a", Some(1));
            let read = recorder.begin(2);
            recorder.returned(read, "a", Action::Read(seen));
            let history = recorder.so_far();
            assert_eq!((history.acknowledged(), history.unknown()), (0, 1));
            check(&history).unwrap();
        }
    }
}
