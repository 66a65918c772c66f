//! Values as they may come: what the properties draw from.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::domain::cleanup::{Cadence, CleanupSettings, KeepDays};
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::entry::{BlobLocation, CachedEntry, Content, ContentKind, Descriptor, EntryRef, ObjectKey, Right};
use crate::domain::entry::{Touch, Usage};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::{RateReading, Registration, Report, SourceStanding, Wait};
use crate::domain::identity::{
    Claim, ClaimRuleSettings, Claims, Jwks, ProjectRule, ProjectRules, ProviderKind, ProviderSettings, WebUrl,
};
use crate::domain::image::Reference;
use crate::domain::lease::{
    AcquireRequest, Acquired, Completion, Delivered, EarnedByHead, FencingToken, GatewayId, Holder, LeaseKey,
    SessionId, TagVerdict,
};
use crate::domain::media::MediaType;
use crate::domain::pattern::Pattern;
use crate::domain::principal::{Role, TokenHash, TokenUse};
use crate::domain::registry::{
    ClaimRuleId, GroupId, GroupRef, IdentityProviderId, LinkId, RegionId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
use crate::domain::rule::{Effect, Rule, Rules};
use crate::domain::secret::SealedSecret;
use crate::domain::text::{Description, DisplayName};
use crate::domain::time::Timestamp;
use crate::domain::upstream::UpstreamSettings;
use crate::domain::upstream::{CredentialId, Credentials, OnError, OnNotFound, Origin, SourceId};
use crate::state::command::{
    Bootstrap, Command, CreateRegistry, CreateToken, EndCleanup, Outcome, PutToken, Recorded, Refusal,
    UpdateCleanupPolicy, UpdateRegistry,
};

pub(super) fn digest() -> impl Strategy<Value = Digest> {
    (any::<bool>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(long, a, b)| match long {
        false => Digest::Sha256(a),
        true => Digest::from_hash(Algorithm::Sha512, &[a, b].concat()).expect("64 bytes"),
    })
}

pub(super) fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

pub(super) fn kind() -> impl Strategy<Value = ContentKind> {
    prop_oneof![Just(ContentKind::Blob), Just(ContentKind::Manifest)]
}

pub(super) fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Reader), Just(Role::Maintainer), Just(Role::Admin)]
}

pub(super) fn media() -> impl Strategy<Value = MediaType> {
    "[!-~][ -~]{0,30}".prop_map(|text| text.parse().expect("a media type"))
}

pub(super) fn region() -> impl Strategy<Value = RegionId> {
    "[a-z0-9-]{1,63}".prop_map(|text| text.parse().expect("a region"))
}

pub(super) fn object() -> impl Strategy<Value = ObjectKey> {
    (digest(), any::<u64>()).prop_map(|(digest, token)| ObjectKey { digest, token: FencingToken(token) })
}

pub(super) fn entry() -> impl Strategy<Value = EntryRef> {
    let reference = prop_oneof![
        "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}".prop_map(|tag| Reference::Tag(tag.parse().expect("a tag"))),
        digest().prop_map(Reference::Digest),
    ];
    (any::<u64>(), "[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}", reference).prop_map(|(upstream, name, reference)| EntryRef {
        upstream: UpstreamId(upstream),
        repository: name.parse().expect("a name"),
        reference,
    })
}

pub(super) fn lease_key() -> impl Strategy<Value = LeaseKey> {
    let fill = (region(), ".{0,20}", any::<[u8; 16]>(), digest()).prop_map(|(region, origin, credential, digest)| {
        let source = SourceId { origin: Origin::from_stored(origin), credential: CredentialId(credential) };
        LeaseKey::Fill { region, source, digest }
    });
    prop_oneof![fill, entry().prop_map(LeaseKey::Manifest)]
}

pub(super) fn descriptor() -> impl Strategy<Value = Descriptor> {
    (digest(), any::<u64>(), media(), kind()).prop_map(|(digest, size, media_type, kind)| Descriptor {
        digest,
        size,
        media_type,
        kind,
    })
}

