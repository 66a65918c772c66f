//! What a command brought about: domain ↔ protobuf. Only on the wire, never on disk.

use super::command::{entry_from, entry_to, required};
use super::configure::count;
use super::pb::meta::v1 as pb;
use super::{DecodeError, Record};
use crate::domain::entry::{BlobLocation, Right};
use crate::domain::epoch::Revision;
use crate::domain::lease::{Acquired, FencingToken, Holder, SessionId};
use crate::domain::registry::{
    ClaimRuleId, GroupId, IdentityProviderId, LinkId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
use crate::meta::WatchEvent;
use crate::state::command::{Change, Changed, Outcome, Recorded, Refusal};

fn refusal_to(refusal: Refusal) -> pb::Refusal {
    use pb::refusal::Kind;
    let (kind, subject) = match refusal {
        Refusal::NoUpstream(id) => (Kind::NoUpstream, id.0),
        Refusal::NoGroup(id) => (Kind::NoGroup, id.0),
        Refusal::NoSession => (Kind::NoSession, 0),
        Refusal::LeaseLost => (Kind::LeaseLost, 0),
        Refusal::EpochChanged => (Kind::EpochChanged, 0),
        Refusal::NotDelivered => (Kind::NotDelivered, 0),
        Refusal::TooManyUpstreams(limit) => (Kind::TooManyUpstreams, limit as u64),
        Refusal::NoGroupPath => (Kind::NoGroupPath, 0),
        Refusal::NoRegistry(id) => (Kind::NoRegistry, id.0),
        Refusal::NoLink(id) => (Kind::NoLink, id.0),
        Refusal::OtherGroup(id) => (Kind::OtherGroup, id.0),
        Refusal::NameTaken => (Kind::NameTaken, 0),
        Refusal::Twin(id) => (Kind::Twin, id.0),
        Refusal::AlreadyLinked => (Kind::AlreadyLinked, 0),
        Refusal::NoPosition => (Kind::NoPosition, 0),
        Refusal::TooManyRegistries(limit) => (Kind::TooManyRegistries, limit as u64),
        Refusal::Changed => (Kind::Changed, 0),
        Refusal::NoIdentityProvider(id) => (Kind::NoIdentityProvider, id.0),
        Refusal::NoClaimRule(id) => (Kind::NoClaimRule, id.0),
        Refusal::TooManyIdentityProviders(limit) => (Kind::TooManyIdentityProviders, limit as u64),
        Refusal::TooManyClaimRules(limit) => (Kind::TooManyClaimRules, limit as u64),
        Refusal::NoToken(id) => (Kind::NoToken, id.0),
        Refusal::NoSigningKey(id) => (Kind::NoSigningKey, id.0),
        Refusal::NoCleanupPolicy(group) => (Kind::NoCleanupPolicy, group.0),
        Refusal::TokenTaken => (Kind::TokenTaken, 0),
        Refusal::HasCleanupPolicy(group) => (Kind::HasCleanupPolicy, group.0),
    };
    pb::Refusal { kind: kind.into(), subject }
}

fn refusal_from(m: pb::Refusal) -> Result<Refusal, DecodeError> {
    use pb::refusal::Kind;
    Ok(match Kind::try_from(m.kind) {
        Ok(Kind::NoUpstream) => Refusal::NoUpstream(UpstreamId(m.subject)),
        Ok(Kind::NoGroup) => Refusal::NoGroup(GroupId(m.subject)),
        Ok(Kind::NoSession) => Refusal::NoSession,
        Ok(Kind::LeaseLost) => Refusal::LeaseLost,
        Ok(Kind::EpochChanged) => Refusal::EpochChanged,
        Ok(Kind::NotDelivered) => Refusal::NotDelivered,
        Ok(Kind::TooManyUpstreams) => Refusal::TooManyUpstreams(count(m.subject)),
        Ok(Kind::NoGroupPath) => Refusal::NoGroupPath,
        Ok(Kind::NoRegistry) => Refusal::NoRegistry(RegistryId(m.subject)),
        Ok(Kind::NoLink) => Refusal::NoLink(LinkId(m.subject)),
        Ok(Kind::OtherGroup) => Refusal::OtherGroup(UpstreamId(m.subject)),
        Ok(Kind::NameTaken) => Refusal::NameTaken,
        Ok(Kind::Twin) => Refusal::Twin(UpstreamId(m.subject)),
        Ok(Kind::AlreadyLinked) => Refusal::AlreadyLinked,
        Ok(Kind::NoPosition) => Refusal::NoPosition,
        Ok(Kind::TooManyRegistries) => Refusal::TooManyRegistries(count(m.subject)),
        Ok(Kind::Changed) => Refusal::Changed,
        Ok(Kind::NoIdentityProvider) => Refusal::NoIdentityProvider(IdentityProviderId(m.subject)),
        Ok(Kind::NoClaimRule) => Refusal::NoClaimRule(ClaimRuleId(m.subject)),
        Ok(Kind::TooManyIdentityProviders) => Refusal::TooManyIdentityProviders(count(m.subject)),
        Ok(Kind::TooManyClaimRules) => Refusal::TooManyClaimRules(count(m.subject)),
        Ok(Kind::NoToken) => Refusal::NoToken(TokenId(m.subject)),
        Ok(Kind::NoSigningKey) => Refusal::NoSigningKey(SigningKeyId(m.subject)),
        Ok(Kind::NoCleanupPolicy) => Refusal::NoCleanupPolicy(GroupId(m.subject)),
        Ok(Kind::TokenTaken) => Refusal::TokenTaken,
        Ok(Kind::HasCleanupPolicy) => Refusal::HasCleanupPolicy(GroupId(m.subject)),
        Ok(Kind::Unspecified) | Err(_) => return Err(DecodeError::field("Refusal", "kind")),
    })
}

fn acquired_to(acquired: &Acquired) -> pb::Acquired {
    use pb::acquired::Answer;
    let answer = match acquired {
        Acquired::Granted(token) => Answer::Granted(token.0),
        Acquired::Held(holder) => Answer::Held(pb::Holder {
            session: holder.session.0,
            token: holder.token.0,
            address: holder.address.clone(),
        }),
        Acquired::Stored { location, right } => {
            Answer::Stored(pb::StoredContent { location: Some(location.to_message()), right: Some(right.to_message()) })
        }
    };
    pb::Acquired { answer: Some(answer) }
}

fn acquired_from(m: pb::Acquired) -> Result<Acquired, DecodeError> {
    use pb::acquired::Answer;
    const STORED: &str = "StoredContent";
    Ok(match required(m.answer, "Acquired", "answer")? {
        Answer::Granted(token) => Acquired::Granted(FencingToken(token)),
        Answer::Held(holder) => Acquired::Held(Holder {
            session: SessionId(holder.session),
            token: FencingToken(holder.token),
            address: holder.address,
        }),
        Answer::Stored(stored) => Acquired::Stored {
            location: BlobLocation::from_message(required(stored.location, STORED, "location")?)?,
            right: Right::from_message(required(stored.right, STORED, "right")?)?,
        },
    })
}

/// The answer to a proposal: an outcome, or a refusal by the rules.
impl Record for Result<Outcome, Refusal> {
    type Message = pb::Outcome;

    fn to_message(&self) -> pb::Outcome {
        use pb::outcome::Outcome as Pb;
        let outcome = match self {
            Ok(Outcome::Done) => Pb::Done(pb::Done {}),
            Ok(Outcome::Bootstrapped { created }) => Pb::Bootstrapped(pb::Bootstrapped { created: *created }),
            Ok(Outcome::RegistryCreated { registry, group }) => {
                Pb::RegistryCreated(pb::RegistryCreated { registry: registry.0, group: group.0 })
            }
            Ok(Outcome::UpstreamCreated { upstream, link, position }) => {
                Pb::UpstreamCreated(pb::UpstreamCreated { upstream: upstream.0, link: link.0, position: *position })
            }
            Ok(Outcome::Linked { link, position }) => Pb::Linked(pb::Linked { link: link.0, position: *position }),
            Ok(Outcome::EntriesIndexed { complete }) => Pb::EntriesIndexed(pb::EntriesIndexed { complete: *complete }),
            Ok(Outcome::TokenCreated(id)) => Pb::TokenCreated(id.0),
            Ok(Outcome::SigningKeyAdded(id)) => Pb::SigningKeyAdded(id.0),
            Ok(Outcome::IdentityProviderPut(id)) => Pb::IdentityProviderPut(id.0),
            Ok(Outcome::ClaimRulePut(id)) => Pb::ClaimRulePut(id.0),
            Ok(Outcome::SessionOpened(session)) => Pb::SessionOpened(session.0),
            Ok(Outcome::Acquired(acquired)) => Pb::Acquired(acquired_to(acquired)),
            Ok(Outcome::Completed(Recorded::Outdated)) => Pb::Recorded(pb::Recorded { outdated: true, location: None }),
            Ok(Outcome::Completed(Recorded::Live(location))) => {
                Pb::Recorded(pb::Recorded { outdated: false, location: location.as_ref().map(Record::to_message) })
            }
            Err(refusal) => Pb::Refused(refusal_to(*refusal)),
        };
        pb::Outcome { outcome: Some(outcome) }
    }

    fn from_message(m: pb::Outcome) -> Result<Self, DecodeError> {
        use pb::outcome::Outcome as Pb;
        Ok(Ok(match required(m.outcome, "Outcome", "outcome")? {
            Pb::Done(pb::Done {}) => Outcome::Done,
            Pb::Bootstrapped(m) => Outcome::Bootstrapped { created: m.created },
            Pb::RegistryCreated(m) => {
                Outcome::RegistryCreated { registry: RegistryId(m.registry), group: GroupId(m.group) }
            }
            Pb::UpstreamCreated(m) => Outcome::UpstreamCreated {
                upstream: UpstreamId(m.upstream),
                link: LinkId(m.link),
                position: m.position,
            },
            Pb::Linked(m) => Outcome::Linked { link: LinkId(m.link), position: m.position },
            Pb::EntriesIndexed(m) => Outcome::EntriesIndexed { complete: m.complete },
            Pb::TokenCreated(id) => Outcome::TokenCreated(TokenId(id)),
            Pb::SigningKeyAdded(id) => Outcome::SigningKeyAdded(SigningKeyId(id)),
            Pb::IdentityProviderPut(id) => Outcome::IdentityProviderPut(IdentityProviderId(id)),
            Pb::ClaimRulePut(id) => Outcome::ClaimRulePut(ClaimRuleId(id)),
            Pb::SessionOpened(session) => Outcome::SessionOpened(SessionId(session)),
            Pb::Acquired(acquired) => Outcome::Acquired(acquired_from(acquired)?),
            Pb::Recorded(m) if m.outdated => Outcome::Completed(Recorded::Outdated),
            Pb::Recorded(m) => {
                Outcome::Completed(Recorded::Live(m.location.map(BlobLocation::from_message).transpose()?))
            }
            Pb::Refused(refusal) => return Ok(Err(refusal_from(refusal)?)),
        }))
    }
}

impl Record for WatchEvent {
    type Message = pb::WatchEvent;

    fn to_message(&self) -> pb::WatchEvent {
        use pb::watch_event::Event;
        let event = match self {
            Self::Progress(revision) => Event::Progress(revision.0),
            Self::Changed(change) => Event::Change(pb::Change {
                revision: change.revision.0,
                what: Some(match &change.what {
                    Changed::Configuration => pb::change::What::Configuration(pb::ConfigurationChanged {}),
                    Changed::Purged(entry) => pb::change::What::Purged(entry_to(entry)),
                }),
            }),
        };
        pb::WatchEvent { event: Some(event) }
    }

    fn from_message(m: pb::WatchEvent) -> Result<Self, DecodeError> {
        use pb::watch_event::Event;
        Ok(match required(m.event, "WatchEvent", "event")? {
            Event::Progress(revision) => Self::Progress(Revision(revision)),
            Event::Change(change) => Self::Changed(Change {
                revision: Revision(change.revision),
                what: match required(change.what, "Change", "what")? {
                    pb::change::What::Configuration(pb::ConfigurationChanged {}) => Changed::Configuration,
                    pb::change::What::Purged(entry) => Changed::Purged(entry_from(Some(entry))?),
                },
            }),
        })
    }
}
