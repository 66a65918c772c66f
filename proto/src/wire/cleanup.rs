//! Cleanup policies: domain ↔ protobuf.

use super::command::required;
use super::pb::meta::v1 as pb;
use super::{DecodeError, Record};
use crate::domain::cleanup::{Cadence, CleanupPolicy, CleanupRun, CleanupSettings, KeepDays};
use crate::domain::registry::GroupId;
use crate::domain::time::Timestamp;
use crate::state::command::{EndCleanup, UpdateCleanupPolicy};

fn keep(days: u32, message: &'static str) -> Result<KeepDays, DecodeError> {
    KeepDays::new(days.into()).map_err(|_| DecodeError::field(message, "keep_days"))
}

fn cadence(days: u32, message: &'static str) -> Result<Cadence, DecodeError> {
    Cadence::new(days.into()).map_err(|_| DecodeError::field(message, "cadence_days"))
}

impl Record for CleanupSettings {
    type Message = pb::CleanupSettings;

    fn to_message(&self) -> pb::CleanupSettings {
        pb::CleanupSettings {
            enabled: self.enabled,
            keep_days: self.keep.days().into(),
            cadence_days: self.cadence.days().into(),
            notify_on_success: self.notify_on_success,
            notify_on_failure: self.notify_on_failure,
        }
    }

    fn from_message(m: pb::CleanupSettings) -> Result<Self, DecodeError> {
        const NAME: &str = "CleanupSettings";
        Ok(Self {
            enabled: m.enabled,
            keep: keep(m.keep_days, NAME)?,
            cadence: cadence(m.cadence_days, NAME)?,
            notify_on_success: m.notify_on_success,
            notify_on_failure: m.notify_on_failure,
        })
    }
}

impl Record for CleanupRun {
    type Message = pb::CleanupRun;

    fn to_message(&self) -> pb::CleanupRun {
        pb::CleanupRun {
            at: self.at.0,
            deleted_entries: self.deleted_entries,
            deleted_bytes: self.deleted_bytes,
            failure: self.failure.clone(),
        }
    }

    fn from_message(m: pb::CleanupRun) -> Result<Self, DecodeError> {
        Ok(Self {
            at: Timestamp(m.at),
            deleted_entries: m.deleted_entries,
            deleted_bytes: m.deleted_bytes,
            failure: m.failure,
        })
    }
}

impl Record for CleanupPolicy {
    type Message = pb::CleanupPolicy;

    fn to_message(&self) -> pb::CleanupPolicy {
        pb::CleanupPolicy {
            group: self.group.0,
            settings: Some(self.settings.to_message()),
            next_run_at: self.next_run_at.map(|at| at.0),
            running_since: self.running_since.map(|at| at.0),
            last_run: self.last_run.as_ref().map(Record::to_message),
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::CleanupPolicy) -> Result<Self, DecodeError> {
        let settings = required(m.settings, "CleanupPolicy", "settings")?;
        Ok(Self {
            group: GroupId(m.group),
            settings: CleanupSettings::from_message(settings)?,
            next_run_at: m.next_run_at.map(Timestamp),
            running_since: m.running_since.map(Timestamp),
            last_run: m.last_run.map(CleanupRun::from_message).transpose()?,
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
        })
    }
}

impl Record for UpdateCleanupPolicy {
    type Message = pb::UpdateCleanupPolicy;

    fn to_message(&self) -> pb::UpdateCleanupPolicy {
        pb::UpdateCleanupPolicy {
            group: self.group.0,
            enabled: self.enabled,
            keep_days: self.keep.map(|keep| keep.days().into()),
            cadence_days: self.cadence.map(|cadence| cadence.days().into()),
            notify_on_success: self.notify_on_success,
            notify_on_failure: self.notify_on_failure,
        }
    }

    fn from_message(m: pb::UpdateCleanupPolicy) -> Result<Self, DecodeError> {
        const NAME: &str = "UpdateCleanupPolicy";
        Ok(Self {
            group: GroupId(m.group),
            enabled: m.enabled,
            keep: m.keep_days.map(|days| keep(days, NAME)).transpose()?,
            cadence: m.cadence_days.map(|days| cadence(days, NAME)).transpose()?,
            notify_on_success: m.notify_on_success,
            notify_on_failure: m.notify_on_failure,
        })
    }
}

impl Record for EndCleanup {
    type Message = pb::EndCleanup;

    fn to_message(&self) -> pb::EndCleanup {
        pb::EndCleanup {
            group: self.group.0,
            deleted_entries: self.deleted_entries,
            deleted_bytes: self.deleted_bytes,
            failure: self.failure.clone(),
        }
    }

    fn from_message(m: pb::EndCleanup) -> Result<Self, DecodeError> {
        Ok(Self {
            group: GroupId(m.group),
            deleted_entries: m.deleted_entries,
            deleted_bytes: m.deleted_bytes,
            failure: m.failure,
        })
    }
}
