//! Everything persisted, in one place: stable ids, keys, value types.
//!
//! | id | table | key | value (`record.proto`) | written by |
//! |---|---|---|---|---|
//! | 1 | counters | empty | `Counters` | every command |
//! | 2 | groups | id | `Group` | configuration |
//! | 3 | registries | id | `Registry` | configuration |
//! | 4 | upstreams | id | `Upstream` | configuration |
//! | 5 | links | id | `Link` | configuration |
//! | 6 | tokens | id | `Token` | configuration |
//! | 7 | signing keys | id | `SigningKey` | configuration |
//! | 8 | token uses | id of the token | `LastUse` | uses of tokens |
//! | 9 | cleanup policies | id of the group | `CleanupPolicy` | configuration, cleanups |
//! | 10 | locations | digest, region | `BlobLocation` | completion |
//! | 11 | rights | upstream, repository, digest | `Right` | completion, right by HEAD |
//! | 12 | tags | upstream, repository, tag | `TagEntry` | completion |
//! | 13 | routes | registry, repository, tag | `Route` | completion |
//! | 14 | descriptors | upstream, repository, digest | `Descriptor` | completion of a manifest |
//! | 15 | usage | upstream, repository, reference | `Usage` | access counts |
//! | 16 | purges | upstream, repository, reference | `Purge` | purge of an entry |
//! | 17 | deliveries | origin, digest | `Delivery` | completion |
//! | 18 | indexed | upstream, epoch, how long before the end of time it was created, repository, reference | `Indexed` | what records or purges an entry |
//! | 19 | entry counts | upstream | `EntryCount` | the same |
//! | 20 | sessions | id | `Session` | sessions |
//! | 21 | leases | lease key | `Lease` | leases |
//! | 22 | identity providers | id | `IdentityProvider` | configuration |
//! | 23 | claim rules | id | `ClaimRule` | configuration |
//! | 24 | gitlab | empty | `GitLabInstance` | configuration |
//! | 25 | indexing | empty | `Indexing` | steps of the index |
//!
//! Key parts: ids are 8 bytes, big-endian; texts end with a zero byte (none of them can contain one); a
//! digest is one byte for the algorithm (1 SHA-256, 2 SHA-512) and the raw hash; a reference is `t` and a text or `d` and a digest.
//! So the rows of one upstream, and of one repository in it, lie side by side.

use std::str::FromStr;

use crate::domain::digest::{Algorithm, Digest};
use crate::domain::entry::{EntryRef, TagKey};
use crate::domain::epoch::Epoch;
use crate::domain::image::{Reference, RepositoryName, Tag};
use crate::domain::lease::{LeaseKey, SessionId};
use crate::domain::registry::{RegionId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::Origin;

/// A keyspace. The number is on disk: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
#[allow(missing_docs, reason = "the table above documents each")]
pub enum Table {
    Counters = 1,
    Groups = 2,
    Registries = 3,
    Upstreams = 4,
    Links = 5,
    Tokens = 6,
    SigningKeys = 7,
    TokenUses = 8,
    CleanupPolicies = 9,
    Locations = 10,
    Rights = 11,
    Tags = 12,
    Routes = 13,
    Descriptors = 14,
    Usage = 15,
    Purges = 16,
    Deliveries = 17,
    Indexed = 18,
    EntryCounts = 19,
    Sessions = 20,
    Leases = 21,
    IdentityProviders = 22,
    ClaimRules = 23,
    GitLab = 24,
    Indexing = 25,
}

impl Table {
    /// Every table, by id.
    pub const ALL: [Self; 25] = [
        Self::Counters,
        Self::Groups,
        Self::Registries,
        Self::Upstreams,
        Self::Links,
        Self::Tokens,
        Self::SigningKeys,
        Self::TokenUses,
        Self::CleanupPolicies,
        Self::Locations,
        Self::Rights,
        Self::Tags,
        Self::Routes,
        Self::Descriptors,
        Self::Usage,
        Self::Purges,
        Self::Deliveries,
        Self::Indexed,
        Self::EntryCounts,
        Self::Sessions,
        Self::Leases,
        Self::IdentityProviders,
        Self::ClaimRules,
        Self::GitLab,
        Self::Indexing,
    ];

    /// The stable number.
    pub fn id(self) -> u16 {
        self as u16
    }

    /// The table of a number, if this version knows it.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.id() == id)
    }

    /// The name, for tools and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Groups => "groups",
            Self::Registries => "registries",
            Self::Upstreams => "upstreams",
            Self::Links => "links",
            Self::Tokens => "tokens",
            Self::SigningKeys => "signing keys",
            Self::TokenUses => "token uses",
            Self::CleanupPolicies => "cleanup policies",
            Self::Locations => "locations",
            Self::Rights => "rights",
            Self::Tags => "tags",
            Self::Routes => "routes",
            Self::Descriptors => "descriptors",
            Self::Usage => "usage",
            Self::Purges => "purges",
            Self::Deliveries => "deliveries",
            Self::Indexed => "indexed",
            Self::EntryCounts => "entry counts",
            Self::Sessions => "sessions",
            Self::Leases => "leases",
            Self::IdentityProviders => "identity providers",
            Self::ClaimRules => "claim rules",
            Self::GitLab => "gitlab",
            Self::Indexing => "indexing",
        }
    }
}

