//! Cleanup policies: one a group, when they are due, and what came of them.

use std::time::Duration;

use roadstead_proto::domain::cleanup::{Cadence, CleanupPolicy, CleanupRun, CleanupSettings, CleanupStatus, KeepDays};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::command::{Command, EndCleanup, Outcome, Refusal, UpdateCleanupPolicy};

use crate::world::World;

const GROUP: GroupId = GroupId(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn enabled() -> CleanupSettings {
    CleanupSettings { enabled: true, ..CleanupSettings::default() }
}

/// A group without a policy.
fn group() -> World {
    let mut world = World::new();
    world.registry("1", "hub");
    world
}

/// A group whose policy runs every seven days.
fn cleaned() -> World {
    let mut world = group();
    world.does(Command::CreateCleanupPolicy { group: GROUP, settings: enabled() }).unwrap();
    world
}

fn change() -> UpdateCleanupPolicy {
    UpdateCleanupPolicy {
        group: GROUP,
        enabled: None,
        keep: None,
        cadence: None,
        notify_on_success: None,
        notify_on_failure: None,
    }
}

fn end(failure: Option<&str>) -> Command {
    let failure = failure.map(str::to_owned);
    Command::EndCleanup(EndCleanup { group: GROUP, deleted_entries: 3, deleted_bytes: 4_000, failure })
}

impl World {
    fn policy(&self) -> CleanupPolicy {
        self.configuration().cleanup_policies.remove(0)
    }
}

#[test]
fn a_group_has_one_policy_or_none() {
    let mut world = group();
    let create = |group, settings| Command::CreateCleanupPolicy { group, settings };
    let (nobody, missing) = (GroupId(9), Refusal::NoCleanupPolicy(GROUP));
    world.refuses(create(nobody, enabled()), Refusal::NoGroup(nobody));
    for command in [
        Command::UpdateCleanupPolicy(change()),
        Command::DeleteCleanupPolicy(GROUP),
        Command::BeginCleanup(GROUP),
        end(None),
    ] {
        world.refuses(command, missing);
    }
    world.does(create(GROUP, CleanupSettings::default())).unwrap();
    let expected = CleanupPolicy {
        group: GROUP,
        settings: CleanupSettings::default(),
        next_run_at: None,
        running_since: None,
        last_run: None,
        created_at: world.now,
        updated_at: world.now,
    };
    assert_eq!(world.configuration().cleanup_policies, [expected]);
    world.refuses(create(GROUP, enabled()), Refusal::HasCleanupPolicy(GROUP));
    assert_eq!(Refusal::HasCleanupPolicy(GROUP).field(), Some("group"));
    world.does(Command::DeleteCleanupPolicy(GROUP)).unwrap();
    world.does(create(GROUP, enabled())).unwrap();
    assert_eq!(world.policy().next_run_at, Some(world.now.after(7 * DAY)));
}

#[test]
fn a_change_moves_the_next_run_where_it_is_about_that() {
    let mut world = cleaned();
    let first = world.policy();
    world.now = world.now.after(DAY);
    let nothing = world.apply(Command::UpdateCleanupPolicy(change()));
    assert_eq!((nothing.outcome, nothing.changes), (Ok(Outcome::Done), vec![]));
    let kept = KeepDays::new(365).unwrap();
    let told = UpdateCleanupPolicy { keep: Some(kept), notify_on_failure: Some(true), ..change() };
    world.does(Command::UpdateCleanupPolicy(told)).unwrap();
    let policy = world.policy();
    assert_eq!(
        (policy.next_run_at, policy.updated_at, policy.created_at),
        (first.next_run_at, world.now, first.created_at)
    );
    assert_eq!(policy.settings, CleanupSettings { keep: kept, notify_on_failure: true, ..enabled() });

    let daily = UpdateCleanupPolicy { cadence: Some(Cadence::new(1).unwrap()), ..change() };
    world.does(Command::UpdateCleanupPolicy(daily)).unwrap();
    assert_eq!(world.policy().next_run_at, Some(world.now.after(DAY)));
    world.does(Command::UpdateCleanupPolicy(UpdateCleanupPolicy { enabled: Some(false), ..change() })).unwrap();
    assert_eq!(world.policy().next_run_at, None);
    assert!(!world.policy().is_due(Timestamp(u64::MAX)), "one that is off is never due");
    let on = UpdateCleanupPolicy { enabled: Some(true), notify_on_success: Some(true), ..change() };
    world.does(Command::UpdateCleanupPolicy(on)).unwrap();
    let policy = world.policy();
    assert_eq!((policy.next_run_at, policy.settings.notify_on_success), (Some(world.now.after(DAY)), true));
}

#[test]
fn a_run_leaves_what_came_of_it() {
    let mut world = cleaned();
    let due = world.policy().next_run_at.unwrap();
    assert!(!world.policy().is_due(due.before(Duration::from_millis(1))) && world.policy().is_due(due));
    world.now = due;
    world.does(Command::BeginCleanup(GROUP)).unwrap();
    assert_eq!((world.policy().running_since, world.policy().status()), (Some(due), CleanupStatus::Running));
    world.now = due.after(DAY);
    world.does(Command::BeginCleanup(GROUP)).unwrap();
    assert_eq!(world.policy().running_since, Some(world.now), "who ran it has died, and another begins anew");
    world.does(end(None)).unwrap();
    let policy = world.policy();
    let run = CleanupRun { at: world.now, deleted_entries: 3, deleted_bytes: 4_000, failure: None };
    assert_eq!((policy.last_run.as_ref(), policy.status()), (Some(&run), CleanupStatus::Scheduled));
    assert_eq!((policy.running_since, policy.next_run_at), (None, Some(world.now.after(7 * DAY))));

    world.does(Command::BeginCleanup(GROUP)).unwrap();
    assert_eq!(world.policy().last_run, Some(run), "the last one is known until the next has ended");
    let long = "ä".repeat(limits::FAILURE_MESSAGE_MAX + 9);
    world.does(end(Some(&long))).unwrap();
    let policy = world.policy();
    assert_eq!(policy.status(), CleanupStatus::Failed);
    let failure = policy.last_run.and_then(|run| run.failure);
    assert_eq!(failure.map(|text| text.chars().count()), Some(limits::FAILURE_MESSAGE_MAX));
    assert!(policy.next_run_at.is_some(), "it is tried again");
}
