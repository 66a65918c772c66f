//! Access counts: gathered here, sent in batches, never one raft write per pull.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use roadstead_proto::clock::Clock;
use roadstead_proto::domain::entry::{EntryRef, Touch};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::MetaStore;
use roadstead_proto::state::command::Command;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Downloads since the last send.
pub struct UsageLog {
    counts: Mutex<HashMap<EntryRef, (u64, Timestamp)>>,
    clock: Arc<dyn Clock>,
    full: Notify,
}

impl std::fmt::Debug for UsageLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UsageLog")
    }
}

impl UsageLog {
    /// An empty log.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { counts: Mutex::default(), clock, full: Notify::new() }
    }

    /// An entry was downloaded.
    pub fn touch(&self, entry: &EntryRef) {
        let now = self.clock.now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((downloads, at)) = counts.get_mut(entry) {
            *downloads += 1;
            *at = now;
            return;
        }
        // Twice the batch: while the metadata is away new entries go uncounted rather than fill the memory.
        if counts.len() < 2 * limits::TOUCH_BATCH_MAX {
            counts.insert(entry.clone(), (1, now));
        }
        if counts.len() >= limits::TOUCH_BATCH_MAX {
            self.full.notify_one();
        }
    }

    fn take(&self) -> HashMap<EntryRef, (u64, Timestamp)> {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, batch: Vec<Touch>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for touch in batch {
            let (downloads, at) = counts.entry(touch.entry).or_default();
            *downloads += touch.downloads;
            *at = (*at).max(touch.downloaded_at);
        }
    }

    /// Sends what was counted.
    pub async fn send(&self, meta: &dyn MetaStore) {
        let batch: Vec<Touch> = self
            .take()
            .into_iter()
            .map(|(entry, (downloads, downloaded_at))| Touch { entry, downloads, downloaded_at })
            .collect();
        if batch.is_empty() {
            return;
        }
        if let Err(error) = meta.propose(Command::RecordUsage(batch.clone())).await {
            debug!(%error, "access counts could not be sent; they are kept");
            self.put_back(batch);
        }
    }

    /// Sends every few seconds until `stop`, and once more then.
    pub async fn run(self: Arc<Self>, meta: Arc<dyn MetaStore>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.full.notified() => {}
                () = tokio::time::sleep(limits::TOUCH_EVERY) => {}
            }
            self.send(&*meta).await;
        }
        self.send(&*meta).await;
    }
}
