//! Work that would hold up an async thread: files, fsync, hashing.
//!
//! Everything of ours that leaves the async threads leaves them here, so that a simulation can keep it: a pool of threads
//! finishes when it likes, and no run would be like another.

#[cfg(not(feature = "simulation"))]
use tokio::task::JoinHandle;

/// Runs `work` off the async threads. It runs to its end, whether or not anybody waits for it.
#[cfg(not(feature = "simulation"))]
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

#[cfg(feature = "simulation")]
pub use simulated::{offload, seed};

/// Work as a task of the caller's own runtime, done in one step after a drawn time. When the runtime ends, as a process does
/// in a crash, what has not begun never happens.
#[cfg(feature = "simulation")]
mod simulated {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::task::JoinHandle;

    /// Work takes less than this. A disk's fsync, and room for others to come in between.
    const LONGEST_MS: u64 = 4;

    thread_local! {
        static DRAWN: Cell<u64> = const { Cell::new(1) };
    }

    /// From which number on times are drawn on this thread.
    pub fn seed(seed: u64) {
        // Xorshift stands still at zero.
        DRAWN.set(seed | 1 << 63);
    }

    fn drawn() -> u64 {
        let mut drawn = DRAWN.get();
        drawn ^= drawn << 13;
        drawn ^= drawn >> 7;
        drawn ^= drawn << 17;
        DRAWN.set(drawn);
        drawn
    }

    /// Runs `work` after a drawn time.
    pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let takes = Duration::from_millis(drawn() % LONGEST_MS);
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            work()
        })
    }
}
