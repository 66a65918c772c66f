//! Applied changes as ordered, resumable streams. A slow watcher is dropped, never waited for.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::{broadcast, mpsc};

use super::MetaError;
use crate::domain::epoch::Revision;
use crate::state::command::Change;

/// Where a host of the state machine publishes what it applied.
#[derive(Debug)]
pub struct Hub {
    window: Mutex<Window>,
    sender: broadcast::Sender<Heard>,
    capacity: usize,
}

#[derive(Debug)]
struct Window {
    /// The latest changes, oldest first.
    changes: VecDeque<Change>,
    /// Changes at or below this revision are no longer kept.
    compacted: Revision,
    /// Every change at or below this revision has been published.
    reached: Revision,
}

/// An event, or that a part of history was skipped.
type Heard = Result<WatchEvent, Skipped>;

#[derive(Debug, Clone, Copy)]
struct Skipped;

/// What a watcher hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A change.
    Changed(Change),
    /// Every change up to this revision has been heard: resume from here.
    Progress(Revision),
}

/// One watcher's stream.
#[derive(Debug)]
pub struct Watch(Source);

#[derive(Debug)]
enum Source {
    Hub { backlog: VecDeque<WatchEvent>, receiver: broadcast::Receiver<Heard> },
    Relay(mpsc::Receiver<Result<WatchEvent, MetaError>>),
}

impl Hub {
    /// A hub that keeps the last `capacity` changes and knows none up to `compacted`.
    pub fn new(capacity: usize, compacted: Revision) -> Self {
        let (sender, _) = broadcast::channel(capacity);
        let window = Window { changes: VecDeque::new(), compacted, reached: compacted };
        Self { window: Mutex::new(window), sender, capacity }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        // A panic while holding the lock cannot leave a half-written window: every section only pushes and pops.
        self.window.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Publishes a change; the revisions of successive calls never decrease.
    pub fn publish(&self, change: Change) {
        let mut window = self.window();
        window.changes.push_back(change.clone());
        if window.changes.len() > self.capacity
            && let Some(oldest) = window.changes.pop_front()
        {
            window.compacted = oldest.revision;
        }
        // Sent under the lock, so that a watcher that starts now has it either in its backlog or in its receiver.
        let _ = self.sender.send(Ok(WatchEvent::Changed(change)));
    }

    /// Every change up to `revision` has been published. Watchers hear of it with the next [`Hub::beat`].
    pub fn reached(&self, revision: Revision) {
        let mut window = self.window();
        window.reached = window.reached.max(revision);
    }

    /// Tells watchers how far they are. In line with the changes, so that no progress can overtake one.
    pub fn beat(&self) {
        let window = self.window();
        let _ = self.sender.send(Ok(WatchEvent::Progress(window.reached)));
    }

    /// Forgets everything up to `revision` and skips what led there, as after a snapshot was installed: every running watch ends
    /// with [`MetaError::Compacted`], after what was published before.
    pub fn compact(&self, revision: Revision) {
        let mut window = self.window();
        window.changes.clear();
        window.compacted = revision;
        window.reached = window.reached.max(revision);
        let _ = self.sender.send(Err(Skipped));
    }

    /// Every change after `after`, with what is already known of the progress behind those that are kept.
    ///
    /// # Errors
    /// [`MetaError::Compacted`] where some of them are no longer kept.
    pub fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        let window = self.window();
        if after < window.compacted {
            return Err(MetaError::Compacted);
        }
        let missed = window.changes.iter().filter(|change| change.revision > after).cloned();
        let backlog = missed.map(WatchEvent::Changed).chain([WatchEvent::Progress(window.reached)]).collect();
        Ok(Watch(Source::Hub { backlog, receiver: self.sender.subscribe() }))
    }
}

impl Watch {
    /// A watch whose events come from elsewhere; it ends with the first error.
    pub fn relay(events: mpsc::Receiver<Result<WatchEvent, MetaError>>) -> Self {
        Self(Source::Relay(events))
    }

    /// The next event. May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// [`MetaError::Compacted`] where this watcher was too slow, or history was skipped; [`MetaError::Unavailable`] where the host is gone.
    pub async fn next(&mut self) -> Result<WatchEvent, MetaError> {
        match &mut self.0 {
            Source::Hub { backlog, receiver } => {
                if let Some(event) = backlog.pop_front() {
                    return Ok(event);
                }
                match receiver.recv().await {
                    Ok(Ok(event)) => Ok(event),
                    Ok(Err(Skipped)) | Err(broadcast::error::RecvError::Lagged(_)) => Err(MetaError::Compacted),
                    Err(broadcast::error::RecvError::Closed) => Err(gone()),
                }
            }
            Source::Relay(events) => events.recv().await.unwrap_or_else(|| Err(gone())),
        }
    }

    /// The next change, whatever progress is heard of before.
    ///
    /// # Errors
    /// As [`Watch::next`].
    pub async fn next_change(&mut self) -> Result<Change, MetaError> {
        loop {
            if let WatchEvent::Changed(change) = self.next().await? {
                return Ok(change);
            }
        }
    }
}

fn gone() -> MetaError {
    MetaError::Unavailable("the node has stopped".to_owned())
}
