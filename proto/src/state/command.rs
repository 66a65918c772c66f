//! What may be asked of the metadata, and what it answers.

use crate::domain::entry::{BlobLocation, EntryRef, Touch};
use crate::domain::epoch::Revision;
use crate::domain::fleet::Registration;
use crate::domain::lease::{AcquireRequest, Acquired, Completion, EarnedByHead, FencingToken, LeaseKey, SessionId};
use crate::domain::principal::{Role, TokenHash};
use crate::domain::registry::{GroupId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::UpstreamSettings;

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
    /// Replaces what a person set of an upstream; another url or other credentials raise its epoch.
    UpdateUpstream {
        /// Which.
        id: UpstreamId,
        /// All of its settings.
        settings: UpstreamSettings,
    },
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

/// Why a command was refused. The state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The upstream does not exist.
    #[error("there is no upstream {0}")]
    NoUpstream(UpstreamId),
    /// The group does not exist.
    #[error("there is no group {0}")]
    NoGroup(GroupId),
    /// The session has ended.
    #[error("the session has ended")]
    NoSession,
    /// The lease is not held under this token.
    #[error("the lease is not held under this token")]
    LeaseLost,
    /// The upstream's url or credentials changed, or its cache was purged.
    #[error("the upstream has changed")]
    EpochChanged,
    /// A right by HEAD needs content that an upstream of the same origin delivered and that is stored.
    #[error("no upstream of this origin has delivered this content")]
    NotDelivered,
    /// A limit of the configuration.
    #[error("a registry has at most {0} upstreams")]
    TooManyUpstreams(usize),
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
