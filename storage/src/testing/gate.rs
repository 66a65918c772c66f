//! A place where work stops until the test opens it: order without sleeping.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

/// Closed when made.
#[derive(Debug, Clone)]
pub struct Gate {
    open: watch::Sender<bool>,
    arrivals: Arc<Semaphore>,
    departures: Arc<Semaphore>,
}

/// Counts whoever goes on or gives up.
struct Departure<'a>(&'a Semaphore);

impl Drop for Departure<'_> {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

impl Default for Gate {
    fn default() -> Self {
        let [arrivals, departures] = [(), ()].map(|()| Arc::new(Semaphore::new(0)));
        Self { open: watch::Sender::new(false), arrivals, departures }
    }
}

impl Gate {
    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Stops here until the gate is open.
    pub async fn pass(&self) {
        self.arrivals.add_permits(1);
        let _departure = Departure(&self.departures);
        // The sender is part of `self`, so it cannot be gone.
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    /// Waits until one more has arrived.
    pub async fn arrival(&self) {
        self.arrivals.acquire().await.unwrap().forget();
    }

    /// Waits until one more has gone on or given up.
    pub async fn departure(&self) {
        self.departures.acquire().await.unwrap().forget();
    }

    /// How many have arrived and were not waited for.
    pub fn arrived(&self) -> usize {
        self.arrivals.available_permits()
    }
}
