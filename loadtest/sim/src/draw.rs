//! Draws of the simulation's own: what is to happen, and when. Each user has a stream of its own, so that one draw more in
//! one place changes nothing elsewhere.

use std::cell::Cell;
use std::time::Duration;

/// A stream of draws (SplitMix64).
#[derive(Debug)]
pub(crate) struct Draw(Cell<u64>);

impl Draw {
    /// The stream that `user` has under `seed`.
    pub(crate) fn of(seed: u64, user: &str) -> Self {
        let name = user
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ name))
    }

    pub(crate) fn any(&self) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut drawn = self.0.get();
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// At least `from`, less than `to`.
    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.any() % (to - from).max(1)
    }

    /// So many times in a hundred.
    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }

    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    pub(crate) fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.between(0, of.len() as u64)).expect("an index")]
    }

    pub(crate) fn bytes(&self, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.any().to_le_bytes()).take(len.div_ceil(8));
        let mut bytes: Vec<u8> = words.flatten().collect();
        bytes.truncate(len);
        bytes
    }
}
