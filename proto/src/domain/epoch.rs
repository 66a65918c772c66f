//! Revisions and epochs: what lets a late record be recognised as late.

/// A point in the metadata's history: the raft log index at which something was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// The revision at which something last became invalid as a whole.
///
/// An upstream's epoch is raised by a change of its url or credentials and by a purge of its cache; an entry's
/// by a purge of that entry. A command that records what a fill brought carries the revision at which the fill began,
/// and is dropped when an epoch it touches is later: bytes that were on their way when an operator purged must not
/// come back. Revisions and epochs are indexes of one log, so that "later" is a comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(pub u64);

impl From<Revision> for Epoch {
    fn from(revision: Revision) -> Self {
        Self(revision.0)
    }
}
