//! The `Range` header of a blob request. Pure.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything: no header, or one that is not understood and therefore ignored.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Several ranges; registries on some object stores answer 400.
    Several,
    /// Nothing that exists.
    Unsatisfiable,
}

pub(super) fn parse(header: Option<&str>, len: u64) -> Asked {
    let Some(spec) = header.and_then(|header| header.strip_prefix("bytes=")) else {
        return Asked::All;
    };
    if spec.contains(',') {
        return Asked::Several;
    }
    let Some((first, last)) = spec.split_once('-') else {
        return Asked::All;
    };
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(len),
        (Ok(first), Err(_)) if last.is_empty() => first..len,
        (Err(_), Ok(count)) if first.is_empty() => len.saturating_sub(count)..len,
        _ => return Asked::All,
    };
    if range.is_empty() { Asked::Unsatisfiable } else { Asked::Part(range) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_understood() {
        let table = [
            (None, Asked::All),
            (Some("bytes=0-0"), Asked::Part(0..1)),
            (Some("bytes=2-5"), Asked::Part(2..6)),
            (Some("bytes=2-"), Asked::Part(2..10)),
            (Some("bytes=2-99"), Asked::Part(2..10)),
            (Some("bytes=-3"), Asked::Part(7..10)),
            (Some("bytes=-99"), Asked::Part(0..10)),
            (Some("bytes=-0"), Asked::Unsatisfiable),
            (Some("bytes=10-"), Asked::Unsatisfiable),
            (Some("bytes=0-18446744073709551615"), Asked::Part(0..10)),
            (Some("bytes=0-1,4-5"), Asked::Several),
            (Some("bytes=5-2"), Asked::All),
            (Some("bytes=x-y"), Asked::All),
            (Some("lines=0-1"), Asked::All),
        ];
        for (header, asked) in table {
            assert_eq!(parse(header, 10), asked, "{header:?}");
        }
    }
}
