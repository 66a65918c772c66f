//! Rows: domain ↔ protobuf.

use std::time::Duration;

use super::pb::meta::v1 as pb;
use super::rule::{rules_from, rules_to};
use super::{DecodeError, Record};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::entry::{BlobLocation, ContentKind, Descriptor, ObjectKey, Right, Route, TagEntry, Usage};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::lease::{FencingToken, SessionId};
use crate::domain::principal::{Role, Token, TokenHash};
use crate::domain::registry::{Group, GroupId, Link, LinkId, RegionId, Registry, RegistryId, TokenId, UpstreamId};
use crate::domain::secret::SealedSecret;
use crate::domain::time::Timestamp;
use crate::domain::upstream::{CredentialId, Credentials, OnError, OnNotFound, Upstream, UpstreamSettings};
use crate::state::rows::{Counters, Delivery, EntryCount, Indexed, Indexing, Lease, Purge, Session};

pub(super) fn digest(bytes: &[u8], message: &'static str) -> Result<Digest, DecodeError> {
    let algorithm = if bytes.len() == Algorithm::Sha512.hash_len() { Algorithm::Sha512 } else { Algorithm::Sha256 };
    Digest::from_hash(algorithm, bytes).ok_or(DecodeError::field(message, "digest"))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn kind_to(kind: ContentKind) -> i32 {
    match kind {
        ContentKind::Blob => pb::ContentKind::Blob.into(),
        ContentKind::Manifest => pb::ContentKind::Manifest.into(),
    }
}

pub(super) fn kind_from(kind: i32, message: &'static str) -> Result<ContentKind, DecodeError> {
    match pb::ContentKind::try_from(kind) {
        Ok(pb::ContentKind::Blob) => Ok(ContentKind::Blob),
        Ok(pb::ContentKind::Manifest) => Ok(ContentKind::Manifest),
        Err(_) => Err(DecodeError::field(message, "kind")),
    }
}

pub(super) fn role_to(role: Role) -> i32 {
    match role {
        Role::Reader => pb::Role::Reader.into(),
        Role::Maintainer => pb::Role::Maintainer.into(),
        Role::Admin => pb::Role::Admin.into(),
    }
}

pub(super) fn role_from(role: i32, message: &'static str) -> Result<Role, DecodeError> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Reader) => Ok(Role::Reader),
        Ok(pb::Role::Maintainer) => Ok(Role::Maintainer),
        Ok(pb::Role::Admin) => Ok(Role::Admin),
        Err(_) => Err(DecodeError::field(message, "role")),
    }
}

pub(super) fn sha1_from(bytes: &[u8], message: &'static str) -> Result<Option<[u8; 20]>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    bytes.try_into().map(Some).map_err(|_| DecodeError::field(message, "sha1"))
}

pub(super) fn credential_from(bytes: &[u8], message: &'static str) -> Result<CredentialId, DecodeError> {
    bytes.try_into().map(CredentialId).map_err(|_| DecodeError::field(message, "credential"))
}

pub(super) fn hash_from(bytes: &[u8], message: &'static str) -> Result<TokenHash, DecodeError> {
    bytes.try_into().map(TokenHash).map_err(|_| DecodeError::field(message, "hash"))
}

impl Record for Counters {
    type Message = pb::Counters;

    fn to_message(&self) -> pb::Counters {
        pb::Counters {
            now: self.now.0,
            last_group: self.last_group,
            last_registry: self.last_registry,
            last_upstream: self.last_upstream,
            last_link: self.last_link,
            last_token: self.last_token,
            last_signing_key: self.last_signing_key,
            last_identity_provider: self.last_identity_provider,
            last_claim_rule: self.last_claim_rule,
            configuration: self.configuration.0,
        }
    }

    fn from_message(m: pb::Counters) -> Result<Self, DecodeError> {
        Ok(Self {
            now: Timestamp(m.now),
            last_group: m.last_group,
            last_registry: m.last_registry,
            last_upstream: m.last_upstream,
            last_link: m.last_link,
            last_token: m.last_token,
            last_signing_key: m.last_signing_key,
            last_identity_provider: m.last_identity_provider,
            last_claim_rule: m.last_claim_rule,
            configuration: Revision(m.configuration),
        })
    }
}

impl Record for Group {
    type Message = pb::Group;

    fn to_message(&self) -> pb::Group {
        pb::Group { id: self.id.0, path: self.path.clone(), created_at: self.created_at.0 }
    }

