//! One writer per key in this process.
//!
//! A put whose future was dropped cleans up behind the caller's back. If the caller tried the same key
//! again at once, that clean-up would remove the new object; so the key stays taken until it is done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use roadstead_proto::domain::entry::ObjectKey;
use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Writers {
    /// Locked for one lookup, never across an await.
    busy: Mutex<HashSet<ObjectKey>>,
    left: Notify,
}

/// The right to write one key; given back when dropped.
#[derive(Debug)]
pub(super) struct Writing {
    writers: Arc<Writers>,
    key: ObjectKey,
}

impl Writers {
    /// Waits until nobody else writes `key`.
    pub(super) async fn enter(self: &Arc<Self>, key: ObjectKey) -> Writing {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            // Listening before looking, so that a writer who leaves in between is not missed.
            left.as_mut().enable();
            if self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
                return Writing { writers: Arc::clone(self), key };
            }
            left.await;
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.writers.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.writers.left.notify_waiters();
    }
}