pub(super) fn sealed() -> impl Strategy<Value = SealedSecret> {
    (any::<[u8; 8]>(), any::<[u8; 12]>(), any::<Vec<u8>>()).prop_map(|(key_id, nonce, ciphertext)| SealedSecret {
        key_id,
        nonce,
        ciphertext,
    })
}

pub(super) fn credentials() -> impl Strategy<Value = Credentials> {
    (".{0,9}", sealed(), any::<[u8; 16]>()).prop_map(|(username, password, id)| Credentials {
        username,
        password,
        id: CredentialId(id),
    })
}

pub(super) fn settings() -> impl Strategy<Value = UpstreamSettings> {
    let url = "https?://[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z]{1,4}){0,2}(/v2/[a-z]{1,4}){0,2}/?";
    let choices = (any::<bool>(), any::<bool>(), rules());
    (url, ".{0,9}", option::of(".{0,9}"), option::of(credentials()), any::<(u64, u64)>(), choices).prop_map(
        |(url, name, description, credentials, (validity, stale), (gone, next, rules))| UpstreamSettings {
            url: url.parse().expect("an address"),
            name,
            description,
            credentials,
            validity: Duration::from_millis(validity),
            stale_if_error: Duration::from_millis(stale),
            on_not_found: if gone { OnNotFound::Gone } else { OnNotFound::Stale },
            on_error: if next { OnError::Next } else { OnError::Stop },
            rules,
        },
    )
}

pub(super) fn delivered() -> impl Strategy<Value = Delivered> {
    let sha1 = option::of(any::<[u8; 20]>());
    let more = (kind(), sha1, vec(descriptor(), 0..4), option::of(any::<u64>()), any::<bool>());
    (object(), region(), any::<u64>(), media(), more).prop_map(
        |(object, region, size, media_type, (kind, sha1, children, replaces, copied))| Delivered {
            object,
            region,
            size,
            media_type,
            kind,
            sha1,
            children,
            replaces: replaces.map(FencingToken),
            copied,
        },
    )
}

pub(super) fn verdict() -> impl Strategy<Value = TagVerdict> {
    // Registries count from 1.
    let registry = option::of(1..u64::MAX);
    let names = (digest(), option::of(".{0,9}"), registry, vec(any::<u64>(), 0..4), any::<(u64, u64)>()).prop_map(
        |(digest, upstream_etag, registry, not_here, (routing, age))| TagVerdict::Names {
            digest,
            upstream_etag,
            registry: registry.map(RegistryId),
            not_here: not_here.into_iter().map(UpstreamId).collect(),
            routing: Revision(routing),
            age: Duration::from_millis(age),
        },
    );
    prop_oneof![names, Just(TagVerdict::Gone)]
}

pub(super) fn put_token() -> impl Strategy<Value = PutToken> {
    (".{0,9}", any::<[u8; 32]>(), any::<u64>(), role(), option::of(time())).prop_map(
        |(name, hash, group, role, expires_at)| PutToken {
            name,
            hash: TokenHash(hash),
            group: GroupId(group),
            role,
            expires_at,
        },
    )
}

pub(super) fn group_ref() -> impl Strategy<Value = GroupRef> {
    prop_oneof![
        (1..=u64::MAX >> 1).prop_map(|id| GroupRef::Id(GroupId(id))),
        "[a-z]{1,5}(/[a-z0-9_.-]{0,3}[a-z]){0,2}".prop_map(|path| GroupRef::Path(path.parse().expect("a path"))),
    ]
}

pub(super) fn name() -> impl Strategy<Value = DisplayName> {
    ".{0,9}[a-z]".prop_map(|text| text.parse().expect("a name"))
}

pub(super) fn description() -> impl Strategy<Value = Description> {
    ".{0,9}".prop_map(|text| text.parse().expect("a description"))
}

