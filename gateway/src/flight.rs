//! Single flight inside one process: of many that want the same thing at once, one works and all get the result.
//!
//! The work runs as a task of its own: whoever leaves cancels nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// The work ended without a result: it panicked, or the runtime is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work that others waited for was abandoned")]
pub struct Abandoned;

/// What one caller was in a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its work was done.
    Led,
    /// It waited for another's.
    Joined,
}

type Landing<V> = Shared<BoxFuture<'static, Result<V, Abandoned>>>;

/// The flights under way, by key.
pub struct Flights<K, V> {
    running: Arc<Mutex<HashMap<K, Landing<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { running: Arc::default() }
    }
}

impl<K, V> std::fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").field("running", &lock(&self.running).len()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every section only inserts or removes, so that a panic elsewhere leaves the map whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the flight off the map, also when the work panics.
struct Departure<K: Eq + Hash, V> {
    key: K,
    running: Arc<Mutex<HashMap<K, Landing<V>>>>,
}

impl<K: Eq + Hash, V> Drop for Departure<K, V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the flight of `key`, or starts it with `work`.
    ///
    /// # Errors
    /// [`Abandoned`] where the work panicked.
    pub async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<(V, Part), Abandoned>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (landing, part) = match lock(&self.running).entry(key) {
            Entry::Occupied(flight) => (flight.get().clone(), Part::Joined),
            Entry::Vacant(place) => {
                let departure = Departure { key: place.key().clone(), running: Arc::clone(&self.running) };
                let work = work();
                let task = tokio::spawn(async move {
                    // Held until the result is there: who comes later starts anew and sees what was recorded.
                    let _departure = departure;
                    work.await
                });
                let landing = task.map(|result| result.map_err(|_| Abandoned)).boxed().shared();
                (place.insert(landing).clone(), Part::Led)
            }
        };
        landing.await.map(|value| (value, part))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn one_works_and_all_get_the_result() {
        let flights = Arc::new(Flights::<u8, usize>::default());
        let calls = Arc::new(AtomicUsize::new(0));
        let go = Arc::new(Notify::new());
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let (flights, calls, go) = (Arc::clone(&flights), Arc::clone(&calls), Arc::clone(&go));
            waiting.push(tokio::spawn(async move {
                let work = || async move {
                    go.notified().await;
                    calls.fetch_add(1, Ordering::SeqCst) + 1
                };
                flights.run(7, work).await
            }));
        }
        tokio::task::yield_now().await;
        go.notify_one();
        let mut led = 0;
        for task in waiting {
            let (value, part) = task.await.unwrap().unwrap();
            assert_eq!(value, 1);
            led += usize::from(part == Part::Led);
        }
        assert_eq!(led, 1);
    }

    #[tokio::test]
    async fn a_leaving_leader_cancels_nothing() {
        let flights = Arc::new(Flights::<u8, u8>::default());
        let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let leader = {
            let (flights, started, go) = (Arc::clone(&flights), Arc::clone(&started), Arc::clone(&go));
            tokio::spawn(async move {
                let work = || async move {
                    started.notify_one();
                    go.notified().await;
                    5
                };
                flights.run(1, work).await
            })
        };
        started.notified().await;
        leader.abort();
        let follower = flights.run(1, || async { 9 });
        go.notify_one();
        assert_eq!(follower.await, Ok((5, Part::Joined)));
    }

    #[tokio::test]
    async fn a_panic_blocks_nobody() {
        let flights = Flights::<u8, u8>::default();
        let work = || async { panic!("as the test wants") };
        assert_eq!(flights.run(1, work).await, Err(Abandoned));
        assert_eq!(flights.run(1, || async { 3 }).await, Ok((3, Part::Led)));
    }
}
