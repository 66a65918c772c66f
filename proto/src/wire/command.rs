//! Commands: domain ↔ protobuf.

use std::time::Duration;

use super::configure::{self, count};
use super::pb::meta::v1 as pb;
use super::record::{credential_from, digest, hash_from, kind_from, kind_to, millis, role_from, role_to, sha1_from};
use super::{DecodeError, Record};
use super::{access, identity};
use crate::domain::cleanup::CleanupSettings;
use crate::domain::entry::{Descriptor, EntryRef, ObjectKey, Touch};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::Registration;
use crate::domain::identity::{ClaimRuleSettings, ProviderSettings};
use crate::domain::image::Reference;
use crate::domain::lease::{
    AcquireRequest, Completion, Delivered, EarnedByHead, FencingToken, GatewayId, LeaseKey, SessionId, TagVerdict,
};
use crate::domain::principal::TokenUse;
use crate::domain::registry::{
    ClaimRuleId, GroupId, IdentityProviderId, LinkId, RegionId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{Origin, SourceId, UpstreamSettings};
use crate::state::command::{Bootstrap, Command, CreateToken, EndCleanup, Proposal, PutToken, UpdateCleanupPolicy};

pub(super) fn required<T>(value: Option<T>, message: &'static str, field: &'static str) -> Result<T, DecodeError> {
    value.ok_or(DecodeError::field(message, field))
}

pub(super) fn region(text: &str, message: &'static str) -> Result<RegionId, DecodeError> {
    text.parse().map_err(|_| DecodeError::field(message, "region"))
}

pub(super) fn entry_to(entry: &EntryRef) -> pb::EntryRef {
    let kind = match &entry.reference {
        Reference::Tag(tag) => pb::reference::Kind::Tag(tag.as_str().to_owned()),
        Reference::Digest(digest) => pb::reference::Kind::Digest(digest.hash().to_vec()),
    };
    pb::EntryRef {
        upstream: entry.upstream.0,
        repository: entry.repository.as_str().to_owned(),
        reference: Some(pb::Reference { kind: Some(kind) }),
    }
}

pub(super) fn entry_from(entry: Option<pb::EntryRef>) -> Result<EntryRef, DecodeError> {
    const NAME: &str = "EntryRef";
    let entry = required(entry, NAME, "entry")?;
    let reference = match required(entry.reference.and_then(|reference| reference.kind), NAME, "reference")? {
        pb::reference::Kind::Tag(tag) => Reference::Tag(tag.parse().map_err(|_| DecodeError::field(NAME, "tag"))?),
        pb::reference::Kind::Digest(hash) => Reference::Digest(digest(&hash, NAME)?),
    };
    let repository = entry.repository.parse().map_err(|_| DecodeError::field(NAME, "repository"))?;
    Ok(EntryRef { upstream: UpstreamId(entry.upstream), repository, reference })
}

pub(super) fn key_to(key: &LeaseKey) -> pb::LeaseKey {
    let kind = match key {
        LeaseKey::Fill { region, source, digest } => pb::lease_key::Kind::Fill(pb::FillKey {
            region: region.as_str().to_owned(),
            origin: source.origin.as_str().to_owned(),
            credential: source.credential.0.to_vec(),
            digest: digest.hash().to_vec(),
        }),
        LeaseKey::Manifest(entry) => pb::lease_key::Kind::Manifest(entry_to(entry)),
    };
    pb::LeaseKey { kind: Some(kind) }
}

pub(super) fn key_from(key: Option<pb::LeaseKey>) -> Result<LeaseKey, DecodeError> {
    const NAME: &str = "LeaseKey";
    Ok(match required(key.and_then(|key| key.kind), NAME, "kind")? {
        pb::lease_key::Kind::Fill(fill) => LeaseKey::Fill {
            region: region(&fill.region, NAME)?,
            source: SourceId {
                origin: Origin::from_stored(fill.origin),
                credential: credential_from(&fill.credential, NAME)?,
            },
            digest: digest(&fill.digest, NAME)?,
        },
        pb::lease_key::Kind::Manifest(entry) => LeaseKey::Manifest(entry_from(Some(entry))?),
    })
}

fn delivered_to(delivered: &Delivered) -> pb::Delivered {
    pb::Delivered {
        digest: delivered.object.digest.hash().to_vec(),
        object_token: delivered.object.token.0,
        region: delivered.region.as_str().to_owned(),
        size: delivered.size,
        media_type: delivered.media_type.as_str().to_owned(),
        kind: kind_to(delivered.kind),
        sha1: delivered.sha1.map(|hash| hash.to_vec()).unwrap_or_default(),
        children: delivered.children.iter().map(Record::to_message).collect(),
        replaces: delivered.replaces.map(|token| token.0),
        copied: delivered.copied,
    }
}

fn delivered_from(m: pb::Delivered) -> Result<Delivered, DecodeError> {
    const NAME: &str = "Delivered";
    Ok(Delivered {
        object: ObjectKey { digest: digest(&m.digest, NAME)?, token: FencingToken(m.object_token) },
        region: region(&m.region, NAME)?,
        size: m.size,
        media_type: m.media_type.parse().map_err(|_| DecodeError::field(NAME, "media_type"))?,
        kind: kind_from(m.kind, NAME)?,
        sha1: sha1_from(&m.sha1, NAME)?,
        children: m.children.into_iter().map(Descriptor::from_message).collect::<Result<_, _>>()?,
        replaces: m.replaces.map(FencingToken),
        copied: m.copied,
    })
}

fn verdict_to(verdict: &TagVerdict) -> pb::complete::Tag {
    match verdict {
        TagVerdict::Names { digest, upstream_etag, registry, not_here, routing, age } => {
            pb::complete::Tag::Names(pb::Names {
                digest: digest.hash().to_vec(),
                upstream_etag: upstream_etag.clone(),
                registry: registry.map_or(0, |registry| registry.0),
                not_here: not_here.iter().map(|id| id.0).collect(),
                routing: routing.0,
                age_ms: millis(*age),
            })
        }
        TagVerdict::Gone => pb::complete::Tag::Gone(pb::Gone {}),
    }
}

fn verdict_from(verdict: pb::complete::Tag) -> Result<TagVerdict, DecodeError> {
    Ok(match verdict {
        pb::complete::Tag::Names(names) => TagVerdict::Names {
            digest: digest(&names.digest, "Names")?,
            upstream_etag: names.upstream_etag,
            registry: (names.registry != 0).then_some(RegistryId(names.registry)),
            not_here: names.not_here.into_iter().map(UpstreamId).collect(),
            routing: Revision(names.routing),
            age: Duration::from_millis(names.age_ms),
        },
        pb::complete::Tag::Gone(pb::Gone {}) => TagVerdict::Gone,
    })
}

fn completion_to(completion: &Completion) -> pb::Complete {
    pb::Complete {
        key: Some(key_to(&completion.key)),
        token: completion.token.0,
        began: completion.began.0,
        entry: Some(entry_to(&completion.entry)),
        delivered: completion.delivered.as_ref().map(delivered_to),
        tag: completion.tag.as_ref().map(verdict_to),
    }
}

fn completion_from(m: pb::Complete) -> Result<Completion, DecodeError> {
    Ok(Completion {
        key: key_from(m.key)?,
        token: FencingToken(m.token),
        began: Revision(m.began),
        entry: entry_from(m.entry)?,
        delivered: m.delivered.map(delivered_from).transpose()?,
        tag: m.tag.map(verdict_from).transpose()?,
    })
}

fn earned_from(m: pb::EarnRight) -> Result<EarnedByHead, DecodeError> {
    const NAME: &str = "EarnRight";
    Ok(EarnedByHead {
        entry: entry_from(m.entry)?,
        upstream_epoch: Epoch(m.upstream_epoch),
        began: Revision(m.began),
        region: region(&m.region, NAME)?,
        media_type: m.media_type.parse().map_err(|_| DecodeError::field(NAME, "media_type"))?,
        kind: kind_from(m.kind, NAME)?,
    })
}

fn touch_from(m: pb::Touch) -> Result<Touch, DecodeError> {
    Ok(Touch { entry: entry_from(m.entry)?, downloads: m.downloads, downloaded_at: Timestamp(m.downloaded_at) })
}

fn command_to(command: &Command) -> pb::proposal::Command {
    use pb::proposal::Command as Pb;
    match command {
        Command::Bootstrap(bootstrap) => Pb::Bootstrap(pb::Bootstrap {
            group_path: bootstrap.group_path.clone(),
            registry_name: bootstrap.registry_name.clone(),
            upstreams: bootstrap.upstreams.iter().map(Record::to_message).collect(),
        }),
        Command::CreateRegistry(create) => Pb::CreateRegistry(configure::create_registry_to(create)),
        Command::UpdateRegistry(update) => Pb::UpdateRegistry(configure::update_registry_to(update)),
        Command::DeleteRegistry(id) => Pb::DeleteRegistry(pb::DeleteRegistry { id: id.0 }),
        Command::PurgeRegistry(id) => Pb::PurgeRegistry(pb::PurgeRegistry { id: id.0 }),
        Command::CreateUpstream { registry, settings, at_most } => Pb::CreateUpstream(pb::CreateUpstream {
            registry: registry.0,
            settings: Some(settings.to_message()),
            at_most: *at_most as u64,
        }),
        Command::UpdateUpstream { id, settings, if_updated_at } => Pb::UpdateUpstream(pb::UpdateUpstream {
            id: id.0,
            settings: Some(settings.to_message()),
            if_updated_at: if_updated_at.map(|at| at.0),
        }),
        Command::DeleteUpstream(id) => Pb::DeleteUpstream(pb::DeleteUpstream { id: id.0 }),
        Command::Link { registry, upstream, at_most } => {
            Pb::CreateLink(pb::CreateLink { registry: registry.0, upstream: upstream.0, at_most: *at_most as u64 })
        }
        Command::MoveLink { id, position } => Pb::MoveLink(pb::MoveLink { id: id.0, position: *position }),
        Command::Unlink(id) => Pb::DeleteLink(pb::DeleteLink { id: id.0 }),
        Command::PurgeUpstream(id) => Pb::PurgeUpstream(pb::PurgeUpstream { id: id.0 }),
        Command::PurgeEntry(entry) => Pb::PurgeEntry(pb::PurgeEntry { entry: Some(entry_to(entry)) }),
        Command::PutToken(token) => Pb::PutToken(pb::PutToken {
            name: token.name.clone(),
            hash: token.hash.0.to_vec(),
            group: token.group.0,
            role: role_to(token.role),
            expires_at: token.expires_at.map(|at| at.0),
        }),
        Command::CreateToken(create) => Pb::CreateToken(create.to_message()),
        Command::RevokeToken(id) => Pb::RevokeToken(pb::RevokeToken { id: id.0 }),
        Command::RecordTokenUses(uses) => {
            Pb::RecordTokenUses(pb::RecordTokenUses { uses: uses.iter().map(Record::to_message).collect() })
        }
        Command::AddSigningKey { sealed, public, newest } => Pb::AddSigningKey(pb::AddSigningKey {
            sealed: Some(sealed.to_message()),
            public: public.to_vec(),
            newest: newest.map(|id| id.0),
        }),
        Command::RetireSigningKey(id) => Pb::RetireSigningKey(pb::RetireSigningKey { id: id.0 }),
        Command::ResealSigningKey { id, sealed } => {
            Pb::ResealSigningKey(pb::ResealSigningKey { id: id.0, sealed: Some(sealed.to_message()) })
        }
        Command::PutIdentityProvider { id, settings, at_most } => Pb::PutIdentityProvider(pb::PutIdentityProvider {
            id: id.map(|id| id.0),
            settings: Some(settings.to_message()),
            at_most: *at_most as u64,
        }),
        Command::DeleteIdentityProvider(id) => Pb::DeleteIdentityProvider(pb::DeleteIdentityProvider { id: id.0 }),
        Command::PutClaimRule { id, settings, at_most } => Pb::PutClaimRule(pb::PutClaimRule {
            id: id.map(|id| id.0),
            settings: Some(settings.to_message()),
            at_most: *at_most as u64,
        }),
        Command::DeleteClaimRule(id) => Pb::DeleteClaimRule(pb::DeleteClaimRule { id: id.0 }),
        Command::PutGitLab { url, rules } => {
            Pb::PutGitlab(pb::PutGitLab { url: url.as_str().to_owned(), rules: identity::project_rules_to(rules) })
        }
        Command::DeleteGitLab => Pb::DeleteGitlab(pb::DeleteGitLab {}),
        Command::CreateCleanupPolicy { group, settings } => {
            Pb::CreateCleanupPolicy(pb::CreateCleanupPolicy { group: group.0, settings: Some(settings.to_message()) })
        }
        Command::UpdateCleanupPolicy(update) => Pb::UpdateCleanupPolicy(update.to_message()),
        Command::DeleteCleanupPolicy(group) => Pb::DeleteCleanupPolicy(pb::DeleteCleanupPolicy { group: group.0 }),
        Command::BeginCleanup(group) => Pb::BeginCleanup(pb::BeginCleanup { group: group.0 }),
        Command::EndCleanup(end) => Pb::EndCleanup(end.to_message()),
        Command::OpenSession(registration) => Pb::OpenSession(pb::OpenSession {
            gateway: registration.gateway.0.clone(),
            region: registration.region.as_str().to_owned(),
            address: registration.address.clone(),
            version: registration.version.clone(),
        }),
        Command::EndSessions(ids) => Pb::EndSessions(pb::EndSessions { ids: ids.iter().map(|id| id.0).collect() }),
        Command::Acquire(request) => Pb::Acquire(pb::Acquire {
            session: request.session.0,
            key: Some(key_to(&request.key)),
            entry: Some(entry_to(&request.entry)),
            upstream_epoch: request.upstream_epoch.0,
            region: request.region.as_str().to_owned(),
            distrusts: request.distrusts.map(|token| token.0),
        }),
        Command::Release { key, token } => Pb::Release(pb::Release { key: Some(key_to(key)), token: token.0 }),
        Command::Complete(completion) => Pb::Complete(completion_to(completion)),
        Command::EarnRight(earned) => Pb::EarnRight(pb::EarnRight {
            entry: Some(entry_to(&earned.entry)),
            upstream_epoch: earned.upstream_epoch.0,
            began: earned.began.0,
            region: earned.region.as_str().to_owned(),
            media_type: earned.media_type.as_str().to_owned(),
            kind: kind_to(earned.kind),
        }),
        Command::IndexEntries => Pb::IndexEntries(pb::IndexEntries {}),
        Command::RecordUsage(touches) => Pb::RecordUsage(pb::RecordUsage {
            touches: touches
                .iter()
                .map(|touch| pb::Touch {
                    entry: Some(entry_to(&touch.entry)),
                    downloads: touch.downloads,
                    downloaded_at: touch.downloaded_at.0,
                })
                .collect(),
        }),
    }
}

fn command_from(command: pb::proposal::Command) -> Result<Command, DecodeError> {
    use pb::proposal::Command as Pb;
    Ok(match command {
        Pb::Bootstrap(m) => Command::Bootstrap(Bootstrap {
            group_path: m.group_path,
            registry_name: m.registry_name,
            upstreams: m.upstreams.into_iter().map(UpstreamSettings::from_message).collect::<Result<_, _>>()?,
        }),
        Pb::CreateRegistry(m) => Command::CreateRegistry(configure::create_registry_from(m)?),
        Pb::UpdateRegistry(m) => Command::UpdateRegistry(configure::update_registry_from(m)?),
        Pb::DeleteRegistry(m) => Command::DeleteRegistry(RegistryId(m.id)),
        Pb::PurgeRegistry(m) => Command::PurgeRegistry(RegistryId(m.id)),
        Pb::CreateUpstream(m) => Command::CreateUpstream {
            registry: RegistryId(m.registry),
            settings: UpstreamSettings::from_message(required(m.settings, "CreateUpstream", "settings")?)?,
            at_most: count(m.at_most),
        },
        Pb::UpdateUpstream(m) => Command::UpdateUpstream {
            id: UpstreamId(m.id),
            settings: UpstreamSettings::from_message(required(m.settings, "UpdateUpstream", "settings")?)?,
            if_updated_at: m.if_updated_at.map(Timestamp),
        },
        Pb::DeleteUpstream(m) => Command::DeleteUpstream(UpstreamId(m.id)),
        Pb::CreateLink(m) => Command::Link {
            registry: RegistryId(m.registry),
            upstream: UpstreamId(m.upstream),
            at_most: count(m.at_most),
        },
        Pb::MoveLink(m) => Command::MoveLink { id: LinkId(m.id), position: m.position },
        Pb::DeleteLink(m) => Command::Unlink(LinkId(m.id)),
        Pb::PurgeUpstream(m) => Command::PurgeUpstream(UpstreamId(m.id)),
        Pb::PurgeEntry(m) => Command::PurgeEntry(entry_from(m.entry)?),
        Pb::PutToken(m) => Command::PutToken(PutToken {
            hash: hash_from(&m.hash, "PutToken")?,
            name: m.name,
            group: GroupId(m.group),
            role: role_from(m.role, "PutToken")?,
            expires_at: m.expires_at.map(Timestamp),
        }),
        Pb::CreateToken(m) => Command::CreateToken(CreateToken::from_message(m)?),
        Pb::RevokeToken(m) => Command::RevokeToken(TokenId(m.id)),
        Pb::RecordTokenUses(m) => {
            Command::RecordTokenUses(m.uses.into_iter().map(TokenUse::from_message).collect::<Result<_, _>>()?)
        }
        Pb::AddSigningKey(m) => Command::AddSigningKey {
            sealed: access::sealed_from(m.sealed, "AddSigningKey")?,
            public: access::public_from(&m.public, "AddSigningKey")?,
            newest: m.newest.map(SigningKeyId),
        },
        Pb::RetireSigningKey(m) => Command::RetireSigningKey(SigningKeyId(m.id)),
        Pb::ResealSigningKey(m) => Command::ResealSigningKey {
            id: SigningKeyId(m.id),
            sealed: access::sealed_from(m.sealed, "ResealSigningKey")?,
        },
        Pb::PutIdentityProvider(m) => Command::PutIdentityProvider {
            id: m.id.map(IdentityProviderId),
            settings: ProviderSettings::from_message(required(m.settings, "PutIdentityProvider", "settings")?)?,
            at_most: count(m.at_most),
        },
        Pb::DeleteIdentityProvider(m) => Command::DeleteIdentityProvider(IdentityProviderId(m.id)),
        Pb::PutClaimRule(m) => Command::PutClaimRule {
            id: m.id.map(ClaimRuleId),
            settings: ClaimRuleSettings::from_message(required(m.settings, "PutClaimRule", "settings")?)?,
            at_most: count(m.at_most),
        },
        Pb::DeleteClaimRule(m) => Command::DeleteClaimRule(ClaimRuleId(m.id)),
        Pb::PutGitlab(m) => Command::PutGitLab {
            url: identity::url(&m.url, "PutGitLab")?,
            rules: identity::project_rules_from(m.rules)?,
        },
        Pb::DeleteGitlab(pb::DeleteGitLab {}) => Command::DeleteGitLab,
        Pb::CreateCleanupPolicy(m) => Command::CreateCleanupPolicy {
            group: GroupId(m.group),
            settings: CleanupSettings::from_message(required(m.settings, "CreateCleanupPolicy", "settings")?)?,
        },
        Pb::UpdateCleanupPolicy(m) => Command::UpdateCleanupPolicy(UpdateCleanupPolicy::from_message(m)?),
        Pb::DeleteCleanupPolicy(m) => Command::DeleteCleanupPolicy(GroupId(m.group)),
        Pb::BeginCleanup(m) => Command::BeginCleanup(GroupId(m.group)),
        Pb::EndCleanup(m) => Command::EndCleanup(EndCleanup::from_message(m)?),
        Pb::OpenSession(m) => Command::OpenSession(Registration {
            gateway: GatewayId(m.gateway),
            region: region(&m.region, "OpenSession")?,
            address: m.address,
            version: m.version,
        }),
        Pb::EndSessions(m) => Command::EndSessions(m.ids.into_iter().map(SessionId).collect()),
        Pb::Acquire(m) => Command::Acquire(AcquireRequest {
            session: SessionId(m.session),
            key: key_from(m.key)?,
            entry: entry_from(m.entry)?,
            upstream_epoch: Epoch(m.upstream_epoch),
            region: region(&m.region, "Acquire")?,
            distrusts: m.distrusts.map(FencingToken),
        }),
        Pb::Release(m) => Command::Release { key: key_from(m.key)?, token: FencingToken(m.token) },
        Pb::Complete(m) => Command::Complete(completion_from(m)?),
        Pb::EarnRight(m) => Command::EarnRight(earned_from(m)?),
        Pb::IndexEntries(pb::IndexEntries {}) => Command::IndexEntries,
        Pb::RecordUsage(m) => Command::RecordUsage(m.touches.into_iter().map(touch_from).collect::<Result<_, _>>()?),
    })
}

impl Record for LeaseKey {
    type Message = pb::LeaseKey;

    fn to_message(&self) -> pb::LeaseKey {
        key_to(self)
    }

    fn from_message(m: pb::LeaseKey) -> Result<Self, DecodeError> {
        key_from(Some(m))
    }
}

impl Record for Proposal {
    type Message = pb::Proposal;

    fn to_message(&self) -> pb::Proposal {
        pb::Proposal { at: self.at.0, command: Some(command_to(&self.command)) }
    }

    fn from_message(m: pb::Proposal) -> Result<Self, DecodeError> {
        let command = command_from(required(m.command, "Proposal", "command")?)?;
        Ok(Self { at: Timestamp(m.at), command })
    }
}
