//! What may be asked of the metadata, and what it answers.

use crate::domain::cleanup::{Cadence, CleanupSettings, KeepDays};
use crate::domain::entry::{BlobLocation, EntryRef, Touch};
use crate::domain::epoch::Revision;
use crate::domain::fleet::Registration;
use crate::domain::identity::{ClaimRuleSettings, ProjectRules, ProviderSettings, WebUrl};
use crate::domain::lease::{AcquireRequest, Acquired, Completion, EarnedByHead, FencingToken, LeaseKey, SessionId};
use crate::domain::principal::{Role, TokenHash, TokenUse};
use crate::domain::registry::{
    ClaimRuleId, GroupId, GroupRef, IdentityProviderId, LinkId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
use crate::domain::secret::SealedSecret;
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
    /// Creates a token.
    CreateToken(CreateToken),
    /// Removes a token: from then on nobody knows it, nor what was issued for it.
    RevokeToken(TokenId),
    /// Notes when tokens were last used. What is not known any more is left out.
    RecordTokenUses(Vec<TokenUse>),
    /// Adds a signing key, and removes those that were retired long ago.
    AddSigningKey {
        /// Its private part.
        sealed: SealedSecret,
        /// Its public part.
        public: [u8; 32],
        /// The newest key that the proposer knows: of several gateways that find none at once, one adds one.
        newest: Option<SigningKeyId>,
    },
    /// Lets a signing key sign no more.
    RetireSigningKey(SigningKeyId),
    /// Replaces the private part of a signing key by the same, sealed under another key.
    ResealSigningKey {
        /// Which.
        id: SigningKeyId,
        /// Its private part.
        sealed: SealedSecret,
    },
    /// Creates a provider of identities, or replaces what a person set of it.
    PutIdentityProvider {
        /// Which; a new one where there is none.
        id: Option<IdentityProviderId>,
        /// What a person set.
        settings: ProviderSettings,
        /// Most providers.
        at_most: usize,
    },
    /// Removes a provider of identities, and its claim rules.
    DeleteIdentityProvider(IdentityProviderId),
    /// Creates a claim rule, or replaces what a person set of it.
    PutClaimRule {
        /// Which; a new one where there is none.
        id: Option<ClaimRuleId>,
        /// What a person set.
        settings: ClaimRuleSettings,
        /// Most claim rules of a provider.
        at_most: usize,
    },
    /// Removes a claim rule.
    DeleteClaimRule(ClaimRuleId),
    /// Names the GitLab instance whose job tokens are accepted, in place of the one before.
    PutGitLab {
        /// Its address.
        url: WebUrl,
        /// Who belongs where.
        rules: ProjectRules,
    },
    /// From then on no job token is accepted.
    DeleteGitLab,
    /// Creates the cleanup policy of a group.
    CreateCleanupPolicy {
        /// The group.
        group: GroupId,
        /// What a person set.
        settings: CleanupSettings,
    },
    /// Changes the cleanup policy of a group.
    UpdateCleanupPolicy(UpdateCleanupPolicy),
    /// Removes the cleanup policy of a group.
    DeleteCleanupPolicy(GroupId),
    /// Says that a group is being cleaned.
    BeginCleanup(GroupId),
    /// Says what came of it. The next is due a cadence later.
    EndCleanup(EndCleanup),
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

/// A token to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateToken {
    /// Unique within the group.
    pub name: DisplayName,
    /// The hash of the token.
    pub hash: TokenHash,
    /// The group it is confined to.
    pub group: GroupId,
    /// What it may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// What changes of a cleanup policy; `None` stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateCleanupPolicy {
    /// Whose.
    pub group: GroupId,
    /// Whether it runs at all.
    pub enabled: Option<bool>,
    /// For how long an entry is kept after its last download.
    pub keep: Option<KeepDays>,
    /// How often it runs.
    pub cadence: Option<Cadence>,
    /// Whether its end is told.
    pub notify_on_success: Option<bool>,
    /// Whether its failure is told.
    pub notify_on_failure: Option<bool>,
}

/// What came of a cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndCleanup {
    /// Whose.
    pub group: GroupId,
    /// Entries removed.
    pub deleted_entries: u64,
    /// Their size in bytes.
    pub deleted_bytes: u64,
    /// Why it failed; cut to what is kept.
    pub failure: Option<String>,
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
    /// `CreateToken`.
    TokenCreated(TokenId),
    /// `AddSigningKey`.
    SigningKeyAdded(SigningKeyId),
    /// `PutIdentityProvider`.
    IdentityProviderPut(IdentityProviderId),
    /// `PutClaimRule`.
    ClaimRulePut(ClaimRuleId),
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
