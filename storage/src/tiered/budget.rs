//! A number of bytes that are given out and come back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counted in units, because a semaphore counts in 32 bits.
const UNIT: u64 = 1024;

/// Bytes to give out.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
    total: u32,
}

/// Bytes taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    _units: OwnedSemaphorePermit,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        let total = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// `bytes`, or nothing now.
    pub(super) fn try_take(&self, bytes: u64) -> Option<Share> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        Arc::clone(&self.units).try_acquire_many_owned(units).ok().map(|units| Share { _units: units })
    }

    /// `bytes`, in turn. Who asks for more than there is gets all there is: alone, but served.
    pub(super) async fn take(&self, bytes: u64) -> Option<Share> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.total);
        // The semaphore is never closed, so there is always a share; `None` would mean unbounded, not stuck.
        Arc::clone(&self.units).acquire_many_owned(units).await.ok().map(|units| Share { _units: units })
    }

    /// Bytes given out.
    pub(crate) fn used(&self) -> u64 {
        u64::from(self.total).saturating_sub(self.units.available_permits() as u64) * UNIT
    }
}
