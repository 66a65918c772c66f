//! Sessions and leases: who may do a thing alone, and how a late finisher is recognised.

use std::fmt;
use std::time::Duration;

use super::digest::Digest;
use super::entry::{BlobLocation, ContentKind, Descriptor, EntryRef, ObjectKey, Right};
use super::epoch::{Epoch, Revision};
use super::media::MediaType;
use super::registry::{RegionId, RegistryId, UpstreamId};
use super::upstream::SourceId;

/// How long a session lives without being kept alive. A new raft leader waits this long before it
/// expires anything, so that a change of leader ends nobody's work.
pub const SESSION_TTL: Duration = Duration::from_secs(3);

/// How often a gateway keeps its session alive: three tries before [`SESSION_TTL`] is over.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(1);

/// A gateway's session: its leases die with it. The number is the revision that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Proof of a grant. Strictly increases over the whole cluster's history (it is the revision of the
/// grant), so the holder of an older one can always be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

/// Tokens from here on were never granted.
const PROVISIONAL: u64 = 1 << 63;

impl FencingToken {
    /// A name for an object that is written while nobody grants tokens. It is no grant, holds no lease and never equals one:
    /// revisions stay below. `random` keeps two writers apart.
    pub fn provisional(random: u64) -> Self {
        Self(PROVISIONAL | random)
    }

    /// Whether it names an object and was never granted.
    pub fn is_provisional(self) -> bool {
        self.0 >= PROVISIONAL
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a lease is on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseKey {
    /// The download of one blob from one source into one region's bucket.
    Fill {
        /// Whose bucket the bytes go to.
        region: RegionId,
        /// Origin and credential identity the bytes come from.
        source: SourceId,
        /// What is downloaded.
        digest: Digest,
    },
    /// The fetch or revalidation of one manifest, by tag or by digest.
    Manifest(EntryRef),
}

/// A gateway's own name: stable over restarts, so that its new session ends what its old one held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayId(pub String);

/// A wish for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireRequest {
    /// Whose session the lease will hang on.
    pub session: SessionId,
    /// What the lease is on.
    pub key: LeaseKey,
    /// The entry the work is for: where it will be recorded, and whose right decides on `Stored`.
    pub entry: EntryRef,
    /// The epoch of the upstream as the asker knows it: with an outdated url or outdated credentials no work is granted.
    pub upstream_epoch: Epoch,
    /// The region whose bucket counts as stored.
    pub region: RegionId,
    /// An object found missing or damaged: it does not count as stored.
    pub distrusts: Option<FencingToken>,
}

/// What the holder of a lease brings home. Recorded, and the lease released, in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The lease.
    pub key: LeaseKey,
    /// Its token: refused where it is not the one in force.
    pub token: FencingToken,
    /// When the work began (the first grant, where it was handed over): a purge or a change of the
    /// upstream after this point drops what is recorded here.
    pub began: Revision,
    /// The entry the work was for.
    pub entry: EntryRef,
    /// Content that arrived whole, verified, and lies in object storage.
    pub delivered: Option<Delivered>,
    /// What the upstream says of the tag.
    pub tag: Option<TagVerdict>,
}

/// Content that the entry's upstream delivered, or that was copied from another region's bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The object that was committed.
    pub object: ObjectKey,
    /// Whose bucket it is in.
    pub region: RegionId,
    /// Its size in bytes.
    pub size: u64,
    /// The media type as the upstream sent it.
    pub media_type: MediaType,
    /// Manifest or blob.
    pub kind: ContentKind,
    /// SHA-1 for the management API, where somebody computed it: manifests only.
    pub sha1: Option<[u8; 20]>,
    /// What a manifest names.
    pub children: Vec<Descriptor>,
    /// The object found missing or damaged that this one heals.
    pub replaces: Option<FencingToken>,
    /// It came from another region's bucket, and no upstream was asked: recorded is where it lies, and nothing else. It takes
    /// a right that the entry has already, and gives none.
    pub copied: bool,
}

/// What an upstream said of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagVerdict {
    /// It names this digest.
    Names {
        /// The digest.
        digest: Digest,
        /// The upstream's own `ETag`.
        upstream_etag: Option<String>,
        /// The virtual registry whose walk led here, which keeps the route. `None` where the client itself named the upstream.
        registry: Option<RegistryId>,
        /// The upstreams above that truly said "not here".
        not_here: Vec<UpstreamId>,
        /// The registry's [`super::registry::Registry::routing`] the walk was made under.
        routing: Revision,
        /// How long ago it said so: not zero where it is recorded after an outage of the metadata.
        age: Duration,
    },
    /// "Not here", of a tag it once had.
    Gone,
}

/// A right earned by HEAD: the content of an upstream of the same origin is stored, and this upstream, with its own
/// credentials, says that its repository has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarnedByHead {
    /// The entry; its reference is the digest.
    pub entry: EntryRef,
    /// The epoch of the upstream under which it was asked.
    pub upstream_epoch: Epoch,
    /// The revision known before it was asked.
    pub began: Revision,
    /// The region the bytes lie in.
    pub region: RegionId,
    /// The media type to serve them under.
    pub media_type: MediaType,
    /// Manifest or blob.
    pub kind: ContentKind,
}

/// The answer to an attempt to acquire a lease, decided in one apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquired {
    /// The lease is yours.
    Granted(FencingToken),
    /// Somebody else holds it.
    Held(Holder),
    /// Nothing to do: the bytes are stored and the asker's right to them holds.
    Stored {
        /// Where the bytes are.
        location: BlobLocation,
        /// The asker's right.
        right: Right,
    },
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The holder's session.
    pub session: SessionId,
    /// The holder's token.
    pub token: FencingToken,
    /// Where other gateways reach the holder, `host:port`; empty where it serves no peers.
    pub address: String,
}
