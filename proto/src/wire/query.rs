//! Questions to the metadata and their answers: domain ↔ protobuf. Only on the wire, never on disk.

use std::time::Duration;

use super::command::{entry_from, entry_to, key_from, key_to, region, required};
use super::pb::meta::v1 as pb;
use super::record::{digest, millis};
use super::{DecodeError, Record};
use crate::domain::cleanup::CleanupPolicy;
use crate::domain::configuration::Configuration;
use crate::domain::entry::{BlobLocation, Descriptor, EntryRef, Right, Route, TagEntry, TagKey, Usage};
use crate::domain::epoch::Revision;
use crate::domain::identity::{ClaimRule, GitLabInstance, IdentityProvider};
use crate::domain::image::{RepositoryName, Tag};
use crate::domain::lease::{FencingToken, LeaseKey};
use crate::domain::principal::{SigningKey, Token};
use crate::domain::registry::{Group, Link, Registry, RegistryId, UpstreamId};
use crate::domain::upstream::Upstream;
use crate::meta::Consistency;
use crate::state::read::{ContentQuery, ContentView, TagView, UpstreamContent};

fn all<R: Record>(messages: Vec<R::Message>) -> Result<Vec<R>, DecodeError> {
    messages.into_iter().map(R::from_message).collect()
}

fn optional<R: Record>(message: Option<R::Message>) -> Result<Option<R>, DecodeError> {
    message.map(R::from_message).transpose()
}

fn repository(text: &str, message: &'static str) -> Result<RepositoryName, DecodeError> {
    text.parse().map_err(|_| DecodeError::field(message, "repository"))
}

fn tag(text: &str, message: &'static str) -> Result<Tag, DecodeError> {
    text.parse().map_err(|_| DecodeError::field(message, "tag"))
}

/// A read with what it demands. The questions of one kind travel as one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<Q> {
    /// The question.
    pub question: Q,
    /// How up to date the answer must be.
    pub consistency: Consistency,
}

pub(super) fn consistency_to(consistency: Consistency) -> i32 {
    match consistency {
        Consistency::Linearizable => pb::Consistency::Linearizable.into(),
        Consistency::Local => pb::Consistency::Local.into(),
    }
}

/// What is not understood asks for the most.
pub(super) fn consistency_from(consistency: i32) -> Consistency {
    match pb::Consistency::try_from(consistency) {
        Ok(pb::Consistency::Local) => Consistency::Local,
        _ => Consistency::Linearizable,
    }
}

impl Record for Asked<()> {
    type Message = pb::GetConfigurationRequest;

    fn to_message(&self) -> pb::GetConfigurationRequest {
        pb::GetConfigurationRequest { consistency: consistency_to(self.consistency) }
    }

    fn from_message(m: pb::GetConfigurationRequest) -> Result<Self, DecodeError> {
        Ok(Self { question: (), consistency: consistency_from(m.consistency) })
    }
}

impl Record for Configuration {
    type Message = pb::Configuration;

    fn to_message(&self) -> pb::Configuration {
        pb::Configuration {
            revision: self.revision.0,
            groups: self.groups.iter().map(Record::to_message).collect(),
            registries: self.registries.iter().map(Record::to_message).collect(),
            upstreams: self.upstreams.iter().map(Record::to_message).collect(),
            links: self.links.iter().map(Record::to_message).collect(),
            tokens: self.tokens.iter().map(Record::to_message).collect(),
            signing_keys: self.signing_keys.iter().map(Record::to_message).collect(),
            cleanup_policies: self.cleanup_policies.iter().map(Record::to_message).collect(),
            identity_providers: self.identity_providers.iter().map(Record::to_message).collect(),
            claim_rules: self.claim_rules.iter().map(Record::to_message).collect(),
            gitlab: self.gitlab.as_ref().map(Record::to_message),
        }
    }

    fn from_message(m: pb::Configuration) -> Result<Self, DecodeError> {
        Ok(Self {
            revision: Revision(m.revision),
            groups: all::<Group>(m.groups)?,
            registries: all::<Registry>(m.registries)?,
            upstreams: all::<Upstream>(m.upstreams)?,
            links: all::<Link>(m.links)?,
            tokens: all::<Token>(m.tokens)?,
            signing_keys: all::<SigningKey>(m.signing_keys)?,
            cleanup_policies: all::<CleanupPolicy>(m.cleanup_policies)?,
            identity_providers: all::<IdentityProvider>(m.identity_providers)?,
            claim_rules: all::<ClaimRule>(m.claim_rules)?,
            gitlab: optional::<GitLabInstance>(m.gitlab)?,
        })
    }
}

impl Record for Asked<TagKey> {
    type Message = pb::GetTagRequest;

    fn to_message(&self) -> pb::GetTagRequest {
        pb::GetTagRequest {
            registry: self.question.registry.0,
            repository: self.question.repository.as_str().to_owned(),
            tag: self.question.tag.as_str().to_owned(),
            consistency: consistency_to(self.consistency),
        }
    }

    fn from_message(m: pb::GetTagRequest) -> Result<Self, DecodeError> {
        const NAME: &str = "GetTagRequest";
        let question = TagKey {
            registry: RegistryId(m.registry),
            repository: repository(&m.repository, NAME)?,
            tag: tag(&m.tag, NAME)?,
        };
        Ok(Self { question, consistency: consistency_from(m.consistency) })
    }
}

impl Record for TagView {
    type Message = pb::TagView;

    fn to_message(&self) -> pb::TagView {
        pb::TagView {
            route: self.route.as_ref().map(Record::to_message),
            entry: self.entry.as_ref().map(Record::to_message),
        }
    }

    fn from_message(m: pb::TagView) -> Result<Self, DecodeError> {
        Ok(Self { route: optional::<Route>(m.route)?, entry: optional::<TagEntry>(m.entry)? })
    }
}

