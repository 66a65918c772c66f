//! Every stored value is read back as it was, and bytes of somebody else's making are an error, never a panic.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::domain::configuration::Configuration;
use crate::domain::digest::{Algorithm, Digest};
use crate::domain::entry::{
    BlobLocation, CachedEntry, Content, ContentKind, Descriptor, EntryRef, ObjectKey, Right, Route, TagEntry,
};
use crate::domain::entry::{TagKey, Touch, Usage};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::{Fleet, FleetMember, RateReading, Registration, Report, SourceStanding, Wait};
use crate::domain::image::{Reference, RepositoryName, Tag};
use crate::domain::lease::{
    AcquireRequest, Acquired, Completion, Delivered, EarnedByHead, FencingToken, GatewayId, Holder, LeaseKey,
    SessionId, TagVerdict,
};
use crate::domain::media::MediaType;
use crate::domain::principal::{Role, Token, TokenHash};
use crate::domain::registry::{
    Group, GroupId, GroupRef, Link, LinkId, RegionId, Registry, RegistryId, TokenId, UpstreamId,
};
use crate::domain::secret::SealedSecret;
use crate::domain::text::{Description, DisplayName};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{CredentialId, Credentials, OnError, OnNotFound, Origin, SourceId};
use crate::domain::upstream::{Upstream, UpstreamSettings};
use crate::meta::{Consistency, WatchEvent};
use crate::state::command::{
    Bootstrap, Change, Changed, Command, CreateRegistry, Outcome, Proposal, PutToken, Recorded, Refusal, UpdateRegistry,
};
use crate::state::read::{ContentQuery, ContentView, EntryPage, EntryQuery, TagView, UpstreamContent};
use crate::state::rows::{Counters, Delivery, EntryCount, Indexed, Indexing, Lease, Purge, Session};

fn digest() -> impl Strategy<Value = Digest> {
    (any::<bool>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(long, a, b)| match long {
        false => Digest::Sha256(a),
        true => Digest::from_hash(Algorithm::Sha512, &[a, b].concat()).expect("64 bytes"),
    })
}

fn time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn kind() -> impl Strategy<Value = ContentKind> {
    prop_oneof![Just(ContentKind::Blob), Just(ContentKind::Manifest)]
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Reader), Just(Role::Maintainer), Just(Role::Admin)]
}

fn media() -> impl Strategy<Value = MediaType> {
    "[!-~][ -~]{0,30}".prop_map(|text| text.parse().expect("a media type"))
}

fn region() -> impl Strategy<Value = RegionId> {
    "[a-z0-9-]{1,63}".prop_map(|text| text.parse().expect("a region"))
}

fn object() -> impl Strategy<Value = ObjectKey> {
    (digest(), any::<u64>()).prop_map(|(digest, token)| ObjectKey { digest, token: FencingToken(token) })
}

