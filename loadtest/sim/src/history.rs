//! What happened: written down during a run, judged after it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use roadstead_proto::domain::digest::{Digest, encode_hex};
use sha2::{Digest as _, Sha256};

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// When, from the start of the run.
    pub(crate) at: Duration,
    /// To whom.
    pub(crate) host: String,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "some of it is only read in the written history")]
pub(crate) enum What {
    /// The scenario did this.
    Fault(String),
    /// A host's software began. Which time it is.
    Started(u64),
    /// A gateway begins to download from the upstream.
    UpstreamBegan { get: u64, digest: Digest, from: u64 },
    /// That ended, after so many bytes.
    UpstreamEnded { get: u64, bytes: u64, how: Ending },
    /// A client asks a gateway for bytes.
    PullBegan { pull: u64, gateway: String, digest: Digest },
    /// That ended.
    PullEnded { pull: u64, got: Got },
    /// A client has got, or given up on, something.
    PullOver { digest: Digest, tries: u64, whole: bool },
    /// A gateway asks for a lease.
    AcquireAsked { call: u64, key: String },
    /// It was granted one.
    Granted { call: u64, key: String, token: u64 },
    /// Somebody else has it, or the bytes are there, or nobody knows.
    NotGranted { call: u64 },
    /// A gateway wants to complete.
    CompleteAsked { call: u64, key: String, token: u64 },
    /// What came of it; `None` where nobody knows.
    Completed { call: u64, accepted: Option<bool> },
    /// A gateway heard that its session had ended.
    SessionLost,
    /// A person changes the configuration.
    Proposed { name: String, value: u64 },
    /// It was acknowledged.
    Acknowledged { name: String, value: u64 },
    /// It was not; it may have happened all the same.
    Unacknowledged { name: String, value: u64, why: String },
    /// A watcher begins.
    WatchBegan { watcher: String, after: u64 },
    /// A watcher heard of a revision.
    Heard { watcher: String, revision: u64 },
    /// The configuration as it is read from everywhere at the end.
    FinalConfiguration { values: Vec<(String, u64)> },
    /// The end of the scenario could not be read off.
    Unfinished(String),
}

/// How a download from the upstream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At its end.
    Whole,
    /// The upstream broke it off.
    Broken,
    /// At its end, with a wrong byte in it.
    Wrong,
    /// The gateway let go of it, or died.
    LetGo,
}

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Got {
    /// A body that ended as announced, and whether it is the right one.
    Whole { right: bool, bytes: u64 },
    /// Part of one, and then the connection broke or fell silent.
    Part { bytes: u64 },
    /// An answer without the bytes.
    Status(u16),
    /// No answer.
    Nothing(String),
}

/// The history of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way for `host` to write.
    pub(crate) fn of(&self, host: impl Into<String>) -> Recorder {
        Recorder { history: self.clone(), host: host.into() }
    }

    /// All of it.
    pub(crate) fn all(&self) -> Vec<Event> {
        self.events().clone()
    }

    /// A number that two histories share only where they are the same.
    pub(crate) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        self.events().iter().for_each(|event| hash.update(format!("{event}\n")));
        encode_hex(&hash.finalize()[..8])
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3} {:<12} {:?}", self.at.as_secs_f64(), self.host, self.what)
    }
}

/// Writes for one host.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    history: History,
    host: String,
}

impl Recorder {
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Now.
    pub(crate) fn record(&self, what: What) {
        self.record_at(turmoil::sim_elapsed().unwrap_or_default(), what);
    }

    /// From outside of any host.
    pub(crate) fn record_at(&self, at: Duration, what: What) {
        tracing::debug!(target: "history", host = self.host, ?what);
        self.history.events().push(Event { at, host: self.host.clone(), what });
    }
}

/// Numbers calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counter(Arc<std::sync::atomic::AtomicU64>);

impl Counter {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
    }
}

/// A value that hosts and the driver share on the one thread there is.
pub(crate) type Shared<T> = Rc<RefCell<T>>;
