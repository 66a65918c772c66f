//! How up to date an answer is, and must be: revisions in the metadata of calls.
//!
//! A client speaks to several members, and each is at a point of its own. With every answer a member says which revision it
//! shows; with every question a client says which it has seen, and a member that is behind it waits a moment or says so.
//! So a client never sees the metadata go back, whoever it asks.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

use super::status::ERROR_HEADER;
use crate::domain::epoch::Revision;

/// In a question: the least revision the answer may show. In an answer: the revision it shows.
pub const REVISION_HEADER: &str = "roadstead-revision";

/// The kind of error (see [`ERROR_HEADER`]) of a member that has not come as far as it was asked for. Nothing was done.
const BEHIND: &str = "behind";

/// Puts a revision into the metadata of a call.
pub fn put_revision(metadata: &mut MetadataMap, revision: Revision) {
    metadata.insert(REVISION_HEADER, AsciiMetadataValue::from(revision.0));
}

/// The revision in the metadata of a call; zero where there is none.
pub fn revision_of(metadata: &MetadataMap) -> Revision {
    let text = metadata.get(REVISION_HEADER).and_then(|value| value.to_str().ok());
    Revision(text.and_then(|text| text.parse().ok()).unwrap_or_default())
}

/// The answer of a member that has applied `applied` and was asked for more.
pub fn behind(applied: Revision, asked: Revision) -> Status {
    let text = format!("this member has applied revision {}, not yet {}", applied.0, asked.0);
    let mut status = Status::new(Code::Unavailable, text);
    status.metadata_mut().insert(ERROR_HEADER, AsciiMetadataValue::from_static(BEHIND));
    status
}

/// Whether a member answered that it is [`behind`].
pub fn is_behind(status: &Status) -> bool {
    status.metadata().get(ERROR_HEADER).is_some_and(|kind| kind.as_bytes() == BEHIND.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_arrives_as_it_was() {
        let mut metadata = MetadataMap::new();
        assert_eq!(revision_of(&metadata), Revision(0));
        put_revision(&mut metadata, Revision(u64::MAX));
        assert_eq!(revision_of(&metadata), Revision(u64::MAX));
    }

    #[test]
    fn whoever_is_behind_says_so_and_nobody_else_does() {
        assert!(is_behind(&behind(Revision(1), Revision(2))));
        assert!(!is_behind(&Status::unavailable("gone")));
    }
}