pub(super) fn cleanup() -> impl Strategy<Value = CleanupSettings> {
    let days = (1u64..=365, prop::sample::select(vec![1u64, 7, 14, 30, 90]));
    (any::<(bool, bool, bool)>(), days).prop_map(|((enabled, notify_on_success, notify_on_failure), (keep, every))| {
        let (keep, cadence) = (KeepDays::new(keep).expect("days"), Cadence::new(every).expect("days"));
        CleanupSettings { enabled, keep, cadence, notify_on_success, notify_on_failure }
    })
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let note = || option::of("[!-~]{1,9}".prop_map(|text| text.parse().expect("a note")));
    let tag = option::of("[a-zA-Z0-9._-]{1,5}[*]{0,2}".prop_map(|text| text.parse().expect("a pattern")));
    let rule = (any::<bool>(), "[a-z]{1,4}/[a-z*]{1,2}", tag, note(), note()).prop_map(
        |(allow, image, tag, instead, reason)| Rule {
            effect: if allow { Effect::Allow } else { Effect::Deny },
            image: image.parse().expect("a pattern"),
            tag,
            instead,
            reason,
        },
    );
    vec(rule, 0..4).prop_map(|rules| Rules::new(rules).expect("few"))
}

pub(super) fn pattern() -> impl Strategy<Value = Pattern> {
    "[a-z:/]{1,9}[*]{0,2}".prop_map(|text| text.parse().expect("a pattern"))
}

pub(super) fn web_url() -> impl Strategy<Value = WebUrl> {
    "https?://[a-z]{1,9}(/[a-z]{0,4})?".prop_map(|text| text.parse().expect("an address"))
}

pub(super) fn provider() -> impl Strategy<Value = ProviderSettings> {
    let kind = prop::sample::select(vec![
        ProviderKind::Generic,
        ProviderKind::GitLab,
        ProviderKind::GitHub,
        ProviderKind::Kubernetes,
    ]);
    let jwks = option::of(web_url()).prop_map(|url| url.map_or(Jwks::Discovery, Jwks::Url));
    (name(), kind, web_url(), name(), jwks).prop_map(|(name, kind, issuer, audience, jwks)| ProviderSettings {
        name,
        kind,
        issuer,
        audience,
        jwks,
    })
}

pub(super) fn claim_rule() -> impl Strategy<Value = ClaimRuleSettings> {
    let claim = (name(), pattern()).prop_map(|(name, value)| Claim { name, value });
    (any::<(u64, u64)>(), vec(claim, 1..4), role()).prop_map(|((provider, group), claims, role)| ClaimRuleSettings {
        provider: IdentityProviderId(provider),
        claims: Claims::new(claims).expect("a few"),
        group: GroupId(group),
        role,
    })
}

pub(super) fn project_rules() -> impl Strategy<Value = ProjectRules> {
    let rule = (pattern(), any::<u64>(), role()).prop_map(|(project, group, role)| ProjectRule {
        project,
        group: GroupId(group),
        role,
    });
    vec(rule, 0..4).prop_map(|rules| ProjectRules::new(rules).expect("few"))
}

