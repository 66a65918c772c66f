//! Durations as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration: `30s`, `5m`, `24h`, `7d`, `1h 30m`, or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// The text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a number and a unit, such as 30s, 5m, 24h or 7d")]
pub(crate) struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError(text.to_owned());
        let duration = humantime::parse_duration(text).map_err(|_| error())?;
        // Kept in milliseconds. Less than one would become zero, and zero is "for ever" or "never".
        duration.subsec_nanos().is_multiple_of(1_000_000).then_some(Self(duration)).ok_or_else(error)
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl fmt::Display for Span {
    /// The largest unit that leaves nothing over: `24h`, not `1day`, because that is how defaults are written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
            if millis > 0 && millis.is_multiple_of(unit) {
                return write!(f, "{}{name}", millis / unit);
            }
        }
        if millis == 0 { f.write_str("0") } else { write!(f, "{millis}ms") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Above all, no span but zero is shown, stored or meant as zero, which is "for ever" in places.
        #[test]
        fn a_span_is_read_as_it_is_shown(text in "([0-9]{1,5} ?(ns|us|ms|s|m|h)|[0-9]{1,3}(d|w)|[0-9]{1,2}(months|y))( [0-9]{1,3}(ms|s|m))?") {
            let Ok(span) = text.parse::<Span>() else { return Ok(()) };
            prop_assert_eq!(span.to_string().parse(), Ok(span), "{}", text);
            prop_assert_eq!(span.0.is_zero(), span.0.as_millis() == 0, "{}", text);
        }

        #[test]
        fn a_span_is_what_it_says(number in 0_u64..1_000_000, unit in prop::sample::select(vec!["ms", "s", "m", "h", "d"])) {
            let milliseconds = match unit { "ms" => 1, "s" => 1000, "m" => 60_000, "h" => 3_600_000, _ => 86_400_000 };
            let span: Span = format!("{number}{unit}").parse().unwrap();
            prop_assert_eq!(span.0, Duration::from_millis(number * milliseconds));
        }

        #[test]
        fn any_text_has_an_answer(text in "[0-9]{0,30}[a-zµ ]{0,4}|\\PC{0,20}") {
            let _ = text.parse::<Span>();
        }
    }

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [("0", 0), ("0s", 0), ("30s", 30), ("90m", 5400), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))), "{text}");
        }
        for text in ["", "24", "-1h", "1 fortnight", "h", "1us", "1s 1ns"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn shows_what_was_written() {
        for text in ["0", "30s", "90m", "24h", "168h", "1500ms"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }
}
