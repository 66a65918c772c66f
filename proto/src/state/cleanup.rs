//! Cleanup policies, and what came of them.

use super::command::{EndCleanup, Outcome, Refusal, UpdateCleanupPolicy};
use super::rows::{load, store};
use super::table::{Table, id_key};
use super::{Context, Stop, registries};
use crate::domain::cleanup::{CleanupPolicy, CleanupRun, CleanupSettings};
use crate::domain::limits;
use crate::domain::registry::GroupId;
use crate::domain::time::Timestamp;

fn policy(context: &Context<'_>, group: GroupId) -> Result<CleanupPolicy, Stop> {
    let policy: Option<CleanupPolicy> = load(context.rows, Table::CleanupPolicies, &id_key(group.0))?;
    Ok(policy.ok_or(Refusal::NoCleanupPolicy(group))?)
}

fn write(context: &mut Context<'_>, policy: &CleanupPolicy) -> Result<Outcome, Stop> {
    store(context.rows, Table::CleanupPolicies, &id_key(policy.group.0), policy)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

/// A cadence from now on.
fn next_run(settings: &CleanupSettings, now: Timestamp) -> Option<Timestamp> {
    settings.enabled.then(|| now.after(settings.cadence.duration()))
}

pub(super) fn create(context: &mut Context<'_>, group: GroupId, settings: CleanupSettings) -> Result<Outcome, Stop> {
    registries::check_group(context, group)?;
    if context.rows.get(Table::CleanupPolicies, &id_key(group.0))?.is_some() {
        return Err(Refusal::HasCleanupPolicy(group).into());
    }
    let now = context.counters.now;
    let policy = CleanupPolicy {
        group,
        settings,
        next_run_at: next_run(&settings, now),
        running_since: None,
        last_run: None,
        created_at: now,
        updated_at: now,
    };
    write(context, &policy)
}

pub(super) fn update(context: &mut Context<'_>, update: &UpdateCleanupPolicy) -> Result<Outcome, Stop> {
    let mut policy = policy(context, update.group)?;
    let before = policy.settings;
    let settings = CleanupSettings {
        enabled: update.enabled.unwrap_or(before.enabled),
        keep: update.keep.unwrap_or(before.keep),
        cadence: update.cadence.unwrap_or(before.cadence),
        notify_on_success: update.notify_on_success.unwrap_or(before.notify_on_success),
        notify_on_failure: update.notify_on_failure.unwrap_or(before.notify_on_failure),
    };
    if settings == before {
        return Ok(Outcome::Done);
    }
    let now = context.counters.now;
    if (settings.enabled, settings.cadence) != (before.enabled, before.cadence) {
        policy.next_run_at = next_run(&settings, now);
    }
    (policy.settings, policy.updated_at) = (settings, now);
    write(context, &policy)
}

pub(super) fn delete(context: &mut Context<'_>, group: GroupId) -> Result<Outcome, Stop> {
    policy(context, group)?;
    context.rows.delete(Table::CleanupPolicies, &id_key(group.0))?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn begin(context: &mut Context<'_>, group: GroupId) -> Result<Outcome, Stop> {
    let running_since = Some(context.counters.now);
    let policy = CleanupPolicy { running_since, ..policy(context, group)? };
    write(context, &policy)
}

pub(super) fn end(context: &mut Context<'_>, end: &EndCleanup) -> Result<Outcome, Stop> {
    let mut policy = policy(context, end.group)?;
    let now = context.counters.now;
    let cut = |text: &String| text.chars().take(limits::FAILURE_MESSAGE_MAX).collect();
    policy.last_run = Some(CleanupRun {
        at: now,
        deleted_entries: end.deleted_entries,
        deleted_bytes: end.deleted_bytes,
        failure: end.failure.as_ref().map(cut),
    });
    (policy.running_since, policy.next_run_at) = (None, next_run(&policy.settings, now));
    write(context, &policy)
}
