//! Sizes in bytes as people write them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes: `4096`, `64MiB`, `10GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Size(pub(crate) u64);

/// The text is no size.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write a number and a unit, such as 512MiB, 4GiB or 10GB")]
pub(crate) struct SizeError(String);

/// From large to small within each family; the binary family is the one that is shown.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit.trim_start() {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?.1,
        };
        number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).map(Self).ok_or_else(error)
    }
}

impl TryFrom<String> for Size {
    type Error = SizeError;

    fn try_from(text: String) -> Result<Self, SizeError> {
        text.parse()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().take(3).find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a size means, in arithmetic that cannot overflow.
    fn meant(number: &str, unit: &str) -> Option<u64> {
        let factor: u128 = match unit {
            "" | "B" => 1,
            "kB" => 1000,
            "MB" => 1000 * 1000,
            "GB" => 1000 * 1000 * 1000,
            "KiB" => 1024,
            "MiB" => 1024 * 1024,
            "GiB" => 1024 * 1024 * 1024,
            _ => return None,
        };
        let number: u128 = number.parse().ok()?;
        u64::try_from(number.checked_mul(factor)?).ok()
    }

    proptest! {
        #[test]
        fn a_size_is_what_it_says_or_refused(number in "[0-9]{0,21}", space in " {0,2}", unit in "[kKMG]?i?B?|[a-zé.-]{0,3}") {
            let text = format!("{number}{space}{unit}");
            prop_assert_eq!(text.parse::<Size>().ok(), meant(&number, &unit).map(Size), "{}", text);
        }

        #[test]
        fn a_size_is_read_as_it_is_shown(bytes in prop_oneof![any::<u64>(), (0_u64..5000).prop_map(|mib| mib << 20)]) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }

        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,20}") {
            let _ = text.parse::<Size>();
        }
    }

    #[test]
    fn reads_what_people_write() {
        let table =
            [("0", 0), ("4096", 4096), ("10MB", 10_000_000), ("64MiB", 64 << 20), ("2 GiB", 2 << 30), ("1B", 1)];
        for (text, bytes) in table {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "1X", "-1", "1.5GiB", "99999999999GiB"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn shows_what_was_written() {
        for text in ["0B", "64MiB", "2GiB", "1KiB", "1000B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }
}
