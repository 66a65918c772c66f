//! Where applied changes become streams.

use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::meta::{Hub, MetaError, Watch};
use roadstead_proto::state::command::Change;

/// Changes kept for watchers that resume. A gateway that was away longer takes a new configuration, which is one read.
const WINDOW: usize = 4096;

/// The hub of this member.
pub(crate) struct Publisher(Hub);

impl Publisher {
    /// Knows no change up to `applied`: what led there was before this process.
    pub(crate) fn new(applied: Revision) -> Self {
        Self(Hub::new(WINDOW, applied))
    }

    /// Tells watchers what was applied up to `revision`; never waits for one.
    pub(crate) fn publish<'a>(&self, changes: impl IntoIterator<Item = &'a Change>, revision: Revision) {
        for change in changes {
            self.0.publish(change.clone());
        }
        self.0.reached(revision);
    }

    /// Tells watchers how far they are.
    pub(crate) fn beat(&self) {
        self.0.beat();
    }

    /// A snapshot took this member to `revision` and left out the changes on the way: every running watch ends, and resuming
    /// from before answers [`MetaError::Compacted`].
    pub(crate) fn compact(&self, revision: Revision) {
        self.0.compact(revision);
    }

    /// Every change after `after`.
    pub(crate) fn watch(&self, after: Revision) -> Result<Watch, MetaError> {
        self.0.watch(after)
    }
}