/// Tokens, signing keys, who else signs in, cleanup policies.
pub(super) fn access() -> impl Strategy<Value = Command> {
    let token = (name(), any::<[u8; 32]>(), any::<u64>(), role(), option::of(time())).prop_map(
        |(name, hash, group, role, expires_at)| {
            let (hash, group) = (TokenHash(hash), GroupId(group));
            Command::CreateToken(CreateToken { name, hash, group, role, expires_at })
        },
    );
    let token_use = (any::<u64>(), time()).prop_map(|(token, used_at)| TokenUse { token: TokenId(token), used_at });
    let add = (sealed(), any::<[u8; 32]>(), option::of(any::<u64>())).prop_map(|(sealed, public, newest)| {
        Command::AddSigningKey { sealed, public, newest: newest.map(SigningKeyId) }
    });
    let provider = (option::of(any::<u64>()), provider(), any::<usize>()).prop_map(|(id, settings, at_most)| {
        Command::PutIdentityProvider { id: id.map(IdentityProviderId), settings, at_most }
    });
    let rule = (option::of(any::<u64>()), claim_rule(), any::<usize>())
        .prop_map(|(id, settings, at_most)| Command::PutClaimRule { id: id.map(ClaimRuleId), settings, at_most });
    let update = (any::<u64>(), cleanup(), any::<[bool; 5]>()).prop_map(|(group, settings, says)| {
        Command::UpdateCleanupPolicy(UpdateCleanupPolicy {
            group: GroupId(group),
            enabled: says[0].then_some(settings.enabled),
            keep: says[1].then_some(settings.keep),
            cadence: says[2].then_some(settings.cadence),
            notify_on_success: says[3].then_some(settings.notify_on_success),
            notify_on_failure: says[4].then_some(settings.notify_on_failure),
        })
    });
    let end = (any::<(u64, u64, u64)>(), option::of(".{0,9}")).prop_map(
        |((group, deleted_entries, deleted_bytes), failure)| {
            Command::EndCleanup(EndCleanup { group: GroupId(group), deleted_entries, deleted_bytes, failure })
        },
    );
    let numbered = (any::<u64>(), 0u8..6).prop_map(|(id, which)| match which {
        0 => Command::RevokeToken(TokenId(id)),
        1 => Command::RetireSigningKey(SigningKeyId(id)),
        2 => Command::DeleteIdentityProvider(IdentityProviderId(id)),
        3 => Command::DeleteClaimRule(ClaimRuleId(id)),
        4 => Command::DeleteCleanupPolicy(GroupId(id)),
        _ => Command::BeginCleanup(GroupId(id)),
    });
    let named = prop_oneof![
        token,
        vec(token_use, 0..4).prop_map(Command::RecordTokenUses),
        add,
        (any::<u64>(), sealed()).prop_map(|(id, sealed)| Command::ResealSigningKey { id: SigningKeyId(id), sealed }),
        provider,
        rule,
        (web_url(), project_rules()).prop_map(|(url, rules)| Command::PutGitLab { url, rules }),
        Just(Command::DeleteGitLab),
        (any::<u64>(), cleanup())
            .prop_map(|(group, settings)| Command::CreateCleanupPolicy { group: GroupId(group), settings }),
        update,
        end,
    ];
    prop_oneof![2 => named, 1 => numbered]
}

/// Registries, upstreams and links.
pub(super) fn configuring() -> impl Strategy<Value = Command> {
    let create = (group_ref(), any::<bool>(), name(), option::of(description()), any::<usize>()).prop_map(
        |(group, create_group, name, description, at_most)| {
            Command::CreateRegistry(CreateRegistry { group, create_group, name, description, at_most })
        },
    );
    let description = option::of(option::of(description()));
    let update = (any::<u64>(), option::of(name()), description, option::of(any::<bool>())).prop_map(
        |(id, name, description, anonymous_pull)| {
            Command::UpdateRegistry(UpdateRegistry { id: RegistryId(id), name, description, anonymous_pull })
        },
    );
    let upstream = (any::<u64>(), settings(), any::<usize>()).prop_map(|(registry, settings, at_most)| {
        Command::CreateUpstream { registry: RegistryId(registry), settings, at_most }
    });
    let link = (any::<(u64, u64)>(), any::<usize>()).prop_map(|((registry, upstream), at_most)| Command::Link {
        registry: RegistryId(registry),
        upstream: UpstreamId(upstream),
        at_most,
    });
    prop_oneof![
        create,
        update,
        any::<u64>().prop_map(|id| Command::DeleteRegistry(RegistryId(id))),
        any::<u64>().prop_map(|id| Command::PurgeRegistry(RegistryId(id))),
        upstream,
        any::<u64>().prop_map(|id| Command::DeleteUpstream(UpstreamId(id))),
        link,
        any::<(u64, u32)>().prop_map(|(id, position)| Command::MoveLink { id: LinkId(id), position }),
        any::<u64>().prop_map(|id| Command::Unlink(LinkId(id))),
    ]
}