fn entry() -> impl Strategy<Value = EntryRef> {
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

fn lease_key() -> impl Strategy<Value = LeaseKey> {
    let fill = (region(), ".{0,20}", any::<[u8; 16]>(), digest()).prop_map(|(region, origin, credential, digest)| {
        let source = SourceId { origin: Origin::from_stored(origin), credential: CredentialId(credential) };
        LeaseKey::Fill { region, source, digest }
    });
    prop_oneof![fill, entry().prop_map(LeaseKey::Manifest)]
}

fn descriptor() -> impl Strategy<Value = Descriptor> {
    (digest(), any::<u64>(), media(), kind()).prop_map(|(digest, size, media_type, kind)| Descriptor {
        digest,
        size,
        media_type,
        kind,
    })
}

fn sealed() -> impl Strategy<Value = SealedSecret> {
    (any::<[u8; 8]>(), any::<[u8; 12]>(), any::<Vec<u8>>()).prop_map(|(key_id, nonce, ciphertext)| SealedSecret {
        key_id,
        nonce,
        ciphertext,
    })
}

fn credentials() -> impl Strategy<Value = Credentials> {
    (".{0,9}", sealed(), any::<[u8; 16]>()).prop_map(|(username, password, id)| Credentials {
        username,
        password,
        id: CredentialId(id),
    })
}

fn settings() -> impl Strategy<Value = UpstreamSettings> {
    let url = "https?://[a-z]{1,5}(:[1-9][0-9]{0,3})?(/[a-z]{1,4}){0,2}(/v2/[a-z]{1,4}){0,2}/?";
    let choices = (any::<bool>(), any::<bool>());
    (url, ".{0,9}", option::of(".{0,9}"), option::of(credentials()), any::<(u64, u64)>(), choices).prop_map(
        |(url, name, description, credentials, (validity, stale), (gone, next))| UpstreamSettings {
            url: url.parse().expect("an address"),
            name,
            description,
            credentials,
            validity: Duration::from_millis(validity),
            stale_if_error: Duration::from_millis(stale),
            on_not_found: if gone { OnNotFound::Gone } else { OnNotFound::Stale },
            on_error: if next { OnError::Next } else { OnError::Stop },
        },
    )
}

fn delivered() -> impl Strategy<Value = Delivered> {
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

fn verdict() -> impl Strategy<Value = TagVerdict> {
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

fn put_token() -> impl Strategy<Value = PutToken> {
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

fn group_ref() -> impl Strategy<Value = GroupRef> {
    prop_oneof![
        (1..=u64::MAX >> 1).prop_map(|id| GroupRef::Id(GroupId(id))),
        "[a-z]{1,5}(/[a-z0-9_.-]{0,3}[a-z]){0,2}".prop_map(|path| GroupRef::Path(path.parse().expect("a path"))),
    ]
}

fn name() -> impl Strategy<Value = DisplayName> {
    ".{0,9}[a-z]".prop_map(|text| text.parse().expect("a name"))
}

fn description() -> impl Strategy<Value = Description> {
    ".{0,9}".prop_map(|text| text.parse().expect("a description"))
}

/// Registries, upstreams and links.
fn configuring() -> impl Strategy<Value = Command> {
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

fn command() -> impl Strategy<Value = Command> {
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

#[track_caller]
fn read_back<R: Record + PartialEq + std::fmt::Debug>(value: &R) {
    assert_eq!(R::decode(&value.encode()).as_ref(), Ok(value));
}

/// Whatever the bytes are, an answer; and what was understood is understood alike once more.
#[track_caller]
fn survives<R: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = R::decode(bytes) {
        read_back(&value);
    }
}

/// Every record there is.
#[track_caller]
fn all_survive(bytes: &[u8]) {
    survives::<Counters>(bytes);
    survives::<Group>(bytes);
    survives::<Registry>(bytes);
    survives::<Link>(bytes);
    survives::<SealedSecret>(bytes);
    survives::<Credentials>(bytes);
    survives::<UpstreamSettings>(bytes);
    survives::<Upstream>(bytes);
    survives::<Token>(bytes);
    survives::<BlobLocation>(bytes);
    survives::<Right>(bytes);
    survives::<TagEntry>(bytes);
    survives::<Route>(bytes);
    survives::<Descriptor>(bytes);
    survives::<Usage>(bytes);
    survives::<Purge>(bytes);
    survives::<Delivery>(bytes);
    survives::<Indexed>(bytes);
    survives::<EntryCount>(bytes);
    survives::<Indexing>(bytes);
    survives::<Asked<EntryQuery>>(bytes);
    survives::<Asked<AskedEntry>>(bytes);
    survives::<EntryPage>(bytes);
    survives::<Option<CachedEntry>>(bytes);
    survives::<Session>(bytes);
    survives::<Lease>(bytes);
    survives::<Proposal>(bytes);
    survives::<Asked<()>>(bytes);
    survives::<Asked<TagKey>>(bytes);
    survives::<Asked<(UpstreamId, RepositoryName, Tag)>>(bytes);
    survives::<Asked<ContentQuery>>(bytes);
    survives::<Asked<EntryRef>>(bytes);
    survives::<Configuration>(bytes);
    survives::<TagView>(bytes);
    survives::<Option<TagEntry>>(bytes);
    survives::<Option<Usage>>(bytes);
    survives::<ContentView>(bytes);
    survives::<Result<Outcome, Refusal>>(bytes);
    survives::<WatchEvent>(bytes);
    survives::<KeepAlive>(bytes);
    survives::<AwaitRelease>(bytes);
    survives::<Fleet>(bytes);
    survives::<LeaseKey>(bytes);
}

fn location() -> impl Strategy<Value = BlobLocation> {
    (object(), any::<u64>(), time()).prop_map(|(key, size, stored_at)| BlobLocation { key, size, stored_at })
}

fn right() -> impl Strategy<Value = Right> {
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

fn cached() -> impl Strategy<Value = CachedEntry> {
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

fn outcome() -> impl Strategy<Value = Result<Outcome, Refusal>> {
    let holder = (any::<(u64, u64)>(), ".{0,9}").prop_map(|((session, token), address)| {
        Acquired::Held(Holder { session: SessionId(session), token: FencingToken(token), address })
    });
    let stored = (location(), right()).prop_map(|(location, right)| Acquired::Stored { location, right });
    let granted = any::<u64>().prop_map(|token| Acquired::Granted(FencingToken(token)));
    let created = any::<(u64, u64, u32)>().prop_map(|(a, b, position)| match position % 3 {
        0 => Outcome::RegistryCreated { registry: RegistryId(a), group: GroupId(b) },
        1 => Outcome::UpstreamCreated { upstream: UpstreamId(a), link: LinkId(b), position },
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

fn standing() -> impl Strategy<Value = SourceStanding> {
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

fn report() -> impl Strategy<Value = Report> {
    (any::<bool>(), any::<(u64, u64)>(), vec(standing(), 0..3))
        .prop_map(|(draining, (fills, requests), standings)| Report { draining, fills, requests, standings })
}

proptest! {
    #[test]
    fn a_command_is_read_back_as_it_was(at in time(), command in command()) {
        read_back(&Proposal { at, command });
    }

    #[test]
    fn configuration_is_read_back_as_it_was(
        settings in settings(),
        token in put_token(),
        numbers in any::<(u64, u64, u64, u64, u64, u32, bool)>(),
        texts in (".{0,9}", option::of(".{0,9}")),
        at in (time(), time()),
    ) {
        let (a, b, c, d, e, position, anonymous_pull) = numbers;
        let ((name, description), (created_at, updated_at)) = (texts, at);
        read_back(&Group { id: GroupId(a), path: name.clone(), created_at });
        read_back(&Link { id: LinkId(a), registry: RegistryId(b), upstream: UpstreamId(c), position });
        let (id, group, routing) = (RegistryId(a), GroupId(b), Revision(c));
        read_back(&Registry { id, group, name, description, anonymous_pull, routing, created_at, updated_at });
        read_back(&Upstream { id: UpstreamId(a), group, settings, epoch: Epoch(d), created_at, updated_at });
        let PutToken { name, hash, group, role, expires_at } = token;
        read_back(&Token { id: TokenId(a), name, hash, group, role, created_at, expires_at });
        read_back(&Counters {
            now: created_at,
            last_group: a,
            last_registry: b,
            last_upstream: c,
            last_link: d,
            last_token: e,
            configuration: Revision(position.into()),
        });
    }

    #[test]
    fn entries_are_read_back_as_they_were(
        key in object(),
        descriptor in descriptor(),
        numbers in any::<(u64, u64, u64, u64)>(),
        sha1 in option::of(any::<[u8; 20]>()),
        etag in option::of(".{0,9}"),
        gone_since in option::of(time()),
        not_here in vec(any::<u64>(), 0..4),
        region in region(),
    ) {
        let (size, a, b, c) = numbers;
        let (created_at, updated_at, upstream_epoch) = (Timestamp(a), Timestamp(b), Epoch(c));
        read_back(&BlobLocation { key, size, stored_at: created_at });
        let Descriptor { digest, media_type, kind, .. } = descriptor.clone();
        read_back(&descriptor);
        read_back(&Right { size, media_type, kind, sha1, created_at, upstream_epoch });
        let (checked_at, upstream_etag) = (Timestamp(size), etag.clone());
        read_back(&TagEntry { digest, checked_at, created_at, updated_at, upstream_etag, gone_since, upstream_epoch });
        let not_here = not_here.into_iter().map(UpstreamId).collect();
        read_back(&Route { upstream: UpstreamId(a), not_here, routing: Revision(b) });
        read_back(&Usage { downloads: size, downloaded_at: created_at });
        read_back(&Purge { epoch: upstream_epoch, at: created_at });
        read_back(&Delivery { at: created_at });
        let gateway = etag.unwrap_or_default();
        read_back(&Session { address: gateway.clone(), version: gateway.clone(), gateway, region, opened_at: created_at });
        read_back(&Lease { session: SessionId(a), token: FencingToken(b), acquired_at: updated_at });
    }

    #[test]
    fn answers_are_read_back_as_they_were(
        outcome in outcome(),
        report in report(),
        entry in entry(),
        key in lease_key(),
        (location, right, descriptor) in (option::of(location()), option::of(right()), option::of(descriptor())),
        elsewhere in vec((region(), location()), 0..3),
        numbers in any::<(u64, u64, bool)>(),
        (name, region) in (".{0,9}", region()),
    ) {
        let (a, b, delivered) = numbers;
        read_back(&outcome);
        read_back(&key);
        read_back(&KeepAlive { session: SessionId(a), report: report.clone() });
        read_back(&AwaitRelease { key, token: FencingToken(a), patience: Duration::from_millis(b) });
        read_back(&WatchEvent::Progress(Revision(a)));
        read_back(&WatchEvent::Changed(Change { revision: Revision(a), what: Changed::Configuration }));
        read_back(&WatchEvent::Changed(Change { revision: Revision(b), what: Changed::Purged(entry.clone()) }));
        for consistency in [Consistency::Local, Consistency::Linearizable] {
            read_back(&Asked { question: entry.clone(), consistency });
        }
        let upstreams = vec![UpstreamContent { upstream: UpstreamId(b), right, descriptor, delivered }];
        read_back(&ContentView { revision: Revision(a), location, upstreams, elsewhere });
        let registration = Registration { gateway: GatewayId(name.clone()), region, address: name.clone(), version: name };
        let standings = report.standings.clone();
        let member = FleetMember {
            session: SessionId(a),
            registration,
            opened_at: Timestamp(b),
            report: delivered.then_some(report),
            heard_ago: Duration::from_millis(a),
        };
        read_back(&Fleet { gateways: vec![member], standings });
    }

    #[test]
    fn the_list_is_read_back_as_it_was(
        entries in vec(cached(), 0..4),
        (search, total) in (option::of(".{0,9}"), option::of(any::<u64>())),
        (upstream, page, per_page) in any::<(u64, u64, usize)>(),
        (has_next, is_cut) in any::<(bool, bool)>(),
        (kind, after) in (kind(), option::of(any::<Vec<u8>>())),
    ) {
        read_back(&Indexed { kind });
        read_back(&EntryCount { epoch: Epoch(upstream), entries: page });
        read_back(&Indexing::Tags { after: after.clone() });
        read_back(&Indexing::Rights { after });
        let question = EntryQuery { upstream: UpstreamId(upstream), search, page, per_page };
        read_back(&Asked { question, consistency: Consistency::Local });
        if let Some(row) = entries.first() {
            read_back(&Asked { question: AskedEntry(row.entry.clone()), consistency: Consistency::Local });
        }
        read_back(&entries.first().cloned());
        read_back(&EntryPage { entries, has_next, total, is_cut });
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in vec(any::<u8>(), 0..200)) {
        all_survive(&bytes);
    }

    /// A command with bytes changed, lost or doubled is nearly right, which random bytes never are.
    #[test]
    fn damaged_bytes_have_an_answer(
        command in command(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..4),
    ) {
        let mut bytes = Proposal { at: Timestamp(1), command }.encode();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        all_survive(&bytes);
        // What is nested in it is nearly right as another record.
        for start in [2, 4, 6, 8, 10, 12] {
            all_survive(bytes.get(start..).unwrap_or_default());
        }
    }
}
