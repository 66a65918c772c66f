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
        return if value.is_some_and(|value| value.trim_start().starts_with("bytes")) {
            Err(Unsatisfiable)
        } else {
            Ok(Wanted::Whole)
        };
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
    text.parse().map(Some).map_err(|_| Unsatisfiable)
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
        ] {
            assert_eq!(parse(Some(value)).and_then(|wanted| wanted.within(10)), range, "{value}");
        }
        assert_eq!(parse(None), Ok(Wanted::Whole));
        assert_eq!(parse(Some("bytes=-1")).and_then(|wanted| wanted.within(0)), Err(Unsatisfiable));
    }

    proptest! {
        #[test]
        fn a_range_lies_within(value in "bytes ?=?[0-9-]{0,24}", size in 0u64..1000) {
            if let Ok(Some(range)) = parse(Some(&value)).and_then(|wanted| wanted.within(size)) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }

        #[test]
        fn never_panics(value in "\\PC{0,40}", size: u64) {
            let _ = parse(Some(&value)).and_then(|wanted| wanted.within(size));
        }
    }
}
