//! A member's state with as many cache entries as wanted, for measurements.
//!
//! The rows are those that pulls would have left, of images of eight entries each: a manifest, its tag and route, and seven blobs
//! that it describes; each with its location, its right, its delivery and its use. They are written in the order of their keys into a
//! new state file that takes the old one's place, as the rows of a snapshot are: by commands through the log, ten million entries would
//! take hours.

use std::io;
use std::path::Path;
use std::sync::Arc;

use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::digest::{Algorithm, Digest};
use roadstead_proto::domain::entry::{
    BlobLocation, ContentKind, Descriptor, EntryRef, ObjectKey, Right, Route, TagEntry, TagKey, Usage,
};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::FencingToken;
use roadstead_proto::domain::media::{MediaType, OCI_MANIFEST};
use roadstead_proto::domain::registry::{RegionId, Registry};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::Upstream;
use roadstead_proto::state::read;
use roadstead_proto::state::rows::{Delivery, RowsError, RowsMut as _};
use roadstead_proto::state::table::{self, Table};
use roadstead_proto::wire::Record;

use crate::PlainFiles;
use crate::store::files::{damaged, failed};
use crate::store::rows::WriteRows;
use crate::store::state::StateFile;

/// Entries of one image.
pub const ENTRIES_PER_IMAGE: u64 = 8;
/// Tags of one repository.
const TAGS_PER_REPOSITORY: u64 = 10;
/// The first table after those that are filled.
const AFTER_FILLED: Table = Table::Sessions;

/// Adds `entries` cache entries to the state of a member that does not run, and answers how many rows these are. The member
/// needs one registry with one upstream.
///
/// # Errors
/// Where the state cannot be read or written, or has no upstream.
pub fn fill(directory: &Path, entries: u64) -> io::Result<u64> {
    let state = StateFile::open(Arc::new(PlainFiles), directory)?;
    let old = state.read()?;
    let configuration = read::configuration(old.rows(), Revision(0)).map_err(failed)?;
    let images = Images::new(&configuration, entries)?;
    let mut rows = 0;
    state.replace(|new| {
        let before = |key: &[u8]| key < &AFTER_FILLED.id().to_be_bytes()[..];
        old.for_each(|key, value| if before(key) { new.put_whole(key, value) } else { Ok(()) })?;
        rows = images.write(new).map_err(failed)?;
        old.for_each(|key, value| if before(key) { Ok(()) } else { new.put_whole(key, value) })?;
        old.head()
    })?;
    Ok(rows)
}

/// The tag of image `number`, of whatever size the state is.
pub fn tag_of(registry: &Registry, number: u64) -> TagKey {
    let tag = format!("1.{}", number % TAGS_PER_REPOSITORY).parse().expect("a tag");
    TagKey { registry: registry.id, repository: repository(number / TAGS_PER_REPOSITORY), tag }
}

fn repository(number: u64) -> RepositoryName {
    format!("team-{:04}/service-{number:08}", number / 1000).parse().expect("a name")
}

struct Images<'a> {
    registry: &'a Registry,
    upstream: &'a Upstream,
    images: u64,
    region: RegionId,
}

impl<'a> Images<'a> {
    fn new(configuration: &'a Configuration, entries: u64) -> io::Result<Self> {
        let missing = || damaged("there is no registry with an upstream");
        let registry = configuration.registries.first().ok_or_else(missing)?;
        let upstream = configuration.upstreams.first().ok_or_else(missing)?;
        Ok(Self { registry, upstream, images: entries / ENTRIES_PER_IMAGE, region: RegionId::default_region() })
    }

    fn entries(&self) -> u64 {
        self.images * ENTRIES_PER_IMAGE
    }