impl Record for Asked<(UpstreamId, RepositoryName, Tag)> {
    type Message = pb::GetTagEntryRequest;

    fn to_message(&self) -> pb::GetTagEntryRequest {
        let (upstream, repository, tag) = &self.question;
        pb::GetTagEntryRequest {
            upstream: upstream.0,
            repository: repository.as_str().to_owned(),
            tag: tag.as_str().to_owned(),
            consistency: consistency_to(self.consistency),
        }
    }

    fn from_message(m: pb::GetTagEntryRequest) -> Result<Self, DecodeError> {
        const NAME: &str = "GetTagEntryRequest";
        let question = (UpstreamId(m.upstream), repository(&m.repository, NAME)?, tag(&m.tag, NAME)?);
        Ok(Self { question, consistency: consistency_from(m.consistency) })
    }
}

impl Record for Option<TagEntry> {
    type Message = pb::TagEntryView;

    fn to_message(&self) -> pb::TagEntryView {
        pb::TagEntryView { entry: self.as_ref().map(Record::to_message) }
    }

    fn from_message(m: pb::TagEntryView) -> Result<Self, DecodeError> {
        optional(m.entry)
    }
}

impl Record for Asked<ContentQuery> {
    type Message = pb::GetContentRequest;

    fn to_message(&self) -> pb::GetContentRequest {
        pb::GetContentRequest {
            upstreams: self.question.upstreams.iter().map(|id| id.0).collect(),
            repository: self.question.repository.as_str().to_owned(),
            digest: self.question.digest.hash().to_vec(),
            region: self.question.region.as_str().to_owned(),
            consistency: consistency_to(self.consistency),
        }
    }

    fn from_message(m: pb::GetContentRequest) -> Result<Self, DecodeError> {
        const NAME: &str = "GetContentRequest";
        let question = ContentQuery {
            upstreams: m.upstreams.into_iter().map(UpstreamId).collect(),
            repository: repository(&m.repository, NAME)?,
            digest: digest(&m.digest, NAME)?,
            region: region(&m.region, NAME)?,
        };
        Ok(Self { question, consistency: consistency_from(m.consistency) })
    }
}

impl Record for UpstreamContent {
    type Message = pb::UpstreamContent;

    fn to_message(&self) -> pb::UpstreamContent {
        pb::UpstreamContent {
            upstream: self.upstream.0,
            right: self.right.as_ref().map(Record::to_message),
            descriptor: self.descriptor.as_ref().map(Record::to_message),
            delivered: self.delivered,
        }
    }

    fn from_message(m: pb::UpstreamContent) -> Result<Self, DecodeError> {
        Ok(Self {
            upstream: UpstreamId(m.upstream),
            right: optional::<Right>(m.right)?,
            descriptor: optional::<Descriptor>(m.descriptor)?,
            delivered: m.delivered,
        })
    }
}

impl Record for ContentView {
    type Message = pb::ContentView;

    fn to_message(&self) -> pb::ContentView {
        let elsewhere = self.elsewhere.iter().map(|(region, location)| pb::RemoteLocation {
            region: region.as_str().to_owned(),
            location: Some(location.to_message()),
        });
        pb::ContentView {
            revision: self.revision.0,
            location: self.location.as_ref().map(Record::to_message),
            upstreams: self.upstreams.iter().map(Record::to_message).collect(),
            elsewhere: elsewhere.collect(),
        }
    }

    fn from_message(m: pb::ContentView) -> Result<Self, DecodeError> {
        const REMOTE: &str = "RemoteLocation";
        let remote = |m: pb::RemoteLocation| {
            let location = BlobLocation::from_message(required(m.location, REMOTE, "location")?)?;
            Ok((region(&m.region, REMOTE)?, location))
        };
        Ok(Self {
            revision: Revision(m.revision),
            location: optional::<BlobLocation>(m.location)?,
            upstreams: all::<UpstreamContent>(m.upstreams)?,
            elsewhere: m.elsewhere.into_iter().map(remote).collect::<Result<_, DecodeError>>()?,
        })
    }
}

impl Record for Asked<EntryRef> {
    type Message = pb::GetUsageRequest;

    fn to_message(&self) -> pb::GetUsageRequest {
        let entry = Some(entry_to(&self.question));
        pb::GetUsageRequest { entry, consistency: consistency_to(self.consistency) }
    }

    fn from_message(m: pb::GetUsageRequest) -> Result<Self, DecodeError> {
        Ok(Self { question: entry_from(m.entry)?, consistency: consistency_from(m.consistency) })
    }
}

impl Record for Option<Usage> {
    type Message = pb::UsageView;

    fn to_message(&self) -> pb::UsageView {
        pb::UsageView { usage: self.as_ref().map(Record::to_message) }
    }

    fn from_message(m: pb::UsageView) -> Result<Self, DecodeError> {
        optional(m.usage)
    }
}

/// A wait for the end of a lease, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitRelease {
    /// On what.
    pub key: LeaseKey,
    /// Under which token.
    pub token: FencingToken,
    /// For how long at most.
    pub patience: Duration,
}

impl Record for AwaitRelease {
    type Message = pb::AwaitReleaseRequest;

    fn to_message(&self) -> pb::AwaitReleaseRequest {
        pb::AwaitReleaseRequest {
            key: Some(key_to(&self.key)),
            token: self.token.0,
            patience_ms: millis(self.patience),
        }
    }

    fn from_message(m: pb::AwaitReleaseRequest) -> Result<Self, DecodeError> {
        let patience = Duration::from_millis(m.patience_ms);
        Ok(Self { key: key_from(m.key)?, token: FencingToken(m.token), patience })
    }
}