    fn from_message(m: pb::Group) -> Result<Self, DecodeError> {
        Ok(Self { id: GroupId(m.id), path: m.path, created_at: Timestamp(m.created_at) })
    }
}

impl Record for Registry {
    type Message = pb::Registry;

    fn to_message(&self) -> pb::Registry {
        pb::Registry {
            id: self.id.0,
            group: self.group.0,
            name: self.name.clone(),
            description: self.description.clone(),
            anonymous_pull: self.anonymous_pull,
            routing: self.routing.0,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::Registry) -> Result<Self, DecodeError> {
        Ok(Self {
            id: RegistryId(m.id),
            group: GroupId(m.group),
            name: m.name,
            description: m.description,
            anonymous_pull: m.anonymous_pull,
            routing: Revision(m.routing),
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
        })
    }
}

impl Record for Link {
    type Message = pb::Link;

    fn to_message(&self) -> pb::Link {
        pb::Link { id: self.id.0, registry: self.registry.0, upstream: self.upstream.0, position: self.position }
    }

    fn from_message(m: pb::Link) -> Result<Self, DecodeError> {
        Ok(Self {
            id: LinkId(m.id),
            registry: RegistryId(m.registry),
            upstream: UpstreamId(m.upstream),
            position: m.position,
        })
    }
}

impl Record for SealedSecret {
    type Message = pb::SealedSecret;

    fn to_message(&self) -> pb::SealedSecret {
        pb::SealedSecret {
            key_id: self.key_id.to_vec(),
            nonce: self.nonce.to_vec(),
            ciphertext: self.ciphertext.clone(),
        }
    }

    fn from_message(m: pb::SealedSecret) -> Result<Self, DecodeError> {
        Ok(Self {
            key_id: m.key_id.try_into().map_err(|_| DecodeError::field("SealedSecret", "key_id"))?,
            nonce: m.nonce.try_into().map_err(|_| DecodeError::field("SealedSecret", "nonce"))?,
            ciphertext: m.ciphertext,
        })
    }
}

impl Record for Credentials {
    type Message = pb::Credentials;

    fn to_message(&self) -> pb::Credentials {
        pb::Credentials {
            username: self.username.clone(),
            password: Some(self.password.to_message()),
            id: self.id.0.to_vec(),
        }
    }

    fn from_message(m: pb::Credentials) -> Result<Self, DecodeError> {
        let password = m.password.ok_or(DecodeError::field("Credentials", "password"))?;
        Ok(Self {
            username: m.username,
            password: SealedSecret::from_message(password)?,
            id: credential_from(&m.id, "Credentials")?,
        })
    }
}

impl Record for UpstreamSettings {
    type Message = pb::UpstreamSettings;

    fn to_message(&self) -> pb::UpstreamSettings {
        pb::UpstreamSettings {
            url: self.url.as_str().to_owned(),
            name: self.name.clone(),
            description: self.description.clone(),
            credentials: self.credentials.as_ref().map(Record::to_message),
            validity_ms: millis(self.validity),
            stale_if_error_ms: millis(self.stale_if_error),
            on_not_found: match self.on_not_found {
                OnNotFound::Stale => pb::OnNotFound::Stale.into(),
                OnNotFound::Gone => pb::OnNotFound::Gone.into(),
            },
            on_error: match self.on_error {
                OnError::Stop => pb::OnError::Stop.into(),
                OnError::Next => pb::OnError::Next.into(),
            },
            rules: rules_to(&self.rules),
        }
    }

    fn from_message(m: pb::UpstreamSettings) -> Result<Self, DecodeError> {
        const NAME: &str = "UpstreamSettings";
        Ok(Self {
            url: m.url.parse().map_err(|_| DecodeError::field(NAME, "url"))?,
            name: m.name,
            description: m.description,
            credentials: m.credentials.map(Credentials::from_message).transpose()?,
            validity: Duration::from_millis(m.validity_ms),
            stale_if_error: Duration::from_millis(m.stale_if_error_ms),
            on_not_found: match pb::OnNotFound::try_from(m.on_not_found) {
                Ok(pb::OnNotFound::Stale) => OnNotFound::Stale,
                Ok(pb::OnNotFound::Gone) => OnNotFound::Gone,
                Err(_) => return Err(DecodeError::field(NAME, "on_not_found")),
            },
            on_error: match pb::OnError::try_from(m.on_error) {
                Ok(pb::OnError::Stop) => OnError::Stop,
                Ok(pb::OnError::Next) => OnError::Next,
                Err(_) => return Err(DecodeError::field(NAME, "on_error")),
            },
            rules: rules_from(m.rules)?,
        })
    }
}

impl Record for Upstream {
    type Message = pb::Upstream;

