//! What the cache knows: where bytes lie, who may read them, what a tag meant when it was last asked.

use std::fmt;
use std::time::Duration;

use super::digest::Digest;
use super::epoch::{Epoch, Revision};
use super::image::{Reference, RepositoryName, Tag};
use super::lease::FencingToken;
use super::media::MediaType;
use super::registry::{RegistryId, UpstreamId};
use super::time::Timestamp;

/// One entry of one upstream's cache: a manifest under a tag, a manifest under a digest, or a blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryRef {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The repository, as clients name it.
    pub repository: RepositoryName,
    /// The tag or digest.
    pub reference: Reference,
}

impl EntryRef {
    /// Its path below the upstream's address, as the management contract shows it.
    pub fn relative_path(&self, kind: ContentKind) -> String {
        let kind = match kind {
            ContentKind::Manifest => "manifests",
            ContentKind::Blob => "blobs",
        };
        format!("{}/{kind}/{}", self.repository, self.reference)
    }
}

/// An entry, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedEntry {
    /// Which.
    pub entry: EntryRef,
    /// Manifest or blob.
    pub kind: ContentKind,
    /// What it is, or what the tag names.
    pub digest: Digest,
    /// When the upstream last confirmed it.
    pub checked_at: Timestamp,
    /// When it was first cached.
    pub created_at: Timestamp,
    /// When the tag last moved to another digest.
    pub updated_at: Timestamp,
    /// The upstream's own `ETag`, where it is a tag.
    pub upstream_etag: Option<String>,
    /// The content; none where the manifest that a tag names was purged.
    pub content: Option<Content>,
    /// How often and when it was downloaded; nothing where it was not yet.
    pub usage: Usage,
}

/// What is known of the content of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its size in bytes.
    pub size: u64,
    /// Its media type, as the upstream sent it.
    pub media_type: MediaType,
    /// Its SHA-1, where somebody computed it.
    pub sha1: Option<[u8; 20]>,
}

/// The name of a stored object: the digest of its bytes and the token of the grant that wrote it.
/// A late DELETE of one writer's object can so never destroy another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The digest of the object's bytes.
    pub digest: Digest,
    /// The grant under which it was written.
    pub token: FencingToken,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.digest, self.token)
    }
}

/// The live object of a digest in one region. Says where the bytes are, not who may read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlobLocation {
    /// The object.
    pub key: ObjectKey,
    /// Its size in bytes.
    pub size: u64,
    /// When it was committed.
    pub stored_at: Timestamp,
}

/// The right of (upstream, repository) to the bytes of a digest.
///
/// It is earned in two ways only: this upstream itself delivered the whole content and it verified,
/// or an upstream of the same origin did and this one's own HEAD, with its own credentials and
/// verified TLS, says that the repository has it. A manifest that names a digest gives no right to it:
/// anybody who may add an upstream could serve a manifest that names another tenant's layer.
/// It lasts until the entry is purged or the upstream's url or credentials change (its epoch then differs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Size of the content in bytes.
    pub size: u64,
    /// The media type the upstream sent, byte for byte; for a blob, usually `application/octet-stream`.
    pub media_type: MediaType,
    /// Manifest or blob.
    pub kind: ContentKind,
    /// SHA-1 of the content for the management API, 20 bytes; absent for blobs, where it would double the cost of a download.
    pub sha1: Option<[u8; 20]>,
    /// When the right was first earned.
    pub created_at: Timestamp,
    /// The upstream's epoch when it was earned; void under any other.
    pub upstream_epoch: Epoch,
}

/// The two kinds of content a registry serves under a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentKind {
    /// Served under `/manifests/`.
    Manifest,
    /// Served under `/blobs/`.
    Blob,
}

/// What a tag of one upstream meant when it was last asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagEntry {
    /// The manifest it named.
    pub digest: Digest,
    /// When the upstream last confirmed it: validity counts from here.
    pub checked_at: Timestamp,
    /// When the tag was first cached.
    pub created_at: Timestamp,
    /// When the tag last moved to another digest.
    pub updated_at: Timestamp,
    /// The upstream's own `ETag`, for the record: it is not always the digest and is never compared with ours.
    pub upstream_etag: Option<String>,
    /// Since when the upstream answers "not here" for a tag it once had.
    pub gone_since: Option<Timestamp>,
    /// The upstream's epoch when it was recorded; void under any other.
    pub upstream_epoch: Epoch,
}

/// How an entry may be used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Serve without asking.
    Fresh,
    /// Ask first; serve if the upstream cannot be asked.
    Stale,
    /// Ask first; too old to serve without an answer.
    Expired,
}

impl TagEntry {
    /// Freshness at `now`: `validity` zero means for ever (contract: `cache_validity_hours` 0),
    /// `stale_if_error` counts from the end of validity.
    pub fn freshness(&self, now: Timestamp, validity: Duration, stale_if_error: Duration) -> Freshness {
        let age = now.since(self.checked_at);
        if validity.is_zero() || age < validity {
            Freshness::Fresh
        } else if age < validity.saturating_add(stale_if_error) {
            Freshness::Stale
        } else {
            Freshness::Expired
        }
    }
}

/// The route that answered for a tag of a virtual registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The upstream that had it.
    pub upstream: UpstreamId,
    /// The upstreams above it that truly said "not here".
    pub not_here: Vec<UpstreamId>,
    /// The registry's configuration this was decided under: void once [`super::registry::Registry::routing`] differs.
    pub routing: Revision,
}

/// A tag of a virtual registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagKey {
    /// The virtual registry.
    pub registry: RegistryId,
    /// The repository, as the client named it.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
}

/// What a cached manifest of (upstream, repository) says of one of its children: enough to answer HEAD
/// and to choose the upstream. It gives no right to the child's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The child.
    pub digest: Digest,
    /// Its size in bytes, as the manifest states it.
    pub size: u64,
    /// Its media type, as the manifest states it.
    pub media_type: MediaType,
    /// Whether it is fetched under `/manifests/` or `/blobs/`.
    pub kind: ContentKind,
}

/// One entry's use since the last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The entry that was read.
    pub entry: EntryRef,
    /// Downloads since the last report.
    pub downloads: u64,
    /// The last of them.
    pub downloaded_at: Timestamp,
}

/// How often and when an entry was downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Downloads since the entry was created.
    pub downloads: u64,
    /// The last one.
    pub downloaded_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_by_age() {
        let entry = TagEntry {
            digest: Digest::sha256(b""),
            checked_at: Timestamp(1_000),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
            upstream_etag: None,
            gone_since: None,
            upstream_epoch: Epoch(0),
        };
        let at = |ms, validity, stale| {
            entry.freshness(Timestamp(ms), Duration::from_millis(validity), Duration::from_millis(stale))
        };
        assert_eq!(at(1_000, 10, 5), Freshness::Fresh);
        assert_eq!(at(1_009, 10, 5), Freshness::Fresh);
        assert_eq!(at(1_010, 10, 5), Freshness::Stale);
        assert_eq!(at(1_014, 10, 5), Freshness::Stale);
        assert_eq!(at(1_015, 10, 5), Freshness::Expired);
        assert_eq!(at(u64::MAX, 0, 0), Freshness::Fresh, "validity 0 never revalidates");
        assert_eq!(at(500, 10, 5), Freshness::Fresh, "a clock that went back makes nothing stale");
    }
}
