//! Many connections at once, for a time or a number of requests.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, Failure, Target};
use super::process::processor_time;
use super::quantiles::Latencies;

/// How long a load goes on.
#[derive(Clone, Copy, Debug)]
pub enum Amount {
    /// For so long; answers that have not ended by then are counted by their bytes alone.
    Time(Duration),
    /// Until so many requests are answered.
    Requests(u64),
}

/// What to do to a server.
#[derive(Clone, Debug)]
pub struct Load {
    /// What is asked for, in turn; every connection begins at another one. All of one server.
    pub targets: Vec<Target>,
    /// How many connections there are; each has one request under way.
    pub connections: usize,
    /// How long.
    pub amount: Amount,
    /// Load of the same kind before anything is counted.
    pub warm_up: Duration,
    /// Bytes per second that each client reads at most.
    pub rate: Option<u64>,
    /// The server's processes, whose processor time is counted with their children's.
    pub servers: Vec<u32>,
    /// How long to go on counting processor time after the last answer: a cache may have work left to do.
    pub settle: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that were answered whole.
    pub requests: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Requests that failed, by reason.
    pub failures: BTreeMap<String, u64>,
    /// How long it took.
    pub elapsed: Duration,
    /// From a request to the first bytes of its answer.
    pub first_byte: Latencies,
    /// From a request to the last byte of its answer.
    pub total: Latencies,
    /// Processor time of the server's processes.
    pub server_time: Duration,
    /// Processor time of this process.
    pub client_time: Duration,
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        self.first_byte.add(&other.first_byte);
        self.total.add(&other.total);
    }

    /// How many requests failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// A client that fails so often in a row gives up: whatever it is, it is not load any more.
const FAILURES_IN_A_ROW: u32 = 10;

impl Load {
    /// Loads the server.
    ///
    /// # Errors
    /// When it cannot be connected to, or is gone in the end. Requests that fail are counted.
    pub fn run(self) -> io::Result<Outcome> {
        if !self.warm_up.is_zero() {
            self.round(Amount::Time(self.warm_up))?;
        }
        self.round(self.amount)
    }

    fn round(&self, amount: Amount) -> io::Result<Outcome> {
        let tickets = Arc::new(AtomicU64::new(match amount {
            Amount::Time(_) => u64::MAX,
            Amount::Requests(count) => count,
        }));
        let start = Arc::new(Barrier::new(self.connections + 1));
        let clients = (0..self.connections).map(|number| {
            let connection = Connection::open(self.targets[0].address(), self.rate)?;
            let targets: Vec<Target> = (0..self.targets.len())
                .map(|step| self.targets[(number + step) % self.targets.len()].clone())
                .collect();
            let (start, tickets) = (Arc::clone(&start), Arc::clone(&tickets));
            let time = match amount {
                Amount::Time(time) => Some(time),
                Amount::Requests(_) => None,
            };
            Ok(Client { connection, targets, start, tickets, time })
        });
        let clients = clients.collect::<io::Result<Vec<_>>>()?;
        let threads = clients.into_iter().map(|client| {
            // The buffer is on the heap; thousands of slow clients must not need gigabytes of stack.
            thread::Builder::new().stack_size(128 * 1024).spawn(move || client.run())
        });
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        let this = [std::process::id()];
        let (server_before, client_before) = (processor_time(&self.servers)?, processor_time(&this)?);
        start.wait();
        let began = Instant::now();
        if let Amount::Time(time) = amount {
            thread::sleep(time);
        }
        let mut outcome = Outcome::default();
        // By the clock, the counting ends while the last answers are cut off; by number, with the last answer.
        let by_the_clock = match amount {
            Amount::Time(_) => Some((began.elapsed(), processor_time(&self.servers)?, processor_time(&this)?)),
            Amount::Requests(_) => None,
        };
        for thread in threads {
            outcome.add(&thread.join().map_err(|_| io::Error::other("a client panicked"))?);
        }
        let (elapsed, server_after, client_after) = match by_the_clock {
            Some(measured) => measured,
            None => {
                let (elapsed, client) = (began.elapsed(), processor_time(&this)?);
                thread::sleep(self.settle);
                (elapsed, processor_time(&self.servers)?, client)
            }
        };
        outcome.elapsed = elapsed;
        outcome.server_time = server_after.saturating_sub(server_before);
        outcome.client_time = client_after.saturating_sub(client_before);
        Ok(outcome)
    }
}

struct Client {
    connection: Connection,
    targets: Vec<Target>,
    start: Arc<Barrier>,
    tickets: Arc<AtomicU64>,
    time: Option<Duration>,
}

impl Client {
    fn run(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        self.start.wait();
        let until = self.time.map(|time| Instant::now() + time);
        let mut in_a_row = 0;
        for target in self.targets.iter().cycle() {
            if until.is_some_and(|until| Instant::now() >= until) || !self.ticket() {
                break;
            }
            match self.connection.get(target, until) {
                Ok(drained) => {
                    in_a_row = 0;
                    outcome.bytes += drained.bytes;
                    outcome.first_byte.record(drained.first_byte);
                    if drained.whole {
                        outcome.requests += 1;
                        outcome.total.record(drained.total);
                    }
                }
                Err(failure) => {
                    in_a_row += 1;
                    *outcome.failures.entry(reason(&failure)).or_default() += 1;
                    if in_a_row == FAILURES_IN_A_ROW {
                        break;
                    }
                }
            }
        }
        outcome
    }

    fn ticket(&self) -> bool {
        self.tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

fn reason(failure: &Failure) -> String {
    failure.to_string()
}
