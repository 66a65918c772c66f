//! Whatever is proposed, two replicas that apply the same log hold the same rows.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, EntryRef, ObjectKey, Touch};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::lease::{
    AcquireRequest, Completion, Delivered, EarnedByHead, FencingToken, GatewayId, LeaseKey, SessionId, TagVerdict,
};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::{LinkId, RegionId, RegistryId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::UpstreamSettings;
use roadstead_proto::meta::memory::MemoryRows;
use roadstead_proto::state::apply;
use roadstead_proto::state::command::{Bootstrap, Command, CreateRegistry, Outcome, Proposal, UpdateRegistry};
use roadstead_proto::wire::Record;

use crate::world::{World, at};

fn entry() -> impl Strategy<Value = EntryRef> {
    (1u64..4, "[ab]", prop_oneof!["[xy]".prop_map(Ok), (0u8..3).prop_map(Err)]).prop_map(
        |(upstream, name, reference)| EntryRef {
            upstream: UpstreamId(upstream),
            repository: name.parse().unwrap(),
            reference: match reference {
                Ok(tag) => Reference::Tag(tag.parse().unwrap()),
                Err(seed) => Reference::Digest(Digest::sha256(&[seed])),
            },
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let settings = |url: String| UpstreamSettings::new("u", url.parse().unwrap());
    let bootstrap = Command::Bootstrap(Bootstrap {
        group_path: "default".into(),
        registry_name: "default".into(),
        upstreams: vec![settings("https://a.example".into()), settings("https://b.example".into())],
    });
    let acquire = (entry(), 1u64..20, 1u64..6).prop_map(|(entry, session, epoch)| {
        Command::Acquire(AcquireRequest {
            session: SessionId(session),
            key: LeaseKey::Manifest(entry.clone()),
            entry,
            upstream_epoch: Epoch(epoch),
            region: RegionId::default_region(),
            distrusts: None,
        })
    });
    let complete = (entry(), 1u64..40, any::<bool>(), any::<bool>()).prop_map(|(entry, token, content, gone)| {
        let digest = entry.reference.digest().copied().unwrap_or(Digest::sha256(b"tagged"));
        let names = TagVerdict::Names {
            digest,
            upstream_etag: None,
            registry: content.then_some(RegistryId(1)),
            not_here: vec![],
            routing: Revision(1),
            age: std::time::Duration::ZERO,
        };
        Command::Complete(Completion {
            key: LeaseKey::Manifest(entry.clone()),
            token: FencingToken(token),
            began: Revision(token),
            delivered: content.then(|| Delivered {
                object: ObjectKey { digest, token: FencingToken(token) },
                region: RegionId::default_region(),
                size: 1,
                media_type: MediaType::octet_stream(),
                kind: ContentKind::Manifest,
                sha1: gone.then_some([1; 20]),
                children: vec![],
                replaces: None,
                copied: gone,
            }),
            tag: Some(if gone { TagVerdict::Gone } else { names }),
            entry,
        })
    });
    let earn = (entry(), 1u64..6, 1u64..40).prop_map(|(entry, epoch, began)| {
        Command::EarnRight(EarnedByHead {
            entry,
            upstream_epoch: Epoch(epoch),
            began: Revision(began),
            region: RegionId::default_region(),
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
        })
    });
    prop_oneof![
        1 => Just(bootstrap),
        1 => "[gh]".prop_map(|gateway| Command::OpenSession(Registration {
            gateway: GatewayId(gateway),
            region: RegionId::default_region(),
            address: String::new(),
            version: String::new(),
        })),
        1 => (1u64..20).prop_map(|id| Command::EndSessions(vec![SessionId(id)])),
        3 => acquire,
        3 => complete,
        1 => earn,
        1 => entry().prop_map(Command::PurgeEntry),
        1 => (1u64..4).prop_map(|id| Command::PurgeUpstream(UpstreamId(id))),
        1 => (1u64..4, "https://[ab]\\.example")
            .prop_map(move |(id, url)| Command::UpdateUpstream { id: UpstreamId(id), settings: settings(url), if_updated_at: None }),
        1 => Just(Command::IndexEntries),
        1 => (entry(), 0u64..9).prop_map(|(entry, downloads)| {
            Command::RecordUsage(vec![Touch { entry, downloads, downloaded_at: Timestamp(downloads) }])
        }),
    ]
}

/// Registries, upstreams and links of two groups, often of the same names and numbers.
fn configuring() -> impl Strategy<Value = Command> {
    let (registry, upstream, link) = (|| (1u64..6).prop_map(RegistryId), || (1u64..8).prop_map(UpstreamId), 1u64..16);
    let link = move || link.clone().prop_map(LinkId);
    let settings = || "[a-d]".prop_map(|host| at(&host));
    prop_oneof![
        3 => ("[12]", "[xyz]", any::<bool>(), 1usize..4).prop_map(|(group, name, create_group, at_most)| {
            Command::CreateRegistry(CreateRegistry {
                group: group.parse().unwrap(),
                create_group,
                name: name.parse().unwrap(),
                description: None,
                at_most,
            })
        }),
        1 => (registry(), proptest::option::of("[xyz]"), proptest::option::of(any::<bool>())).prop_map(
            |(id, name, anonymous_pull)| {
                let name = name.map(|name| name.parse().unwrap());
                Command::UpdateRegistry(UpdateRegistry { id, name, description: None, anonymous_pull })
            }
        ),
        1 => registry().prop_map(Command::DeleteRegistry),
        1 => registry().prop_map(Command::PurgeRegistry),
        5 => (registry(), settings(), 1usize..5)
            .prop_map(|(registry, settings, at_most)| Command::CreateUpstream { registry, settings, at_most }),
        1 => (upstream(), settings())
            .prop_map(|(id, settings)| Command::UpdateUpstream { id, settings, if_updated_at: None }),
        1 => upstream().prop_map(Command::DeleteUpstream),
        4 => (registry(), upstream(), 1usize..5)
            .prop_map(|(registry, upstream, at_most)| Command::Link { registry, upstream, at_most }),
        4 => (link(), 0u32..6).prop_map(|(id, position)| Command::MoveLink { id, position }),
        1 => link().prop_map(Command::Unlink),
    ]
}

/// What holds of every configuration, whatever was proposed.
fn is_sound(configuration: &Configuration) -> Result<(), TestCaseError> {
    let Configuration { groups, registries, upstreams, links, .. } = configuration;
    for (at, registry) in registries.iter().enumerate() {
        prop_assert!(groups.iter().any(|group| group.id == registry.group), "{registry:?} is of no group");
        for other in &registries[..at] {
            prop_assert!((other.group, &other.name) != (registry.group, &registry.name), "{registry:?} twice");
        }
        let its: Vec<_> = links.iter().filter(|link| link.registry == registry.id).collect();
        let places: Vec<_> = its.iter().map(|link| link.position).collect();
        prop_assert_eq!(&places, &(1..).take(places.len()).collect::<Vec<u32>>(), "places of {:?}", registry.id);
        let distinct: BTreeSet<_> = its.iter().map(|link| link.upstream).collect();
        prop_assert_eq!(distinct.len(), its.len(), "an upstream is asked once");
    }
    for (at, upstream) in upstreams.iter().enumerate() {
        let twin = upstreams[..at]
            .iter()
            .find(|other| other.group == upstream.group && other.settings.is_twin_of(&upstream.settings));
        prop_assert_eq!(twin, None, "twins");
    }
    for link in links {
        let registry = registries.iter().find(|registry| registry.id == link.registry);
        let upstream = upstreams.iter().find(|upstream| upstream.id == link.upstream);
        let (Some(registry), Some(upstream)) = (registry, upstream) else {
            return Err(TestCaseError::fail(format!("{link:?} leads nowhere")));
        };
        prop_assert_eq!(registry.group, upstream.group);
    }
    Ok(())
}

proptest! {
    /// A registry's routes are those of its upstreams: where these change, they are void, and nowhere else.
    #[test]
    fn every_configuration_is_sound(log in proptest::collection::vec(configuring(), 1..60)) {
        let mut world = World::new();
        let order = |configuration: &Configuration, id: RegistryId| -> Vec<_> {
            let links = configuration.links.iter().filter(|link| link.registry == id);
            let source = |id| configuration.upstreams.iter().find(|row| row.id == id).map(|row| row.settings.url.clone());
            links.map(|link| (link.upstream, source(link.upstream))).collect()
        };
        for command in log {
            let before = world.configuration();
            let applied = world.apply(command.clone());
            let after = world.configuration();
            is_sound(&after)?;
            let is_the_same = Configuration { revision: after.revision, ..before.clone() } == after;
            prop_assert!(applied.outcome.is_ok() || is_the_same, "{:?} was refused and changed something", command);
            prop_assert_eq!(applied.changes.is_empty(), is_the_same, "{:?}: what changes is announced", command);
            for registry in &after.registries {
                let Some(earlier) = before.registries.iter().find(|row| row.id == registry.id) else { continue };
                let has_moved = order(&before, registry.id) != order(&after, registry.id);
                prop_assert_eq!(registry.routing > earlier.routing, has_moved, "{:?}: routes", command);
            }
        }
    }

    #[test]
    fn the_same_log_gives_the_same_rows(log in proptest::collection::vec((prop_oneof![command(), configuring()], 0u64..100), 1..60)) {
        let (mut one, mut two) = (MemoryRows::default(), MemoryRows::default());
        let mut last_token = 0;
        for (index, (command, at)) in (1..).zip(log) {
            let proposal = Proposal { at: Timestamp(at), command };
            // The second replica reads the proposal back from its log.
            let read_back = Proposal::decode(&proposal.encode()).unwrap();
            prop_assert_eq!(&read_back, &proposal);
            let first = apply(&mut one, &proposal, Revision(index)).unwrap();
            let second = apply(&mut two, &read_back, Revision(index)).unwrap();
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(&one, &two);
            if let Ok(Outcome::Acquired(roadstead_proto::domain::lease::Acquired::Granted(token))) = first.outcome {
                prop_assert!(token.0 > last_token);
                last_token = token.0;
            }
        }
    }

    #[test]
    fn time_never_runs_backwards(times in proptest::collection::vec(0u64..1000, 1..20)) {
        let mut rows = MemoryRows::default();
        let mut greatest = 0;
        for (index, at) in (1..).zip(times) {
            greatest = greatest.max(at);
            let proposal = Proposal { at: Timestamp(at), command: Command::EndSessions(vec![]) };
            apply(&mut rows, &proposal, Revision(index)).unwrap();
            let counters = roadstead_proto::state::read::counters(&rows).unwrap();
            prop_assert_eq!(counters.now, Timestamp(greatest));
        }
    }

    #[test]
    fn stored_bytes_from_anywhere_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Proposal::decode(&bytes);
        let _ = roadstead_proto::domain::upstream::Upstream::decode(&bytes);
        let _ = roadstead_proto::domain::entry::Right::decode(&bytes);
    }
}

#[test]
fn validity_survives_the_log() {
    let mut settings = UpstreamSettings::new("u", "https://a.example/base/".parse().unwrap());
    settings.validity = Duration::from_millis(1_500);
    let proposal = Proposal {
        at: Timestamp(5),
        command: Command::UpdateUpstream { id: UpstreamId(1), settings, if_updated_at: None },
    };
    assert_eq!(Proposal::decode(&proposal.encode()).unwrap(), proposal);
}