    fn to_message(&self) -> pb::Upstream {
        pb::Upstream {
            id: self.id.0,
            group: self.group.0,
            settings: Some(self.settings.to_message()),
            epoch: self.epoch.0,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::Upstream) -> Result<Self, DecodeError> {
        let settings = m.settings.ok_or(DecodeError::field("Upstream", "settings"))?;
        Ok(Self {
            id: UpstreamId(m.id),
            group: GroupId(m.group),
            settings: UpstreamSettings::from_message(settings)?,
            epoch: Epoch(m.epoch),
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
        })
    }
}

impl Record for Token {
    type Message = pb::Token;

    fn to_message(&self) -> pb::Token {
        pb::Token {
            id: self.id.0,
            name: self.name.clone(),
            hash: self.hash.0.to_vec(),
            group: self.group.0,
            role: role_to(self.role),
            created_at: self.created_at.0,
            expires_at: self.expires_at.map(|at| at.0),
        }
    }

    fn from_message(m: pb::Token) -> Result<Self, DecodeError> {
        Ok(Self {
            id: TokenId(m.id),
            name: m.name,
            hash: hash_from(&m.hash, "Token")?,
            group: GroupId(m.group),
            role: role_from(m.role, "Token")?,
            created_at: Timestamp(m.created_at),
            expires_at: m.expires_at.map(Timestamp),
        })
    }
}

impl Record for BlobLocation {
    type Message = pb::BlobLocation;

    fn to_message(&self) -> pb::BlobLocation {
        pb::BlobLocation {
            digest: self.key.digest.hash().to_vec(),
            token: self.key.token.0,
            size: self.size,
            stored_at: self.stored_at.0,
        }
    }

    fn from_message(m: pb::BlobLocation) -> Result<Self, DecodeError> {
        let key = ObjectKey { digest: digest(&m.digest, "BlobLocation")?, token: FencingToken(m.token) };
        Ok(Self { key, size: m.size, stored_at: Timestamp(m.stored_at) })
    }
}

impl Record for Right {
    type Message = pb::Right;

    fn to_message(&self) -> pb::Right {
        pb::Right {
            size: self.size,
            media_type: self.media_type.as_str().to_owned(),
            kind: kind_to(self.kind),
            sha1: self.sha1.map(|hash| hash.to_vec()).unwrap_or_default(),
            created_at: self.created_at.0,
            upstream_epoch: self.upstream_epoch.0,
        }
    }

    fn from_message(m: pb::Right) -> Result<Self, DecodeError> {
        Ok(Self {
            size: m.size,
            media_type: m.media_type.parse().map_err(|_| DecodeError::field("Right", "media_type"))?,
            kind: kind_from(m.kind, "Right")?,
            sha1: sha1_from(&m.sha1, "Right")?,
            created_at: Timestamp(m.created_at),
            upstream_epoch: Epoch(m.upstream_epoch),
        })
    }
}

impl Record for TagEntry {
    type Message = pb::TagEntry;

    fn to_message(&self) -> pb::TagEntry {
        pb::TagEntry {
            digest: self.digest.hash().to_vec(),
            checked_at: self.checked_at.0,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
            upstream_etag: self.upstream_etag.clone(),
            gone_since: self.gone_since.map(|at| at.0),
            upstream_epoch: self.upstream_epoch.0,
        }
    }

    fn from_message(m: pb::TagEntry) -> Result<Self, DecodeError> {
        Ok(Self {
            digest: digest(&m.digest, "TagEntry")?,
            checked_at: Timestamp(m.checked_at),
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
            upstream_etag: m.upstream_etag,
            gone_since: m.gone_since.map(Timestamp),
            upstream_epoch: Epoch(m.upstream_epoch),
        })
    }
}

impl Record for Route {
    type Message = pb::Route;

    fn to_message(&self) -> pb::Route {
        pb::Route {
            upstream: self.upstream.0,
            not_here: self.not_here.iter().map(|id| id.0).collect(),
            routing: self.routing.0,
        }
    }

    fn from_message(m: pb::Route) -> Result<Self, DecodeError> {
        Ok(Self {
            upstream: UpstreamId(m.upstream),
            not_here: m.not_here.into_iter().map(UpstreamId).collect(),
            routing: Revision(m.routing),
        })
    }
}

impl Record for Descriptor {
    type Message = pb::Descriptor;