pub(super) fn command() -> impl Strategy<Value = Command> {
    let bootstrap = (".{0,9}", ".{0,9}", vec(settings(), 0..3)).prop_map(|(group_path, registry_name, upstreams)| {
        Command::Bootstrap(Bootstrap { group_path, registry_name, upstreams })
    });
    let update = (any::<u64>(), settings(), option::of(time())).prop_map(|(id, settings, if_updated_at)| {
        Command::UpdateUpstream { id: UpstreamId(id), settings, if_updated_at }
    });
    let open = (".{0,9}", region(), ".{0,9}", ".{0,9}").prop_map(|(gateway, region, address, version)| {
        Command::OpenSession(Registration { gateway: GatewayId(gateway), region, address, version })
    });
    let acquire = (any::<(u64, u64)>(), lease_key(), entry(), region(), option::of(any::<u64>())).prop_map(
        |((session, epoch), key, entry, region, distrusts)| {
            let (session, upstream_epoch) = (SessionId(session), Epoch(epoch));
            let distrusts = distrusts.map(FencingToken);
            Command::Acquire(AcquireRequest { session, key, entry, upstream_epoch, region, distrusts })
        },
    );
    let release =
        (lease_key(), any::<u64>()).prop_map(|(key, token)| Command::Release { key, token: FencingToken(token) });
    let result = (option::of(delivered()), option::of(verdict()));
    let complete = (lease_key(), any::<(u64, u64)>(), entry(), result).prop_map(
        |(key, (token, began), entry, (delivered, tag))| {
            let (token, began) = (FencingToken(token), Revision(began));
            Command::Complete(Completion { key, token, began, entry, delivered, tag })
        },
    );
    let earn = (entry(), any::<(u64, u64)>(), region(), media(), kind()).prop_map(
        |(entry, (epoch, began), region, media_type, kind)| {
            let (upstream_epoch, began) = (Epoch(epoch), Revision(began));
            Command::EarnRight(EarnedByHead { entry, upstream_epoch, began, region, media_type, kind })
        },
    );
    let touch = (entry(), any::<u64>(), time()).prop_map(|(entry, downloads, downloaded_at)| Touch {
        entry,
        downloads,
        downloaded_at,
    });
    prop_oneof![
        9 => configuring(),
        9 => access(),
        12 => prop_oneof![
        bootstrap,
        update,
        any::<u64>().prop_map(|id| Command::PurgeUpstream(UpstreamId(id))),
        entry().prop_map(Command::PurgeEntry),
        put_token().prop_map(Command::PutToken),
        open,
        vec(any::<u64>().prop_map(SessionId), 0..4).prop_map(Command::EndSessions),
        acquire,
        release,
        complete,
        earn,
        vec(touch, 0..4).prop_map(Command::RecordUsage),
        Just(Command::IndexEntries),
        ],
    ]
}

pub(super) fn location() -> impl Strategy<Value = BlobLocation> {
    (object(), any::<u64>(), time()).prop_map(|(key, size, stored_at)| BlobLocation { key, size, stored_at })
}

pub(super) fn right() -> impl Strategy<Value = Right> {
    (any::<u64>(), media(), kind(), option::of(any::<[u8; 20]>()), time(), any::<u64>()).prop_map(
        |(size, media_type, kind, sha1, created_at, epoch)| Right {
            size,
            media_type,
            kind,
            sha1,
            created_at,
            upstream_epoch: Epoch(epoch),
        },
    )
}

pub(super) fn cached() -> impl Strategy<Value = CachedEntry> {
    let content = (any::<u64>(), media(), option::of(any::<[u8; 20]>())).prop_map(|(size, media_type, sha1)| Content {
        size,
        media_type,
        sha1,
    });
    let times = (time(), time(), time(), time());
    (entry(), kind(), digest(), times, (option::of(".{0,9}"), option::of(content), any::<u64>())).prop_map(
        |(entry, kind, digest, (checked_at, created_at, updated_at, downloaded_at), (upstream_etag, content, n))| {
            let usage = Usage { downloads: n, downloaded_at };
            CachedEntry { entry, kind, digest, checked_at, created_at, updated_at, upstream_etag, content, usage }
        },
    )
}

