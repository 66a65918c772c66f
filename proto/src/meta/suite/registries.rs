//! Registries, upstreams and links, as somebody configures them. Every rule is in the tables of the crate's own tests; here is
//! what has to come through whole.

use super::world::*;
use crate::domain::configuration::Configuration;
use crate::domain::registry::{GroupId, GroupRef, RegistryId, UpstreamId};
use crate::meta::{Consistency, Leases, MetaError, MetaStore};
use crate::state::command::{Command, CreateRegistry, Outcome, Refusal, UpdateRegistry};

fn create(group: GroupRef, name: &str) -> Command {
    Command::CreateRegistry(CreateRegistry {
        group,
        create_group: true,
        name: name.parse().expect("a name"),
        description: Some("of the suite".parse().expect("a description")),
        at_most: 10,
    })
}

async fn configuration<S: MetaStore>(store: &S) -> Configuration {
    store.configuration(Consistency::Linearizable).await.expect("the configuration")
}

async fn order<S: MetaStore>(store: &S, registry: u64) -> Vec<(u64, u32)> {
    let links = configuration(store).await.links.into_iter().filter(|link| link.registry.0 == registry);
    links.map(|link| (link.upstream.0, link.position)).collect()
}

pub(super) async fn a_registry_is_created_and_changed<S: MetaStore + Leases>(store: &S) {
    let (registry, group) = (RegistryId(1), GroupId(785_414));
    let created = store.propose(create(GroupRef::Id(group), "hub")).await;
    assert_eq!(created, Ok(Outcome::RegistryCreated { registry, group }));
    let again = store.propose(create(GroupRef::Id(group), "hub")).await;
    assert_eq!(again, Err(MetaError::Refused(Refusal::NameTaken)));
    let by_path = store.propose(create("a/b".parse().expect("a group"), "hub")).await;
    assert_eq!(by_path, Ok(Outcome::RegistryCreated { registry: RegistryId(2), group: GroupId(1) }));
    let update = UpdateRegistry { id: registry, name: None, description: Some(None), anonymous_pull: Some(true) };
    assert_eq!(store.propose(Command::UpdateRegistry(update)).await, Ok(Outcome::Done));
    let rows = configuration(store).await;
    let [first, second] = &rows.registries[..] else { panic!("two registries, and not {:?}", rows.registries) };
    assert_eq!((first.name.as_str(), first.description.as_deref(), first.anonymous_pull), ("hub", None, true));
    assert_eq!((second.group, second.description.as_deref()), (GroupId(1), Some("of the suite")));
    let paths: Vec<_> = rows.groups.iter().map(|group| (group.id.0, group.path.as_str())).collect();
    assert_eq!(paths, [(1, "a/b"), (785_414, "785414")]);
}

pub(super) async fn places_have_no_gaps<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let (registry, settings) = (RegistryId(1), settings("c", "https://c.example"));
    let third = Command::CreateUpstream { registry, settings, at_most: 3 };
    let outcome = store.propose(third.clone()).await;
    let Ok(Outcome::UpstreamCreated { upstream: UpstreamId(3), link, position: 3 }) = outcome else {
        panic!("the third upstream, and not {outcome:?}");
    };
    assert_eq!(store.propose(third).await, Err(MetaError::Refused(Refusal::Twin(UpstreamId(3)))));
    let moved = store.propose(Command::MoveLink { id: link, position: 1 }).await;
    assert_eq!(moved, Ok(Outcome::Linked { link, position: 1 }));
    assert_eq!(order(store, 1).await, [(3, 1), (1, 2), (2, 3)]);

    store.propose(create(GroupRef::Id(GroupId(1)), "other")).await.expect("created");
    let shared = Command::Link { registry: RegistryId(2), upstream: UpstreamId(1), at_most: 1 };
    assert!(matches!(store.propose(shared.clone()).await, Ok(Outcome::Linked { position: 1, .. })));
    assert_eq!(store.propose(shared).await, Err(MetaError::Refused(Refusal::AlreadyLinked)));
    assert_eq!(store.propose(Command::Unlink(link)).await, Ok(Outcome::Done));
    assert_eq!(order(store, 1).await, [(1, 1), (2, 2)]);
    assert_eq!(store.propose(Command::DeleteUpstream(UpstreamId(1))).await, Ok(Outcome::Done));
    assert_eq!((order(store, 1).await, order(store, 2).await), (vec![(2, 1)], vec![]));
}

pub(super) async fn a_deleted_registry_takes_its_upstreams_along<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    store.propose(create(GroupRef::Id(GroupId(1)), "other")).await.expect("created");
    let shared = Command::Link { registry: RegistryId(2), upstream: UpstreamId(2), at_most: 9 };
    store.propose(shared).await.expect("linked");
    for upstream in [1, 2] {
        fill(store, session, &blob(upstream, "library/x")).await;
    }
    let epoch = upstream(store, 2).await.epoch;
    store.propose(Command::PurgeRegistry(RegistryId(1))).await.expect("purged");
    assert!(!has_right(store, &blob(1, "library/x")).await);
    assert!(has_right(store, &blob(2, "library/x")).await, "registry 2 has it too");
    let asks = request(store, session, &blob(1, "library/x")).await;
    store.propose(Command::DeleteRegistry(RegistryId(1))).await.expect("deleted");
    let left: Vec<_> = configuration(store).await.upstreams.iter().map(|upstream| upstream.id.0).collect();
    assert_eq!((left, upstream(store, 2).await.epoch), (vec![2], epoch));
    assert!(content(store, &blob(1, "library/x")).await.upstreams.is_empty());
    assert_eq!(store.acquire(asks).await, Err(MetaError::Refused(Refusal::NoUpstream(UpstreamId(1)))));
}

pub(super) async fn a_change_undoes_nobody_elses<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let read = upstream(store, 1).await;
    let change = |name: &str| {
        let mut settings = read.settings.clone();
        settings.name = name.to_owned();
        Command::UpdateUpstream { id: read.id, settings, if_updated_at: Some(read.updated_at) }
    };
    assert_eq!(store.propose(change("first")).await, Ok(Outcome::Done));
    assert_eq!(store.propose(change("second")).await, Err(MetaError::Refused(Refusal::Changed)));
    assert_eq!(upstream(store, 1).await.settings.name, "first");
}
