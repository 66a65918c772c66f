//! Where applied changes become streams.

use std::sync::{Arc, PoisonError, RwLock};

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::meta::{Hub, MetaError, Watch};
use roadstead_proto::state::command::Change;

/// Changes kept for watchers that resume. A gateway that was away longer takes a new configuration, which is one read.
const WINDOW: usize = 4096;

/// The hub of this member, replaced whenever it skipped a part of history.
pub(crate) struct Publisher(RwLock<Arc<Hub>>);

impl Publisher {
    /// Knows no change up to `applied`: what led there was before this process.
    pub(crate) fn new(applied: Revision) -> Self {
        Self(RwLock::new(Arc::new(Hub::new(WINDOW, applied))))
    }

    fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells watchers what was applied up to `revision`; never waits for one.
    pub(crate) fn publish<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, revision: Revision) {
        let hub = self.hub();
        for change in changes {
            hub.publish(change.clone());
        }
        hub.reached(revision);
    }

    /// Tells watchers how far they are.
    pub(crate) fn beat(&self) {
        self.hub().beat();
    }

    /// A snapshot took this member to `revision` and left out the changes on the way: every running watch ends, and resuming
    /// from before answers [`MetaError::Compacted`].
    pub(crate) fn compact(&self, revision: Revision) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Hub::new(WINDOW, revision));
    }

    /// Every change after `after`.
    pub(crate) fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        self.hub().watch(after)
    }
}