pub(super) fn outcome() -> impl Strategy<Value = Result<Outcome, Refusal>> {
    let holder = (any::<(u64, u64)>(), ".{0,9}").prop_map(|((session, token), address)| {
        Acquired::Held(Holder { session: SessionId(session), token: FencingToken(token), address })
    });
    let stored = (location(), right()).prop_map(|(location, right)| Acquired::Stored { location, right });
    let granted = any::<u64>().prop_map(|token| Acquired::Granted(FencingToken(token)));
    let created = any::<(u64, u64, u32)>().prop_map(|(a, b, position)| match position % 3 {
        0 => Outcome::RegistryCreated { registry: RegistryId(a), group: GroupId(b) },
        1 if position % 2 == 0 => Outcome::TokenCreated(TokenId(a)),
        1 => Outcome::UpstreamCreated { upstream: UpstreamId(a), link: LinkId(b), position },
        _ if position % 5 == 0 => Outcome::SigningKeyAdded(SigningKeyId(a)),
        _ if position % 5 == 1 => Outcome::IdentityProviderPut(IdentityProviderId(a)),
        _ if position % 5 == 2 => Outcome::ClaimRulePut(ClaimRuleId(a)),
        _ => Outcome::Linked { link: LinkId(a), position },
    });
    let done = prop_oneof![
        Just(Outcome::Done),
        created,
        any::<bool>().prop_map(|complete| Outcome::EntriesIndexed { complete }),
        any::<bool>().prop_map(|created| Outcome::Bootstrapped { created }),
        any::<u64>().prop_map(|id| Outcome::SessionOpened(SessionId(id))),
        prop_oneof![holder, stored, granted].prop_map(Outcome::Acquired),
        option::of(location()).prop_map(|location| Outcome::Completed(Recorded::Live(location))),
        Just(Outcome::Completed(Recorded::Outdated)),
    ];
    let refused = (any::<u64>(), any::<usize>()).prop_flat_map(|(id, limit)| {
        prop::sample::select(vec![
            Refusal::NoUpstream(UpstreamId(id)),
            Refusal::NoGroup(GroupId(id)),
            Refusal::NoGroupPath,
            Refusal::NoRegistry(RegistryId(id)),
            Refusal::NoLink(LinkId(id)),
            Refusal::OtherGroup(UpstreamId(id)),
            Refusal::NameTaken,
            Refusal::NoToken(TokenId(id)),
            Refusal::NoSigningKey(SigningKeyId(id)),
            Refusal::NoCleanupPolicy(GroupId(id)),
            Refusal::NoIdentityProvider(IdentityProviderId(id)),
            Refusal::NoClaimRule(ClaimRuleId(id)),
            Refusal::TokenTaken,
            Refusal::HasCleanupPolicy(GroupId(id)),
            Refusal::TooManyIdentityProviders(limit),
            Refusal::TooManyClaimRules(limit),
            Refusal::Twin(UpstreamId(id)),
            Refusal::AlreadyLinked,
            Refusal::NoPosition,
            Refusal::TooManyRegistries(limit),
            Refusal::TooManyUpstreams(limit),
            Refusal::Changed,
            Refusal::NoSession,
            Refusal::LeaseLost,
            Refusal::EpochChanged,
            Refusal::NotDelivered,
        ])
    });
    prop_oneof![done.prop_map(Ok), refused.prop_map(Err)]
}

pub(super) fn standing() -> impl Strategy<Value = SourceStanding> {
    let millis = || any::<u64>().prop_map(Duration::from_millis);
    let wait = move || option::of((millis(), any::<u16>()).prop_map(|(left, status)| Wait { left, status }));
    let rate = (option::of(any::<u64>()), any::<u64>(), millis(), millis())
        .prop_map(|(limit, remaining, window, age)| RateReading { limit, remaining, window, age });
    (".{0,9}", any::<[u8; 16]>(), option::of(".{0,9}"), option::of(rate), (wait(), wait())).prop_map(
        |(origin, credential, counted, rate, (blobs, manifests))| SourceStanding {
            source: SourceId { origin: Origin::from_stored(origin), credential: CredentialId(credential) },
            counted,
            rate,
            blobs,
            manifests,
        },
    )
}

pub(super) fn report() -> impl Strategy<Value = Report> {
    (any::<bool>(), any::<(u64, u64)>(), vec(standing(), 0..3))
        .prop_map(|(draining, (fills, requests), standings)| Report { draining, fills, requests, standings })
}
