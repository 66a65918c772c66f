//! Counts what passes: operations, outcomes, bytes, time. One per tier, so that the difference between
//! two tiers is what the one above saved.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{BoxStream, Stream};
use opentelemetry::metrics::Meter;
use roadstead_proto::domain::entry::ObjectKey;
use tokio::time::Instant;

use crate::blob::{BlobStore, BlobStream, Body, Listed, Scope, SignedUrl, Stat};
use crate::error::{Operation, StorageError};
use crate::metrics::{Outcome, TierMetrics};
use crate::staged::Staged;

/// Counts what passes to `inner`.
#[derive(Debug)]
pub struct MeteredStore {
    inner: Arc<dyn BlobStore>,
    metrics: TierMetrics,
}

impl MeteredStore {
    /// Counters in front of `inner`, under the label `tier`.
    pub fn new(inner: Arc<dyn BlobStore>, tier: &'static str, meter: &Meter) -> Self {
        Self { inner, metrics: TierMetrics::new(meter, tier) }
    }

    fn begin(&self, operation: Operation) -> Running {
        Running { metrics: self.metrics.clone(), operation, begun: Instant::now(), outcome: Outcome::Left, bytes: 0 }
    }

    async fn measure<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let mut running = self.begin(operation);
        let result = work.await;
        running.timed();
        running.end(&result);
        result
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method that is not passed on would not be counted")]
#[async_trait]
impl BlobStore for MeteredStore {
    async fn stat(&self, key: &ObjectKey) -> Result<Stat, StorageError> {
        self.measure(Operation::Stat, self.inner.stat(key)).await
    }

    async fn get(&self, key: &ObjectKey, size: u64, range: Range<u64>) -> Result<BlobStream, StorageError> {
        let mut running = self.begin(Operation::Get);
        let result = self.inner.get(key, size, range).await;
        running.timed();
        match result {
            Ok(stream) => Ok(Counted { stream, running }.boxed()),
            Err(error) => {
                running.end::<()>(&Err(error.clone()));
                Err(error)
            }
        }
    }

    async fn put(&self, key: &ObjectKey, body: Body) -> Result<Stat, StorageError> {
        let mut running = self.begin(Operation::Put);
        let came = Arc::new(AtomicU64::new(0));
        let result = self.inner.put(key, counted(body, Arc::clone(&came))).await;
        running.timed();
        running.bytes = came.load(Ordering::Relaxed);
        running.end(&result);
        result
    }

    async fn stage(&self, key: &ObjectKey) -> Result<Option<Staged>, StorageError> {
        self.inner.stage(key).await
    }

    /// Counted as the put that it is.
    async fn commit(&self, staged: Staged) -> Result<Stat, StorageError> {
        let mut running = self.begin(Operation::Put);
        running.bytes = staged.len();
        let result = self.inner.commit(staged).await;
        running.timed();
        running.end(&result);
        result
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        self.measure(Operation::Delete, self.inner.delete(key)).await
    }

    fn list(&self, scope: Scope) -> BoxStream<'static, Result<Listed, StorageError>> {
        Counted { stream: self.inner.list(scope), running: self.begin(Operation::List) }.boxed()
    }

    async fn presign(&self, key: &ObjectKey, ttl: Duration) -> Result<Option<SignedUrl>, StorageError> {
        self.measure(Operation::Presign, self.inner.presign(key, ttl)).await
    }

    async fn probe(&self) -> Result<(), StorageError> {
        self.measure(Operation::Probe, self.inner.probe()).await
    }
}

/// The body, its bytes counted as they pass; who vouches for it stays who it was.
fn counted(body: Body, came: Arc<AtomicU64>) -> Body {
    let vouched = body.is_vouched();
    let stream = body.into_stream().inspect(move |piece| {
        if let Ok(piece) = piece {
            came.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    });
    if vouched { Body::vouched(stream.boxed()) } else { Body::unchecked(stream.boxed()) }
}

/// An operation under way. Counted when it is dropped, so one that is never finished is counted too.
struct Running {
    metrics: TierMetrics,
    operation: Operation,
    begun: Instant,
    outcome: Outcome,
    bytes: u64,
}

impl Running {
    fn timed(&self) {
        self.metrics.took(self.operation, self.begun.elapsed());
    }

    fn end<T>(&mut self, result: &Result<T, StorageError>) {
        self.outcome = match result {
            Ok(_) => Outcome::Ok,
            Err(error) => Outcome::Failed(error.kind()),
        };
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.metrics.moved(self.operation, self.bytes);
        self.metrics.ended(self.operation, self.outcome);
    }
}

/// A stream whose end is seen.
struct Counted<T> {
    stream: BoxStream<'static, Result<T, StorageError>>,
    running: Running,
}

impl<T: Weighed> Stream for Counted<T> {
    type Item = Result<T, StorageError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.stream.poll_next_unpin(cx);
        match &item {
            Poll::Ready(Some(Ok(item))) => self.running.bytes += item.weight(),
            Poll::Ready(Some(result @ Err(_))) => self.running.end(result),
            Poll::Ready(None) if self.running.outcome == Outcome::Left => self.running.outcome = Outcome::Ok,
            Poll::Ready(None) | Poll::Pending => {}
        }
        item
    }
}

trait Weighed {
    fn weight(&self) -> u64;
}

impl Weighed for Bytes {
    fn weight(&self) -> u64 {
        self.len() as u64
    }
}

impl Weighed for Listed {
    /// A line of a listing is not payload.
    fn weight(&self) -> u64 {
        0
    }
}
