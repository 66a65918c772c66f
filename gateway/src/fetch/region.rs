//! Copies in other regions' buckets: read before any upstream is asked, where the right to the content holds.
//!
//! ```text
//!   lead ──► copies of the digest, by region ──► the first that opens ──► the fill, as if the upstream had sent it
//!                    │                                                       │ breaks off
//!                    └ none, or not in time ─► the upstream ◄────────────────┘ for the rest
//! ```
//!
//! A region that does not answer costs one reader [`limits::REGION_PATIENCE`], and is then left alone for
//! [`limits::REGION_AWAY`], so that a region goes on alone when the others are away. What is read here is checked by the other
//! region's own checksums as it comes, and by the fill's hash at the end: nothing is believed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use moka::sync::Cache;
use roadstead_proto::domain::entry::{BlobLocation, ObjectKey};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegionId;
use roadstead_storage::blob::{BlobStore, BlobStream};
use roadstead_storage::error::StorageError;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::metrics::Metrics;

/// The other regions' stores.
#[derive(Debug)]
pub struct Regions {
    others: BTreeMap<RegionId, Arc<Other>>,
    /// Copies that were missing or damaged: their region's gateways replace them under another key.
    lost: Cache<ObjectKey, ()>,
    times: Times,
    metrics: Metrics,
}

/// How long other regions may take.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// For a copy to begin.
    patience: Duration,
    /// Between two of its pieces.
    silence: Duration,
    /// Until a region that did not answer is asked again.
    away: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { patience: limits::REGION_PATIENCE, silence: limits::REGION_SILENCE, away: limits::REGION_AWAY }
    }
}

#[derive(Debug)]
struct Other {
    region: RegionId,
    store: Arc<dyn BlobStore>,
    away_until: Mutex<Option<Instant>>,
}

/// A copy that has begun to come.
pub(super) struct Copy {
    /// Where it lies.
    pub(super) location: BlobLocation,
    /// Its bytes from the offset on.
    pub(super) bytes: BoxStream<'static, Result<Bytes, CopyError>>,
}

/// Why a copy broke off, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The store says so.
    #[error("the copy in region {region}: {source}")]
    Store {
        /// Whose.
        region: RegionId,
        /// What it says.
        source: StorageError,
    },
    /// Nothing came.
    #[error("the copy in region {0} stands still")]
    Silent(RegionId),
}

impl Other {
    fn is_away(&self, now: Instant) -> bool {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    fn leave_alone(&self, until: Instant) {
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

impl Regions {
    /// Regions by these stores; this gateway's own is not among them.
    pub fn new(stores: HashMap<RegionId, Arc<dyn BlobStore>>, metrics: Metrics) -> Self {
        let other = |(region, store): (RegionId, _)| {
            (region.clone(), Arc::new(Other { region, store, away_until: Mutex::default() }))
        };
        let lost = Cache::builder().max_capacity(limits::TOKENS_IN_MEMORY).build();
        Self { others: stores.into_iter().map(other).collect(), lost, times: Times::default(), metrics }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether one of these copies may be read now, as far as is known.
    pub(super) fn may_have(&self, copies: &[(RegionId, BlobLocation)]) -> bool {
        let now = Instant::now();
        copies.iter().any(|(region, location)| self.readable(region, location, now).is_some())
    }

    fn readable(&self, region: &RegionId, location: &BlobLocation, now: Instant) -> Option<&Arc<Other>> {
        let other = self.others.get(region)?;
        (!other.is_away(now) && !self.lost.contains_key(&location.key)).then_some(other)
    }

    /// Opens the first copy that can be read, from `offset` on, its first bytes in hand. `None` where there is none, or not in
    /// time: the upstream is asked then.
    pub(super) async fn open(self: &Arc<Self>, copies: &[(RegionId, BlobLocation)], offset: u64) -> Option<Copy> {
        // For all of them: whoever waits has its headers to wait for.
        let until = Instant::now() + self.times.patience;
        for (region, location) in copies {
            let Some(other) = self.readable(region, location, Instant::now()) else { continue };
            if offset > location.size {
                continue;
            }
            let asked = other.store.get(&location.key, location.size, offset..location.size);
            let why = match tokio::time::timeout_at(until, asked).await {
                Ok(Ok(bytes)) => {
                    self.metrics.copied(region, "opened");
                    let bytes = Arc::clone(self).watched(Arc::clone(other), *location, bytes);
                    return Some(Copy { location: *location, bytes });
                }
                Ok(Err(source)) => CopyError::Store { region: region.clone(), source },
                Err(_) => CopyError::Silent(region.clone()),
            };
            self.missed(other, location, &why);
        }
        None
    }

    /// The whole of a small copy, within the time that one may take to begin.
    pub(super) async fn read(self: &Arc<Self>, copies: &[(RegionId, BlobLocation)]) -> Option<Bytes> {
        let read = async {
            let Copy { location, mut bytes } = self.open(copies, 0).await?;
            let mut all = BytesMut::with_capacity(usize::try_from(location.size).ok()?);
            while let Some(piece) = bytes.next().await {
                all.extend_from_slice(&piece.ok()?);
            }
            Some(all.freeze())
        };
        tokio::time::timeout(self.times.patience, read).await.ok().flatten()
    }

    fn missed(&self, other: &Other, location: &BlobLocation, why: &CopyError) {
        let is_of_the_object = matches!(why, CopyError::Store { source, .. } if source.is_miss());
        if is_of_the_object {
            info!(object = %location.key, %why, "another region has no copy after all");
            self.metrics.copied(&other.region, "lost");
            self.lost.insert(location.key, ());
        } else {
            warn!(region = %other.region, %why, pause = ?self.times.away, "another region is away");
            self.metrics.copied(&other.region, "away");
            other.leave_alone(Instant::now() + self.times.away);
        }
    }

    /// The same bytes, where silence is an end too.
    fn watched(
        self: Arc<Self>,
        other: Arc<Other>,
        location: BlobLocation,
        bytes: BlobStream,
    ) -> BoxStream<'static, Result<Bytes, CopyError>> {
        let state = Some((self, other, bytes));
        futures::stream::unfold(state, move |state| async move {
            let (regions, other, mut bytes) = state?;
            let why = match tokio::time::timeout(regions.times.silence, bytes.next()).await {
                Ok(None) => {
                    debug!(object = %location.key, region = %other.region, "copied from another region");
                    return None;
                }
                Ok(Some(Ok(piece))) => {
                    regions.metrics.copied_bytes(&other.region, piece.len() as u64);
                    return Some((Ok(piece), Some((regions, other, bytes))));
                }
                Ok(Some(Err(source))) => CopyError::Store { region: other.region.clone(), source },
                Err(_) => CopyError::Silent(other.region.clone()),
            };
            regions.missed(&other, &location, &why);
            Some((Err(why), None))
        })
        .boxed()
    }
}

#[cfg(test)]
#[path = "region_tests.rs"]
mod tests;
