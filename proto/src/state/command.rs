//! What may be asked of the metadata, and what it answers.

use crate::domain::entry::{BlobLocation, EntryRef, Touch};
use crate::domain::epoch::Revision;
use crate::domain::fleet::Registration;
use crate::domain::lease::{AcquireRequest, Acquired, Completion, EarnedByHead, FencingToken, LeaseKey, SessionId};
use crate::domain::principal::{Role, TokenHash};
use crate::domain::registry::{GroupId, GroupRef, LinkId, RegistryId, UpstreamId};
use crate::domain::text::{Description, DisplayName};
use crate::domain::time::Timestamp;
use crate::domain::upstream::UpstreamSettings;

pub use super::refusal::Refusal;

/// A command with the time its proposer saw. This is what the raft log carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The proposing node's clock.
    pub at: Timestamp,
    /// What to do.
    pub command: Command,
}

/// Everything that can change the metadata.
#[expect(clippy::large_enum_variant, reason = "commands are handled one at a time, never kept in bulk")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Creates the first group, registry and upstreams; does nothing where a registry exists.
    Bootstrap(Bootstrap),
    /// Creates a registry, and its group where that is wanted and unknown.
    CreateRegistry(CreateRegistry),
    /// Changes what a person set of a registry.
    UpdateRegistry(UpdateRegistry),
    /// Removes a registry, and the upstreams that no other registry uses with all that is cached of them.
    DeleteRegistry(RegistryId),
    /// Makes everything cached of the upstreams void that only this registry uses.
    PurgeRegistry(RegistryId),
    /// Creates an upstream of the registry's group, and links it as the last one.
    CreateUpstream {
        /// Where it is linked.
        registry: RegistryId,
        /// What a person set.
        settings: UpstreamSettings,
        /// Most upstreams of a registry: a setting of whoever proposes, so that every replica decides by the same number.
        at_most: usize,
    },
    /// Replaces what a person set of an upstream; another url or other credentials raise its epoch.
    UpdateUpstream {
        /// Which.
        id: UpstreamId,
        /// All of its settings.
        settings: UpstreamSettings,
        /// Refused where it was changed since: a change that was put together from what somebody read undoes nobody's.
        if_updated_at: Option<Timestamp>,
    },
    /// Removes an upstream and its links. Nobody sees any more what is cached of it.
    DeleteUpstream(UpstreamId),
    /// Links an upstream to a further registry of its group, as the last one.
    Link {
        /// The registry.
        registry: RegistryId,
        /// The upstream.
        upstream: UpstreamId,
        /// Most upstreams of a registry.
        at_most: usize,
    },
    /// Moves a link; what lies between its old place and its new one shifts by one.
    MoveLink {
        /// Which.
        id: LinkId,
        /// From 1; past the end means last.
        position: u32,
    },
    /// Removes a link, and not the upstream.
    Unlink(LinkId),
    /// Makes everything cached of an upstream void.
    PurgeUpstream(UpstreamId),
    /// Drops one entry; what is on its way is dropped on arrival.
    PurgeEntry(EntryRef),
    /// Creates the token of a name, or replaces it.
    PutToken(PutToken),
    /// Opens a session; an earlier one of the same gateway ends, and its leases with it.
    OpenSession(Registration),
    /// Ends sessions and their leases, by their own wish or because they fell silent.
    EndSessions(Vec<SessionId>),
    /// Asks for a lease.
    Acquire(AcquireRequest),
    /// Gives a lease back without a result.
    Release {
        /// The lease.
        key: LeaseKey,
        /// Its token; an older one does nothing.
        token: FencingToken,
    },
    /// Records a result and gives the lease back.
    Complete(Completion),
    /// Records a right earned by HEAD.
    EarnRight(EarnedByHead),
    /// Brings the next entries into the index that were recorded before there was one; the first begins it.
    IndexEntries,
    /// Adds to the access counts.
    RecordUsage(Vec<Touch>),
}

/// The first configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// Path of group 1.
    pub group_path: String,
    /// Name of registry 1.
    pub registry_name: String,
    /// Its upstreams, first asked first.
    pub upstreams: Vec<UpstreamSettings>,
}

/// A registry to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateRegistry {
    /// Its group.
    pub group: GroupRef,
    /// Whether a group that does not exist is created: a number takes that number, a path gets the next one that is free.
    pub create_group: bool,
    /// Unique within the group.
    pub name: DisplayName,
    /// Free text.
    pub description: Option<Description>,
    /// Most registries of a group.
    pub at_most: usize,
}

/// What changes of a registry; `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateRegistry {
    /// Which.
    pub id: RegistryId,
    /// Its new name.
    pub name: Option<DisplayName>,
    /// Its new description; `Some(None)` clears it.
    pub description: Option<Option<Description>>,
    /// Whether pulls need no token.
    pub anonymous_pull: Option<bool>,
}

/// A token to create or replace, found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutToken {
    /// Its name.
    pub name: String,
    /// The hash of the token.
    pub hash: TokenHash,
    /// The group it is confined to.
    pub group: GroupId,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// `Bootstrap`: whether anything was created.
    Bootstrapped {
        /// `false` where a registry existed already.
        created: bool,
    },
    /// `CreateRegistry`.
    RegistryCreated {
        /// The registry.
        registry: RegistryId,
        /// Its group, which may be new too.
        group: GroupId,
    },
    /// `CreateUpstream`.
    UpstreamCreated {
        /// The upstream.
        upstream: UpstreamId,
        /// Its link to the registry.
        link: LinkId,
        /// Its place there.
        position: u32,
    },
    /// `Link` and `MoveLink`.
    Linked {
        /// The link.
        link: LinkId,
        /// Its place.
        position: u32,
    },
    /// `IndexEntries`.
    EntriesIndexed {
        /// Whether every entry is in the index by now.
        complete: bool,
    },
    /// `OpenSession`.
    SessionOpened(SessionId),
    /// `Acquire`.
    Acquired(Acquired),
    /// `Complete`.
    Completed(Recorded),
}

/// What became of a completion whose token was in force. The lease is released in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It stands. Where content was delivered, this is the live object: another than the one written, if
    /// somebody else stored the digest first; the writer then deletes its own.
    Live(Option<BlobLocation>),
    /// The entry was purged or the upstream changed while the work ran: nothing was recorded.
    Outdated,
}

/// A change that gateways must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// What.
    pub what: Changed,
}

/// What gateways must hear of. Entries are read through on demand and never announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Groups, registries, upstreams, links or tokens: read the configuration anew.
    Configuration,
    /// An entry was purged: forget it.
    Purged(EntryRef),
}

/// All that one applied command brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to the proposer.
    pub outcome: Result<Outcome, Refusal>,
    /// What gateways must hear of, in order.
    pub changes: Vec<Change>,
}
