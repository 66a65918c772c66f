//! Work that would hold up an async thread: files, fsync, hashing.
//!
//! Everything of ours that leaves the async threads leaves them here, so that a simulation can keep it: a pool of threads
//! finishes when it likes, and no run would be like another.

use tokio::task::JoinHandle;

#[cfg(feature = "simulation")]
pub use simulated::simulate;

/// Runs `work` off the async threads. It runs to its end, whether or not anybody waits for it.
pub fn offload<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(feature = "simulation")]
    if let Some(takes) = simulated::draw() {
        return simulated::run(takes, work);
    }
    tokio::task::spawn_blocking(work)
}

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
        /// What was drawn last; `None` where nothing is simulated.
        static DRAWN: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From here on this thread is a simulation: work stays on it, and how long it takes is drawn from `seed`.
    pub fn simulate(seed: u64) {
        // Xorshift stands still at zero.
        DRAWN.set(Some(seed | 1 << 63));
    }

    /// How long the next piece of work takes.
    pub(super) fn draw() -> Option<Duration> {
        let mut drawn = DRAWN.get()?;
        drawn ^= drawn << 13;
        drawn ^= drawn >> 7;
        drawn ^= drawn << 17;
        DRAWN.set(Some(drawn));
        Some(Duration::from_millis(drawn % LONGEST_MS))
    }

    pub(super) fn run<T: Send + 'static>(takes: Duration, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            work()
        })
    }
}
