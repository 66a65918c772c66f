//! What was seen while a scenario was played.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::registry::Page;

/// Everything that was seen.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Observed {
    /// What clients got, each request of theirs.
    pub answers: Vec<Seen>,
    /// What the upstream was asked, and what it sent.
    pub pages: Vec<Page>,
    /// Images that could not be pulled whole after the faults had gone, with the reason.
    pub unrecovered: Vec<(usize, String)>,
    /// How often the upstream was asked, in vain, while everything was pulled a second time and it was gone.
    pub asked_again: u64,
    /// What was seen of the gateway's process.
    pub gateway: Process,
}

/// What was seen of the gateway's process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Process {
    /// At the start.
    pub before: Census,
    /// At the end, with the upstream gone and nobody pulling.
    pub after: Census,
    /// Whether threads were waited for too; the pool of the gateway's runtime keeps them for a while.
    pub lingered: bool,
    /// Its metrics at the end, summed over their labels.
    pub metrics: BTreeMap<String, f64>,
    /// Files in the data directory that should not be there.
    pub leftovers: Vec<String>,
    /// The most memory that it held at once.
    pub peak_bytes: u64,
    /// How it ended on SIGTERM.
    pub exit: Exit,
}

/// What a process has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// Sockets.
    pub sockets: usize,
    /// Everything else: files, pipes, what the kernel gives out for waiting.
    pub others: usize,
    /// Threads.
    pub threads: usize,
}

/// How a process ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By a signal.
    Signal,
    /// It had to be killed.
    #[default]
    Never,
}

/// When it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// While things went wrong.
    Storm,
    /// Afterwards.
    Recovery,
    /// When everything was pulled a second time, and the upstream was gone.
    Gone,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// The manifest by its tag.
    Tag,
    /// The manifest by its digest.
    Manifest,
    /// A blob, by its place among configuration and layers.
    Blob(usize),
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Asking {
    /// When.
    pub phase: Phase,
    /// Whose.
    pub client: usize,
    /// Of which image.
    pub image: usize,
    /// What of it.
    pub object: Object,
    /// Whether by `HEAD`.
    pub head: bool,
    /// Which part: first and last byte.
    pub range: Option<(u64, u64)>,
}

/// One request, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// The request.
    pub asking: Asking,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub millis: u64,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The connection ended without an answer.
    NoAnswer(String),
    /// An answer.
    Answer(Answer),
    /// Nothing came to an end in time: no headers, or no further byte after so many.
    Hung {
        /// Bytes of the body so far; `None` without headers.
        after: Option<u64>,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// `Docker-Content-Digest`.
    pub digest: Option<String>,
    /// `Content-Length`.
    pub length: Option<u64>,
    /// `Content-Range`.
    pub content_range: Option<String>,
    /// Whether there is a `Retry-After` in seconds.
    pub has_retry_after: bool,
    /// `Cache-Status`.
    pub cache_status: Option<String>,
    /// The code of the OCI error in the body, where there is one.
    pub error_code: Option<String>,
    /// Bytes of the body.
    pub received: u64,
    /// Offset in the body of the first byte that is not the right one.
    pub first_wrong: Option<u64>,
    /// How the body ended.
    pub end: BodyEnd,
}

/// How a body ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyEnd {
    /// As a body ends.
    #[default]
    Clean,
    /// It broke off.
    Broken(String),
    /// The client left.
    Left,
}