    /// The digest of an entry: random, but rising, so that rows are written in the order of their keys.
    fn digest(&self, entry: u64) -> Digest {
        let mut hash = Digest::sha256(&entry.to_be_bytes()).hash().to_vec();
        let step = u64::MAX / self.entries().max(1);
        hash[..8].copy_from_slice(&(entry * step).to_be_bytes());
        Digest::from_hash(Algorithm::Sha256, &hash).expect("as long as it has to be")
    }

    fn repository_of(&self, entry: u64) -> RepositoryName {
        repository(entry / ENTRIES_PER_IMAGE / TAGS_PER_REPOSITORY)
    }

    /// The first of an image's entries is its manifest.
    fn kind(entry: u64) -> ContentKind {
        if entry.is_multiple_of(ENTRIES_PER_IMAGE) { ContentKind::Manifest } else { ContentKind::Blob }
    }

    fn media_type(entry: u64) -> MediaType {
        match Self::kind(entry) {
            ContentKind::Manifest => OCI_MANIFEST.parse().expect("a media type"),
            ContentKind::Blob => "application/vnd.oci.image.layer.v1.tar+gzip".parse().expect("a media type"),
        }
    }

    fn write(&self, rows: &mut WriteRows<'_>) -> Result<u64, RowsError> {
        let mut count = 0;
        let mut put = |table, key: Vec<u8>, value: Vec<u8>| {
            count += 1;
            rows.put(table, &key, &value)
        };
        let id = self.upstream.id;
        for entry in 0..self.entries() {
            let digest = self.digest(entry);
            let location = BlobLocation {
                key: ObjectKey { digest, token: FencingToken(entry + 10) },
                size: 1 << 20,
                stored_at: Timestamp(1),
            };
            put(Table::Locations, table::location_key(&digest, &self.region), location.encode())?;
        }
        for entry in 0..self.entries() {
            let right = Right {
                size: 1 << 20,
                media_type: Self::media_type(entry),
                kind: Self::kind(entry),
                sha1: (Self::kind(entry) == ContentKind::Manifest).then_some([7; 20]),
                created_at: Timestamp(1),
                upstream_epoch: self.upstream.epoch,
            };
            put(
                Table::Rights,
                table::content_key(id, &self.repository_of(entry), &self.digest(entry)),
                right.encode(),
            )?;
        }
        for image in 0..self.images {
            let key = tag_of(self.registry, image);
            let tag = TagEntry {
                digest: self.digest(image * ENTRIES_PER_IMAGE),
                checked_at: Timestamp(1),
                created_at: Timestamp(1),
                updated_at: Timestamp(1),
                upstream_etag: Some("\"0123456789abcdef\"".to_owned()),
                gone_since: None,
                upstream_epoch: self.upstream.epoch,
            };
            put(Table::Tags, table::tag_key(id, &key.repository, &key.tag), tag.encode())?;
        }
        for image in 0..self.images {
            let route = Route { upstream: id, not_here: Vec::new(), routing: self.registry.routing };
            put(Table::Routes, table::route_key(&tag_of(self.registry, image)), route.encode())?;
        }
        for entry in (0..self.entries()).filter(|entry| Self::kind(*entry) == ContentKind::Blob) {
            let digest = self.digest(entry);
            let descriptor =
                Descriptor { digest, size: 1 << 20, media_type: Self::media_type(entry), kind: ContentKind::Blob };
            put(Table::Descriptors, table::content_key(id, &self.repository_of(entry), &digest), descriptor.encode())?;
        }
        for entry in 0..self.entries() {
            let used = EntryRef {
                upstream: id,
                repository: self.repository_of(entry),
                reference: Reference::Digest(self.digest(entry)),
            };
            let usage = Usage { downloads: entry % 1000, downloaded_at: Timestamp(1) };
            put(Table::Usage, table::entry_key(&used), usage.encode())?;
        }
        for entry in 0..self.entries() {
            let key = table::delivery_key(&self.upstream.settings.url.origin(), &self.digest(entry));
            put(Table::Deliveries, key, Delivery { at: Timestamp(1) }.encode())?;
        }
        Ok(count)
    }
}
