//! `Range` (RFC 9110 §14): one range of bytes, or the whole.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything: no header, another unit than bytes, or several ranges, which a server may ignore.
    Whole,
    /// From an offset, to an inclusive last byte or the end.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Last(u64),
}

/// The range cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsatisfiable;

/// Parses the header's value. A malformed range of bytes is refused: a client that asks for a part and silently gets
/// the whole may append it to what it has.
pub fn parse(value: Option<&str>) -> Result<Wanted, Unsatisfiable> {
    let Some((unit, set)) = value.and_then(|value| value.split_once('=')) else {
        let bytes = |value: &str| value.trim_start().get(..5).is_some_and(|unit| unit.eq_ignore_ascii_case("bytes"));
        return if value.is_some_and(bytes) { Err(Unsatisfiable) } else { Ok(Wanted::Whole) };
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Ok(Wanted::Whole);
    }
    let (first, last) = set.trim().split_once('-').ok_or(Unsatisfiable)?;
    match (number(first)?, number(last)?) {
        (None, None) => Err(Unsatisfiable),
        (None, Some(length)) => Ok(Wanted::Last(length)),
        (Some(first), Some(last)) if last < first => Err(Unsatisfiable),
        (Some(first), last) => Ok(Wanted::From(first, last)),
    }
}

fn number(text: &str) -> Result<Option<u64>, Unsatisfiable> {
    if text.is_empty() {
        return Ok(None);
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Unsatisfiable);
    }
    // Beyond the end of every body, a last byte is the last one there is, and a first byte is none.
    Ok(Some(text.parse().unwrap_or(u64::MAX)))
}

impl Wanted {
    /// The half-open range of a body of `size` bytes; `None` for the whole.
    pub fn within(self, size: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
        match self {
            Self::Whole => Ok(None),
            Self::From(first, _) if first >= size => Err(Unsatisfiable),
            Self::From(first, last) => Ok(Some(first..last.map_or(size, |last| last.saturating_add(1).min(size)))),
            Self::Last(0) => Err(Unsatisfiable),
            Self::Last(_) if size == 0 => Err(Unsatisfiable),
            Self::Last(length) => Ok(Some(size.saturating_sub(length)..size)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_ten_bytes() {
        for (value, range) in [
            ("bytes=0-", Ok(Some(0..10))),
            ("bytes=3-5", Ok(Some(3..6))),
            ("Bytes = 3-5", Ok(Some(3..6))),
            ("bytes=9-9", Ok(Some(9..10))),
            ("bytes=5-99999", Ok(Some(5..10))),
            ("bytes=-4", Ok(Some(6..10))),
            ("bytes=-40", Ok(Some(0..10))),
            ("bytes=0-1,3-4", Ok(None)),
            ("items=0-1", Ok(None)),
            ("nonsense", Ok(None)),
            ("bytes=10-", Err(Unsatisfiable)),
            ("bytes=-0", Err(Unsatisfiable)),
            ("bytes=5-2", Err(Unsatisfiable)),
            ("bytes=-", Err(Unsatisfiable)),
            ("bytes=", Err(Unsatisfiable)),
            ("bytes", Err(Unsatisfiable)),
            ("bytes=a-b", Err(Unsatisfiable)),
            ("bytes=+1-2", Err(Unsatisfiable)),
            ("bytes=99999999999999999999-", Err(Unsatisfiable)),
            ("bytes=2-99999999999999999999", Ok(Some(2..10))),
            ("bytes=-99999999999999999999", Ok(Some(0..10))),
            ("Bytes", Err(Unsatisfiable)),
        ] {
            assert_eq!(parse(Some(value)).and_then(|wanted| wanted.within(10)), range, "{value}");
        }
        assert_eq!(parse(None), Ok(Wanted::Whole));
        assert_eq!(parse(Some("bytes=-1")).and_then(|wanted| wanted.within(0)), Err(Unsatisfiable));
    }

    /// The numbers of the bytes that are meant, found by asking of each whether it is.
    fn meant(first: Option<u128>, last: Option<u128>, size: u64) -> Vec<u64> {
        let is_meant = |at: &u64| match (first, last) {
            (Some(first), Some(last)) => (first..=last).contains(&u128::from(*at)),
            (Some(first), None) => u128::from(*at) >= first,
            (None, Some(length)) => u128::from(size - at) <= length,
            (None, None) => false,
        };
        (0..size).filter(is_meant).collect()
    }

    fn position() -> impl Strategy<Value = Option<u128>> {
        proptest::option::of(prop_oneof![8 => 0..60_u128, 1 => any::<u64>().prop_map(u128::from), 1 => any::<u128>()])
    }

    proptest! {
        #[test]
        fn the_bytes_that_are_meant_and_no_others(first in position(), last in position(), size in 0u64..50) {
            let text = |number: Option<u128>| number.map(|number| number.to_string()).unwrap_or_default();
            let value = format!("bytes={}-{}", text(first), text(last));
            let expected = meant(first, last, size);
            match parse(Some(&value)).and_then(|wanted| wanted.within(size)) {
                Ok(Some(range)) => prop_assert_eq!(range.collect::<Vec<_>>(), expected, "{}", value),
                Ok(None) => prop_assert!(false, "a part is asked for: {}", value),
                Err(Unsatisfiable) => prop_assert!(expected.is_empty(), "{}", value),
            }
        }

        #[test]
        fn a_range_lies_within(value in "bytes ?=?[0-9-]{0,24}", size: u64) {
            if let Ok(Some(range)) = parse(Some(&value)).and_then(|wanted| wanted.within(size)) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        /// The whole is given to nobody who asks for a part in a way we do not understand.
        #[test]
        fn a_malformed_part_is_never_the_whole(set in "[0-9a-z+ -]{0,8}", unit in "[bB][yY][tT][eE][sS] ?") {
            let parsed = parse(Some(&format!("{unit}={set}"))).and_then(|wanted| wanted.within(10));
            prop_assert!(parsed != Ok(None), "{}={}", unit, set);
        }

        #[test]
        fn never_panics(value in "\\PC{0,40}", size: u64) {
            let _ = parse(Some(&value)).and_then(|wanted| wanted.within(size));
        }
    }
}
