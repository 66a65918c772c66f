//! Registries, upstreams and links: what each command of the management contract does, and what it must not.

use roadstead_proto::domain::registry::{GroupId, GroupRef, LinkId, RegistryId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::error::ErrorCode;
use roadstead_proto::state::command::{Changed, Command, CreateRegistry, Outcome, Refusal, UpdateRegistry};

use crate::world::{MANY, World, at, create_registry, create_upstream, signed_in};

const NOBODY: u64 = 99;

fn rename(id: RegistryId, name: &str) -> Command {
    Command::UpdateRegistry(UpdateRegistry {
        id,
        name: Some(name.parse().unwrap()),
        description: None,
        anonymous_pull: None,
    })
}

#[test]
fn a_number_is_taken_as_it_is_and_a_path_gets_the_next_that_is_free() {
    let mut world = World::new();
    let mut create = |group: &str| match world.does(create_registry(group, "hub")) {
        Ok(Outcome::RegistryCreated { group, .. }) => group.0,
        other => panic!("expected a registry, got {other:?}"),
    };
    assert_eq!(create("default"), 1);
    assert_eq!(create("785414"), 785_414);
    assert_eq!(create("3"), 3);
    assert_eq!(create("platform/ci"), 2);
    assert_eq!(create("platform/web"), 4, "3 is taken");
    let groups = world.configuration().groups;
    let named: Vec<_> = groups.iter().map(|group| (group.id.0, group.path.as_str())).collect();
    let expected = [(1, "default"), (2, "platform/ci"), (3, "3"), (4, "platform/web"), (785_414, "785414")];
    assert_eq!(named, expected);
}

#[test]
fn a_known_group_is_found_and_an_unknown_one_refused_unless_it_is_to_be_created() {
    let mut world = World::new();
    let known = |group: &str, name: &str| {
        let Command::CreateRegistry(create) = create_registry(group, name) else { unreachable!() };
        Command::CreateRegistry(CreateRegistry { create_group: false, ..create })
    };
    world.refuses(known("default", "a"), Refusal::NoGroupPath);
    world.refuses(known("7", "a"), Refusal::NoGroup(GroupId(7)));
    world.registry("default", "a");
    let outcome = |registry| Ok(Outcome::RegistryCreated { registry: RegistryId(registry), group: GroupId(1) });
    assert_eq!(world.does(known("default", "b")), outcome(2));
    assert_eq!(world.does(known("1", "c")), outcome(3));
    assert_eq!(world.configuration().groups.len(), 1);
}

#[test]
fn a_refused_registry_leaves_no_group_behind() {
    let mut world = World::new();
    let Command::CreateRegistry(create) = create_registry("new", "a") else { unreachable!() };
    world.refuses(Command::CreateRegistry(CreateRegistry { at_most: 0, ..create }), Refusal::TooManyRegistries(0));
    assert_eq!(world.configuration().groups, []);
}

#[test]
fn a_registry_is_what_was_asked_for() {
    let mut world = World::new();
    let created = world.apply(Command::CreateRegistry(CreateRegistry {
        group: GroupRef::Id(GroupId(5)),
        create_group: true,
        name: "hub".parse().unwrap(),
        description: Some("all of it".parse().unwrap()),
        at_most: 1,
    }));
    assert_eq!(created.changes[0].what, Changed::Configuration);
    let row = world.row_of(RegistryId(1));
    assert_eq!((row.group, row.name.as_str(), row.description.as_deref()), (GroupId(5), "hub", Some("all of it")));
    assert_eq!((row.created_at, row.updated_at), (world.now, world.now));
    assert!(!row.anonymous_pull, "a pull needs a token unless somebody says otherwise");
}

#[test]
fn a_name_is_unique_within_its_group() {
    let mut world = World::new();
    let first = world.registry("default", "hub");
    let second = world.registry("default", "Hub");
    world.registry("other", "hub");
    world.refuses(create_registry("default", "hub"), Refusal::NameTaken);
    world.refuses(rename(second, "hub"), Refusal::NameTaken);
    assert_eq!(world.does(rename(first, "hub")), Ok(Outcome::Done), "its own name is no other's");
    world.does(Command::DeleteRegistry(first)).unwrap();
    assert_eq!(world.does(rename(second, "hub")), Ok(Outcome::Done), "the name is free again");
    assert_eq!(Refusal::NameTaken.field(), Some("name"));
}

#[test]
fn a_group_has_as_many_registries_as_it_may() {
    let mut world = World::new();
    world.registry("default", "a");
    world.registry("other", "b");
    let Command::CreateRegistry(create) = create_registry("default", "c") else { unreachable!() };
    let limited = |at_most| Command::CreateRegistry(CreateRegistry { at_most, ..create.clone() });
    world.refuses(limited(1), Refusal::TooManyRegistries(1));
    assert!(world.does(limited(2)).is_ok(), "another group's do not count");
}

#[test]
fn a_change_is_what_was_said_and_nothing_else() {
    let mut world = World::new();
    let id = world.registry("default", "a");
    let before = world.row_of(id);
    world.now = Timestamp(2_000);
    let nothing = UpdateRegistry { id, name: None, description: None, anonymous_pull: None };
    let applied = world.apply(Command::UpdateRegistry(nothing.clone()));
    assert_eq!((applied.outcome, applied.changes), (Ok(Outcome::Done), vec![]));
    assert_eq!(world.row_of(id), before);

    let described = UpdateRegistry { description: Some(Some("text".parse().unwrap())), ..nothing.clone() };
    world.does(Command::UpdateRegistry(described)).unwrap();
    let row = world.row_of(id);
    assert_eq!((row.name.as_str(), row.description.as_deref(), row.updated_at), ("a", Some("text"), world.now));
    assert_eq!((row.created_at, row.routing), (before.created_at, before.routing), "routes stand");

    world.does(Command::UpdateRegistry(UpdateRegistry { anonymous_pull: Some(true), ..nothing.clone() })).unwrap();
    assert!(world.row_of(id).anonymous_pull);
    world.does(rename(id, "b")).unwrap();
    world.does(Command::UpdateRegistry(UpdateRegistry { description: Some(None), ..nothing })).unwrap();
    let row = world.row_of(id);
    assert_eq!((row.name.as_str(), row.description, row.anonymous_pull), ("b", None, true));
}

/// Registries 1 and 2 of one group: upstreams 1 and 2 of the first, 3 of both, 4 of the second.
fn shared() -> (World, RegistryId, RegistryId) {
    let mut world = World::new();
    let (one, two) = (world.registry("default", "one"), world.registry("default", "two"));
    for host in ["a", "b", "c"] {
        world.upstream(one, host);
    }
    world.upstream(two, "d");
    world.link(two, UpstreamId(3));
    (world, one, two)
}

fn upstreams(world: &World) -> Vec<u64> {
    world.configuration().upstreams.iter().map(|upstream| upstream.id.0).collect()
}

#[test]
fn a_deleted_registry_takes_along_what_only_it_has() {
    let (mut world, one, two) = shared();
    let kept = world.row_of(two);
    world.does(Command::DeleteRegistry(one)).unwrap();
    assert_eq!(upstreams(&world), [3, 4]);
    assert_eq!(world.order(one), []);
    assert_eq!(world.order(two), [UpstreamId(4), UpstreamId(3)]);
    assert_eq!(world.row_of(two), kept);
    world.refuses(Command::DeleteRegistry(one), Refusal::NoRegistry(one));
    let next = world.registry("default", "one");
    assert_eq!(next, RegistryId(3), "a number is never given again");
}

#[test]
fn a_purged_registry_voids_what_only_it_has() {
    let (mut world, one, two) = shared();
    let epochs = |world: &World| -> Vec<u64> {
        world.configuration().upstreams.iter().map(|upstream| upstream.epoch.0).collect()
    };
    let before = epochs(&world);
    let routing = world.row_of(one).routing;
    world.does(Command::PurgeRegistry(one)).unwrap();
    let now = world.revision.0;
    assert_eq!(epochs(&world), [now, now, before[2], before[3]]);
    assert_eq!(world.row_of(one).routing, routing, "who has an image is as it was");

    let (mut world, _, two_again) = shared();
    assert_eq!(two, two_again);
    world.does(Command::Unlink(world.link_of(two, UpstreamId(4)))).unwrap();
    let applied = world.apply(Command::PurgeRegistry(two));
    assert_eq!((applied.outcome, applied.changes), (Ok(Outcome::Done), vec![]), "it shares all that it has");
}

#[test]
fn a_new_upstream_is_asked_last() {
    let mut world = World::new();
    let registry = world.registry("default", "hub");
    let routing = world.row_of(registry).routing;
    let created = |upstream, position| {
        Ok(Outcome::UpstreamCreated { upstream: UpstreamId(upstream), link: LinkId(upstream), position })
    };
    assert_eq!(world.does(create_upstream(registry, at("a"))), created(1, 1));
    assert_eq!(world.does(create_upstream(registry, at("b"))), created(2, 2));
    assert!(world.row_of(registry).routing > routing);
    assert_eq!(world.order(registry), [UpstreamId(1), UpstreamId(2)]);
    let row = world.upstream_row(UpstreamId(2));
    assert_eq!((row.group, row.created_at, row.settings), (GroupId(1), world.now, at("b")));
    let third = |at_most| Command::CreateUpstream { registry, settings: at("c"), at_most };
    world.refuses(third(2), Refusal::TooManyUpstreams(2));
    assert!(world.does(third(3)).is_ok());
}

#[test]
fn twins_are_refused_within_a_group() {
    let mut world = World::new();
    let (one, two) = (world.registry("default", "one"), world.registry("default", "two"));
    let other = world.registry("other", "hub");
    world.upstream(one, "a");
    world.does(create_upstream(one, signed_in("a", 1, 1))).unwrap();
    // As the contract says: same url, user name and password; whichever registry, however sealed, whatever else is set.
    let twin = |of: u64| Refusal::Twin(UpstreamId(of));
    world.refuses(create_upstream(two, at("a")), twin(1));
    world.refuses(create_upstream(two, signed_in("a", 1, 9)), twin(2));
    let mut renamed = at("a");
    (renamed.name, renamed.url) = ("another".to_owned(), "https://a.example:443/v2/".parse().unwrap());
    world.refuses(create_upstream(two, renamed), twin(1));
    assert!(world.does(create_upstream(two, signed_in("a", 2, 1))).is_ok(), "another account");
    assert!(world.does(create_upstream(other, at("a"))).is_ok(), "another group");
    assert_eq!(twin(1).field(), Some("group"));
    assert_eq!(twin(1).to_string(), "already has an upstream with the same credentials");

    let b = world.upstream(two, "b");
    let change = |settings| Command::UpdateUpstream { id: b, settings, if_updated_at: None };
    world.refuses(change(at("a")), twin(1));
    assert!(world.does(change(at("c"))).is_ok());
    let mut renamed = at("c");
    renamed.name = "c of mine".to_owned();
    assert!(world.does(change(renamed)).is_ok(), "it is not its own twin");
}

#[test]
fn a_change_that_another_came_before_is_refused() {
    let mut world = World::new();
    let registry = world.registry("default", "hub");
    let id = world.upstream(registry, "a");
    let read = world.upstream_row(id).updated_at;
    let change = |name: &str, if_updated_at| {
        let mut settings = at("a");
        settings.name = name.to_owned();
        Command::UpdateUpstream { id, settings, if_updated_at: Some(if_updated_at) }
    };
    // No time passes between the two.
    assert_eq!(world.does(change("first", read)), Ok(Outcome::Done));
    world.refuses(change("second", read), Refusal::Changed);
    let again = world.upstream_row(id).updated_at;
    assert_eq!(world.does(change("second", again)), Ok(Outcome::Done));
    assert_eq!(world.upstream_row(id).settings.name, "second");
}

#[test]
fn a_deleted_upstream_leaves_no_gap_anywhere() {
    let (mut world, one, two) = shared();
    let before = (world.row_of(one).routing, world.row_of(two).routing);
    world.does(Command::DeleteUpstream(UpstreamId(3))).unwrap();
    assert_eq!(world.order(one), [UpstreamId(1), UpstreamId(2)]);
    assert_eq!(world.order(two), [UpstreamId(4)]);
    assert!(world.row_of(one).routing > before.0 && world.row_of(two).routing > before.1);
    let routing = world.row_of(two).routing;
    world.does(Command::DeleteUpstream(UpstreamId(1))).unwrap();
    assert_eq!(world.order(one), [UpstreamId(2)]);
    assert_eq!(world.row_of(two).routing, routing, "it never had it");
    world.refuses(Command::DeleteUpstream(UpstreamId(1)), Refusal::NoUpstream(UpstreamId(1)));
}

#[test]
fn a_link_is_to_an_upstream_of_the_group_that_is_not_there_yet() {
    let (mut world, one, two) = shared();
    let other = world.registry("other", "hub");
    let foreign = world.upstream(other, "a");
    let link = |registry, upstream| Command::Link { registry, upstream, at_most: MANY };
    let nobody = (RegistryId(NOBODY), UpstreamId(NOBODY));
    world.refuses(link(nobody.0, foreign), Refusal::NoRegistry(nobody.0));
    world.refuses(link(one, nobody.1), Refusal::NoUpstream(nobody.1));
    world.refuses(link(one, foreign), Refusal::OtherGroup(foreign));
    assert_eq!(Refusal::OtherGroup(foreign).code(), ErrorCode::NotFound, "nobody learns that it exists");
    world.refuses(link(two, UpstreamId(3)), Refusal::AlreadyLinked);
    assert_eq!(Refusal::AlreadyLinked.field(), Some("upstream"));
    world.refuses(Command::Link { registry: two, upstream: UpstreamId(1), at_most: 2 }, Refusal::TooManyUpstreams(2));
    let routing = world.row_of(two).routing;
    assert_eq!(
        world.does(Command::Link { registry: two, upstream: UpstreamId(1), at_most: 3 }),
        Ok(Outcome::Linked { link: LinkId(6 + 1), position: 3 })
    );
    assert!(world.row_of(two).routing > routing);
}

#[test]
fn a_moved_link_shifts_those_between() {
    for (from, to, expected, lands) in [
        (1, 1, [1, 2, 3, 4], 1),
        (1, 2, [2, 1, 3, 4], 2),
        (1, 4, [2, 3, 4, 1], 4),
        (4, 1, [4, 1, 2, 3], 1),
        (2, 3, [1, 3, 2, 4], 3),
        (3, 2, [1, 3, 2, 4], 2),
        (2, 5, [1, 3, 4, 2], 4),
        (4, 5, [1, 2, 3, 4], 4),
        (1, u32::MAX, [2, 3, 4, 1], 4),
    ] {
        let mut world = World::new();
        let (registry, bystander) = (world.registry("default", "one"), world.registry("default", "two"));
        for host in ["a", "b", "c", "d"] {
            world.upstream(registry, host);
        }
        for upstream in [4, 1] {
            world.link(bystander, UpstreamId(upstream));
        }
        let (routing, kept) = (world.row_of(registry).routing, world.row_of(bystander));
        let id = world.link_of(registry, UpstreamId(from));
        let case = format!("{from} to {to}");
        let applied = world.apply(Command::MoveLink { id, position: to });
        assert_eq!(applied.outcome, Ok(Outcome::Linked { link: id, position: lands }), "{case}");
        assert_eq!(world.order(registry), expected.map(UpstreamId), "{case}");
        let has_moved = u64::from(lands) != from;
        assert_eq!(world.row_of(registry).routing > routing, has_moved, "{case}: routes");
        assert_eq!(applied.changes.len(), usize::from(has_moved), "{case}: news");
        assert_eq!(world.order(bystander), [4, 1].map(UpstreamId), "{case}");
        assert_eq!(world.row_of(bystander), kept, "{case}");
        world.refuses(Command::MoveLink { id, position: 0 }, Refusal::NoPosition);
    }
}

#[test]
fn a_removed_link_leaves_the_upstream_and_no_gap() {
    let (mut world, one, two) = shared();
    let (routing, kept) = (world.row_of(one).routing, world.row_of(two));
    let link = world.link_of(one, UpstreamId(2));
    world.does(Command::Unlink(link)).unwrap();
    assert_eq!(world.order(one), [UpstreamId(1), UpstreamId(3)]);
    assert_eq!(upstreams(&world), [1, 2, 3, 4], "it is the link that goes");
    assert!(world.row_of(one).routing > routing);
    assert_eq!(world.row_of(two), kept);
    world.refuses(Command::Unlink(link), Refusal::NoLink(link));
    world.refuses(Command::MoveLink { id: link, position: 1 }, Refusal::NoLink(link));
    // What nobody has, nobody's deletion takes along.
    world.does(Command::DeleteRegistry(one)).unwrap();
    assert_eq!(upstreams(&world), [2, 3, 4]);
}

#[test]
fn what_does_not_exist_is_said_to_be_missing() {
    let (registry, upstream) = (RegistryId(NOBODY), UpstreamId(NOBODY));
    for (command, refusal) in [
        (rename(registry, "x"), Refusal::NoRegistry(registry)),
        (Command::DeleteRegistry(registry), Refusal::NoRegistry(registry)),
        (Command::PurgeRegistry(registry), Refusal::NoRegistry(registry)),
        (create_upstream(registry, at("a")), Refusal::NoRegistry(registry)),
        (
            Command::UpdateUpstream { id: upstream, settings: at("a"), if_updated_at: None },
            Refusal::NoUpstream(upstream),
        ),
        (Command::PurgeUpstream(upstream), Refusal::NoUpstream(upstream)),
        (Command::DeleteUpstream(upstream), Refusal::NoUpstream(upstream)),
        (Command::Unlink(LinkId(NOBODY)), Refusal::NoLink(LinkId(NOBODY))),
    ] {
        let (mut world, ..) = shared();
        world.refuses(command, refusal);
        assert_eq!((refusal.code(), refusal.field()), (ErrorCode::NotFound, None), "{refusal:?}");
    }
}