/// The key of the one row of [`Table::Counters`].
pub const COUNTERS_KEY: &[u8] = &[];

/// The key of the one row of [`Table::GitLab`].
pub const GITLAB_KEY: &[u8] = &[];

/// The key of the one row of [`Table::Indexing`].
pub const INDEXING_KEY: &[u8] = &[];

/// The key of a row that is found by its number.
pub fn id_key(id: u64) -> [u8; 8] {
    id.to_be_bytes()
}

/// Builds a key part by part.
#[derive(Default)]
struct Key(Vec<u8>);

impl Key {
    fn id(mut self, id: u64) -> Self {
        self.0.extend_from_slice(&id.to_be_bytes());
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    fn digest(mut self, digest: &Digest) -> Self {
        self.0.push(match digest.algorithm() {
            Algorithm::Sha256 => 1,
            Algorithm::Sha512 => 2,
        });
        self.0.extend_from_slice(digest.hash());
        self
    }

    fn reference(mut self, reference: &Reference) -> Self {
        match reference {
            Reference::Tag(tag) => {
                self.0.push(b't');
                self.text(tag.as_str())
            }
            Reference::Digest(digest) => {
                self.0.push(b'd');
                self.digest(digest)
            }
        }
    }
}

/// [`Table::Locations`].
pub fn location_key(digest: &Digest, region: &RegionId) -> Vec<u8> {
    Key::default().digest(digest).text(region.as_str()).0
}

/// What the keys of all [`Table::Locations`] of a digest begin with.
pub fn locations_prefix(digest: &Digest) -> Vec<u8> {
    Key::default().digest(digest).0
}

/// The region of a [`Table::Locations`] key whose digest takes `prefix` bytes.
pub fn region_of_location_key(key: &[u8], prefix: usize) -> Option<RegionId> {
    let text = key.get(prefix..)?.strip_suffix(&[0])?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// [`Table::Rights`] and [`Table::Descriptors`].
pub fn content_key(upstream: UpstreamId, repository: &RepositoryName, digest: &Digest) -> Vec<u8> {
    Key::default().id(upstream.0).text(repository.as_str()).digest(digest).0
}

/// [`Table::Tags`].
pub fn tag_key(upstream: UpstreamId, repository: &RepositoryName, tag: &Tag) -> Vec<u8> {
    Key::default().id(upstream.0).text(repository.as_str()).text(tag.as_str()).0
}

/// [`Table::Routes`].
pub fn route_key(key: &TagKey) -> Vec<u8> {
    Key::default().id(key.registry.0).text(key.repository.as_str()).text(key.tag.as_str()).0
}

/// [`Table::Usage`] and [`Table::Purges`].
pub fn entry_key(entry: &EntryRef) -> Vec<u8> {
    Key::default().id(entry.upstream.0).text(entry.repository.as_str()).reference(&entry.reference).0
}

/// What the keys of all [`Table::Indexed`] of an upstream in one epoch begin with.
pub fn indexed_prefix(upstream: UpstreamId, epoch: Epoch) -> Vec<u8> {
    Key::default().id(upstream.0).id(epoch.0).0
}

/// [`Table::Indexed`]: what was created last comes first.
pub fn indexed_key(epoch: Epoch, created_at: Timestamp, entry: &EntryRef) -> Vec<u8> {
    let EntryRef { upstream, repository, reference } = entry;
    Key::default()
        .id(upstream.0)
        .id(epoch.0)
        .id(u64::MAX - created_at.0)
        .text(repository.as_str())
        .reference(reference)
        .0
}

/// Takes a key apart, part by part. `None` where it is no such key.
struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(part)
    }

