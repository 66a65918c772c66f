//! What happens to a running upstream, and when.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{BadChange, Change};

/// Changes on a timeline that begins when it is played.
#[derive(Clone, Debug)]
pub struct Scenario {
    steps: Vec<Step>,
    every: Option<Duration>,
}

/// What changes at one moment.
#[derive(Clone, Debug)]
pub struct Step {
    /// After the beginning.
    pub at: Duration,
    /// What changes.
    pub change: Change,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    every: Option<String>,
    steps: Vec<Map<String, Value>>,
}

impl Scenario {
    /// Reads a file: JSON when it is called so, else TOML.
    ///
    /// # Errors
    /// When it cannot be read, or does not say what can be played.
    pub fn read(path: &Path) -> Result<Self, BadScenario> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadScenario::Unreadable { path: path.to_owned(), source })?;
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if json { Self::from_json(&text) } else { Self::from_toml(&text) }
    }

    /// Understands TOML.
    ///
    /// # Errors
    /// When it does not say what can be played.
    pub fn from_toml(text: &str) -> Result<Self, BadScenario> {
        Self::of(toml::from_str(text)?)
    }

    /// Understands JSON.
    ///
    /// # Errors
    /// When it does not say what can be played.
    pub fn from_json(text: &str) -> Result<Self, BadScenario> {
        Self::of(serde_json::from_str(text)?)
    }

    fn of(raw: Raw) -> Result<Self, BadScenario> {
        let every = raw.every.as_deref().map(duration).transpose()?;
        let mut steps = Vec::new();
        for (number, step) in (1..).zip(raw.steps) {
            steps.push(Step::of(number, step)?);
        }
        steps.sort_by_key(|step| step.at);
        let Some(last) = steps.last().map(|step| step.at) else {
            return Err(BadScenario::Empty);
        };
        match every {
            Some(every) if every <= last => Err(BadScenario::TooOften { every, last }),
            _ => Ok(Self { steps, every }),
        }
    }

    /// The steps, in the order of time.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How long after its beginning it begins anew; `None` is never.
    pub fn every(&self) -> Option<Duration> {
        self.every
    }
}

impl Step {
    fn of(number: usize, mut fields: Map<String, Value>) -> Result<Self, BadScenario> {
        let at = match fields.remove("at") {
            None => Duration::ZERO,
            Some(Value::String(text)) => duration(&text)?,
            Some(other) => return Err(BadScenario::Duration { text: other.to_string(), source: None }),
        };
        let change: Change =
            serde_json::from_value(Value::Object(fields)).map_err(|source| BadScenario::Step { number, source })?;
        change.check().map_err(|source| BadScenario::Change { number, source })?;
        Ok(Self { at, change })
    }
}

fn duration(text: &str) -> Result<Duration, BadScenario> {
    humantime::parse_duration(text)
        .map_err(|source| BadScenario::Duration { text: text.to_owned(), source: Some(source) })
}

/// A scenario that cannot be played.
#[derive(Debug, Error)]
pub enum BadScenario {
    /// The file cannot be read.
    #[error("cannot read the scenario {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no TOML, or not of the right shape.
    #[error("the scenario is not understood")]
    Toml(#[from] toml::de::Error),
    /// It is no JSON, or not of the right shape.
    #[error("the scenario is not understood")]
    Json(#[from] serde_json::Error),
    /// A moment or period that is no duration.
    #[error("`{text}` is no duration such as \"2s\" or \"150ms\"")]
    Duration {
        /// What is written.
        text: String,
        /// Why it is none.
        source: Option<humantime::DurationError>,
    },
    /// A step is not understood.
    #[error("step {number} of the scenario is not understood")]
    Step {
        /// Which, counted from 1 in the order of the file.
        number: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A step asks for what cannot be done.
    #[error("step {number} of the scenario cannot be played")]
    Change {
        /// Which, counted from 1 in the order of the file.
        number: usize,
        /// Why.
        source: BadChange,
    },
    /// Nothing happens.
    #[error("the scenario has no steps")]
    Empty,
    /// It would begin anew before it ends.
    #[error("the scenario is to begin anew every {every:?}, but its last step is at {last:?}")]
    TooOften {
        /// The period.
        every: Duration,
        /// When its last step is.
        last: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Down;

    #[test]
    fn steps_come_in_the_order_of_time_from_either_form() {
        let toml = "every = \"1m\"\n[[steps]]\nat = \"2s\"\ndown = false\n[[steps]]\ndown = \"500ms\"\n";
        let json = r#"{"every":"1m","steps":[{"at":"2s","down":false},{"down":"500ms"}]}"#;
        for scenario in [Scenario::from_toml(toml).unwrap(), Scenario::from_json(json).unwrap()] {
            let steps: Vec<_> = scenario.steps().iter().map(|step| (step.at, step.change.down)).collect();
            let expected = [
                (Duration::ZERO, Some(Down::For(Duration::from_millis(500)))),
                (Duration::from_secs(2), Some(Down::Up)),
            ];
            assert_eq!((steps.as_slice(), scenario.every()), (&expected[..], Some(Duration::from_secs(60))));
        }
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "missing field `steps`"),
            ("steps = []", "no steps"),
            ("loop = 1\nsteps = []", "unknown field `loop`"),
            ("[[steps]]\nat = 2\n", "`2` is no duration"),
            ("[[steps]]\nat = \"soon\"\n", "`soon` is no duration"),
            ("[[steps]]\n[[steps]]\nfault = []\n", "step 2 of the scenario is not understood: unknown field `fault`"),
            ("[[steps]]\nredirect = { status = 200 }\n", "step 1 of the scenario cannot be played"),
            ("every = \"1s\"\n[[steps]]\nat = \"1s\"\n", "its last step is at 1s"),
        ] {
            let error = format!("{:#}", anyhow::Error::from(Scenario::from_toml(text).unwrap_err()));
            assert!(error.contains(reason), "{text}: {error}");
        }
        let missing = Scenario::read(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the scenario /no/such/file");
    }
}
