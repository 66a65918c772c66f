//! How busy this gateway is, as plain numbers: instruments of metrics can be added to, and not read.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// What runs now.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    fills: AtomicU64,
    requests: AtomicU64,
}

/// One of what runs, until dropped.
#[derive(Debug)]
pub struct Running {
    load: Load,
    of: fn(&Numbers) -> &AtomicU64,
}

impl Load {
    /// Downloads that run.
    pub fn fills(&self) -> u64 {
        self.0.fills.load(Ordering::Relaxed)
    }

    /// Requests of clients that run.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// A download begins.
    pub fn fill(&self) -> Running {
        self.begin(|numbers| &numbers.fills)
    }

    /// A request of a client begins.
    pub fn request(&self) -> Running {
        self.begin(|numbers| &numbers.requests)
    }

    fn begin(&self, of: fn(&Numbers) -> &AtomicU64) -> Running {
        of(&self.0).fetch_add(1, Ordering::Relaxed);
        Running { load: self.clone(), of }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.of)(&self.load.0).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, whose request runs until it is sent or given up. No box around it: pulls from memory are counted too.
#[derive(Debug)]
pub struct RunningBody {
    body: Body,
    _request: Running,
}

impl RunningBody {
    /// The answer of `request`.
    pub fn new(body: Body, request: Running) -> Self {
        Self { body, _request: request }
    }
}

impl http_body::Body for RunningBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