    fn to_message(&self) -> pb::Descriptor {
        pb::Descriptor {
            digest: self.digest.hash().to_vec(),
            size: self.size,
            media_type: self.media_type.as_str().to_owned(),
            kind: kind_to(self.kind),
        }
    }

    fn from_message(m: pb::Descriptor) -> Result<Self, DecodeError> {
        Ok(Self {
            digest: digest(&m.digest, "Descriptor")?,
            size: m.size,
            media_type: m.media_type.parse().map_err(|_| DecodeError::field("Descriptor", "media_type"))?,
            kind: kind_from(m.kind, "Descriptor")?,
        })
    }
}

impl Record for Usage {
    type Message = pb::Usage;

    fn to_message(&self) -> pb::Usage {
        pb::Usage { downloads: self.downloads, downloaded_at: self.downloaded_at.0 }
    }

    fn from_message(m: pb::Usage) -> Result<Self, DecodeError> {
        Ok(Self { downloads: m.downloads, downloaded_at: Timestamp(m.downloaded_at) })
    }
}

impl Record for Purge {
    type Message = pb::Purge;

    fn to_message(&self) -> pb::Purge {
        pb::Purge { epoch: self.epoch.0, at: self.at.0 }
    }

    fn from_message(m: pb::Purge) -> Result<Self, DecodeError> {
        Ok(Self { epoch: Epoch(m.epoch), at: Timestamp(m.at) })
    }
}

impl Record for Indexed {
    type Message = pb::Indexed;

    fn to_message(&self) -> pb::Indexed {
        pb::Indexed { kind: kind_to(self.kind) }
    }

    fn from_message(m: pb::Indexed) -> Result<Self, DecodeError> {
        Ok(Self { kind: kind_from(m.kind, "Indexed")? })
    }
}

impl Record for EntryCount {
    type Message = pb::EntryCount;

    fn to_message(&self) -> pb::EntryCount {
        pb::EntryCount { epoch: self.epoch.0, entries: self.entries }
    }

    fn from_message(m: pb::EntryCount) -> Result<Self, DecodeError> {
        Ok(Self { epoch: Epoch(m.epoch), entries: m.entries })
    }
}

impl Record for Indexing {
    type Message = pb::Indexing;

    fn to_message(&self) -> pb::Indexing {
        use pb::indexing::Step;
        let (step, after) = match self {
            Self::Tags { after } => (Step::Tags, after.clone()),
            Self::Rights { after } => (Step::Rights, after.clone()),
            Self::Complete => (Step::Complete, None),
        };
        pb::Indexing { step: step.into(), after }
    }

    fn from_message(m: pb::Indexing) -> Result<Self, DecodeError> {
        use pb::indexing::Step;
        Ok(match Step::try_from(m.step) {
            Ok(Step::Tags) => Self::Tags { after: m.after },
            Ok(Step::Rights) => Self::Rights { after: m.after },
            Ok(Step::Complete) => Self::Complete,
            Err(_) => return Err(DecodeError::field("Indexing", "step")),
        })
    }
}

impl Record for Delivery {
    type Message = pb::Delivery;

    fn to_message(&self) -> pb::Delivery {
        pb::Delivery { at: self.at.0 }
    }

    fn from_message(m: pb::Delivery) -> Result<Self, DecodeError> {
        Ok(Self { at: Timestamp(m.at) })
    }
}

impl Record for Session {
    type Message = pb::Session;

    fn to_message(&self) -> pb::Session {
        pb::Session {
            version: self.version.clone(),
            gateway: self.gateway.clone(),
            region: self.region.as_str().to_owned(),
            address: self.address.clone(),
            opened_at: self.opened_at.0,
        }
    }

    fn from_message(m: pb::Session) -> Result<Self, DecodeError> {
        let region: RegionId = m.region.parse().map_err(|_| DecodeError::field("Session", "region"))?;
        Ok(Self {
            gateway: m.gateway,
            region,
            address: m.address,
            version: m.version,
            opened_at: Timestamp(m.opened_at),
        })
    }
}

impl Record for Lease {
    type Message = pb::Lease;

    fn to_message(&self) -> pb::Lease {
        pb::Lease { session: self.session.0, token: self.token.0, acquired_at: self.acquired_at.0 }
    }

    fn from_message(m: pb::Lease) -> Result<Self, DecodeError> {
        Ok(Self { session: SessionId(m.session), token: FencingToken(m.token), acquired_at: Timestamp(m.acquired_at) })
    }
}
