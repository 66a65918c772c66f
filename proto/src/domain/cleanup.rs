//! The cleanup policy of a group: what goes from the cache when nobody has asked for it for long.

use std::time::Duration;

use super::limits;
use super::registry::GroupId;
use super::time::Timestamp;

/// One day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// For how many days after its last download an entry is kept: 1 to 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeepDays(u16);

/// How often a cleanup runs: every 1, 7, 14, 30 or 90 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cadence(u16);

/// The number is none of those that the management contract allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CleanupError {
    /// Not 1 to 365.
    #[error("must be 1 to {}", limits::CLEANUP_KEEP_DAYS_MAX)]
    KeepDays,
    /// Not 1, 7, 14, 30 or 90.
    #[error("must be 1, 7, 14, 30 or 90")]
    Cadence,
}

impl KeepDays {
    /// So many days.
    ///
    /// # Errors
    /// Where it is not 1 to 365.
    pub fn new(days: u64) -> Result<Self, CleanupError> {
        let days = u16::try_from(days).map_err(|_| CleanupError::KeepDays)?;
        if (1..=limits::CLEANUP_KEEP_DAYS_MAX).contains(&days) { Ok(Self(days)) } else { Err(CleanupError::KeepDays) }
    }

    /// The number.
    pub fn days(self) -> u16 {
        self.0
    }

    /// As a time.
    pub fn duration(self) -> Duration {
        DAY * self.0.into()
    }
}

impl Cadence {
    /// So many days.
    ///
    /// # Errors
    /// Where it is not 1, 7, 14, 30 or 90.
    pub fn new(days: u64) -> Result<Self, CleanupError> {
        match days {
            1 => Ok(Self(1)),
            7 => Ok(Self(7)),
            14 => Ok(Self(14)),
            30 => Ok(Self(30)),
            90 => Ok(Self(90)),
            _ => Err(CleanupError::Cadence),
        }
    }

    /// The number.
    pub fn days(self) -> u16 {
        self.0
    }

    /// As a time.
    pub fn duration(self) -> Duration {
        DAY * self.0.into()
    }
}

/// What a person sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CleanupSettings {
    /// Whether it runs at all.
    pub enabled: bool,
    /// For how long an entry is kept after its last download.
    pub keep: KeepDays,
    /// How often it runs.
    pub cadence: Cadence,
    /// Whether its end is told.
    pub notify_on_success: bool,
    /// Whether its failure is told.
    pub notify_on_failure: bool,
}

/// The defaults of the management contract. It is off until somebody says otherwise.
impl Default for CleanupSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            keep: KeepDays(30),
            cadence: Cadence(7),
            notify_on_success: false,
            notify_on_failure: false,
        }
    }
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// The group whose upstreams it cleans.
    pub group: GroupId,
    /// What a person set.
    pub settings: CleanupSettings,
    /// When it is due next; never while it is off.
    pub next_run_at: Option<Timestamp>,
    /// Since when it runs. Whoever ran it may have died: who comes next begins anew.
    pub running_since: Option<Timestamp>,
    /// What came of it last.
    pub last_run: Option<CleanupRun>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its settings last changed.
    pub updated_at: Timestamp,
}

/// What came of a cleanup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanupRun {
    /// When it ended.
    pub at: Timestamp,
    /// Entries removed, also where it failed on the way.
    pub deleted_entries: u64,
    /// Their size in bytes.
    pub deleted_bytes: u64,
    /// Why it failed, at most [`limits::FAILURE_MESSAGE_MAX`] characters.
    pub failure: Option<String>,
}

/// How a policy stands, as the management contract names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CleanupStatus {
    /// It waits for its time, or is off.
    Scheduled,
    /// It runs.
    Running,
    /// The last run failed.
    Failed,
}

impl CleanupPolicy {
    /// How it stands.
    pub fn status(&self) -> CleanupStatus {
        let has_failed = self.last_run.as_ref().is_some_and(|run| run.failure.is_some());
        match self.running_since {
            Some(_) => CleanupStatus::Running,
            None if has_failed => CleanupStatus::Failed,
            None => CleanupStatus::Scheduled,
        }
    }

    /// Whether it is to run at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_run_at.is_some_and(|due| due <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_contract() {
        for days in 0..1000 {
            assert_eq!(KeepDays::new(days).is_ok(), (1..=365).contains(&days), "keep {days}");
            assert_eq!(Cadence::new(days).is_ok(), [1, 7, 14, 30, 90].contains(&days), "every {days}");
        }
        assert!(KeepDays::new(u64::MAX).is_err() && KeepDays::new(65_536 + 1).is_err());
        assert_eq!(KeepDays::new(365).unwrap().duration(), Duration::from_secs(31_536_000));
        let CleanupSettings { enabled, keep, cadence, .. } = CleanupSettings::default();
        assert_eq!((enabled, keep.days(), cadence.days()), (false, 30, 7));
    }
}