    fn id(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn text<T: FromStr>(&mut self) -> Option<T> {
        let text = self.take(self.0.iter().position(|byte| *byte == 0)?)?;
        self.take(1)?;
        std::str::from_utf8(text).ok()?.parse().ok()
    }

    fn digest(&mut self) -> Option<Digest> {
        let algorithm = match self.take(1)? {
            [1] => Algorithm::Sha256,
            [2] => Algorithm::Sha512,
            _ => return None,
        };
        Digest::from_hash(algorithm, self.take(algorithm.hash_len())?)
    }

    fn reference(&mut self) -> Option<Reference> {
        match self.take(1)? {
            b"t" => self.text().map(Reference::Tag),
            b"d" => self.digest().map(Reference::Digest),
            _ => None,
        }
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// The entry of an [`indexed_key`].
pub fn entry_of_indexed_key(key: &[u8]) -> Option<EntryRef> {
    let mut parts = Parts(key);
    let upstream = UpstreamId(parts.id()?);
    parts.take(16)?;
    let entry = EntryRef { upstream, repository: parts.text()?, reference: parts.reference()? };
    parts.end(entry)
}

/// The entry of an [`entry_key`].
pub fn entry_of_key(key: &[u8]) -> Option<EntryRef> {
    let mut parts = Parts(key);
    let upstream = UpstreamId(parts.id()?);
    let entry = EntryRef { upstream, repository: parts.text()?, reference: parts.reference()? };
    parts.end(entry)
}

/// The entry of a [`tag_key`].
pub fn entry_of_tag_key(key: &[u8]) -> Option<EntryRef> {
    let mut parts = Parts(key);
    let upstream = UpstreamId(parts.id()?);
    let entry = EntryRef { upstream, repository: parts.text()?, reference: Reference::Tag(parts.text()?) };
    parts.end(entry)
}

/// The entry of a [`content_key`].
pub fn entry_of_content_key(key: &[u8]) -> Option<EntryRef> {
    let mut parts = Parts(key);
    let upstream = UpstreamId(parts.id()?);
    let entry = EntryRef { upstream, repository: parts.text()?, reference: Reference::Digest(parts.digest()?) };
    parts.end(entry)
}

/// [`Table::Deliveries`].
pub fn delivery_key(origin: &Origin, digest: &Digest) -> Vec<u8> {
    Key::default().text(origin.as_str()).digest(digest).0
}

/// [`Table::Sessions`].
pub fn session_key(session: SessionId) -> [u8; 8] {
    id_key(session.0)
}

/// The number of a [`Table::Sessions`] key.
pub fn session_of_key(key: &[u8]) -> Option<SessionId> {
    key.try_into().ok().map(|bytes| SessionId(u64::from_be_bytes(bytes)))
}

/// [`Table::Leases`].
pub fn lease_key(key: &LeaseKey) -> Vec<u8> {
    match key {
        LeaseKey::Fill { region, source, digest } => {
            let mut key = Key(vec![b'f']).text(region.as_str()).text(source.origin.as_str());
            key.0.extend_from_slice(&source.credential.0);
            key.digest(digest).0
        }
        LeaseKey::Manifest(entry) => {
            let mut key = vec![b'm'];
            key.extend_from_slice(&entry_key(entry));
            key
        }
    }
}
