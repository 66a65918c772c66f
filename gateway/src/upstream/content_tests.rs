//! What is read from the head of an answer, and how far a body is.

use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn a_body_is_what_it_says_and_no_larger() {
    let read = |encoding: &'static str, length: &'static str, pieces: &'static [&'static [u8]]| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        let body = futures::stream::iter(pieces).map(|piece| Ok(Bytes::from_static(piece))).boxed();
        read_body(Response { status: StatusCode::OK, headers, body }, 4, "list")
    };
    assert_eq!(read("identity", "4", &[b"ab", b"cd"]).await.ok().as_deref(), Some(&b"abcd"[..]));
    assert!(matches!(read("identity", "5", &[b"abc", b"de"]).await, Err(Fault::BadAnswer(_))), "larger than wanted");
    assert!(matches!(read("identity", "4", &[b"abc"]).await, Err(Fault::Connection(_))), "cut short");
    assert!(matches!(read("gzip", "2", &[b"ab"]).await, Err(Fault::BadAnswer(_))), "packed");
}

#[test]
fn content_ranges() {
    assert_eq!(
        (whole_size("bytes 0-0/10"), whole_size("bytes */0"), whole_size("bytes 0-0/*")),
        (Some(10), Some(0), None)
    );
    assert_eq!(parse_content_range("bytes 5-9/10"), Some((5, Some(10))));
    assert_eq!(parse_content_range("bytes 5-9/*"), Some((5, None)));
    for text in [
        "",
        "bytes",
        "bytes */10",
        "items 1-2/3",
        "bytes x-2/3",
        "bytes 1-x/3",
        "bytes +1-2/3",
        "bytes 2-1/3",
        "bytes 1-3/3",
        "bytes 1-2/",
        "bytes 1-2/x",
    ] {
        assert_eq!(parse_content_range(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn a_part_of_a_whole_is_read_as_it_is_written(first: u64, length in 1_u64..9, more in 0_u64..9, known: bool) {
        let Some(size) = first.checked_add(length).and_then(|end| end.checked_add(more)) else { return Ok(()) };
        let (last, shown) = (first + length - 1, if known { size.to_string() } else { "*".to_owned() });
        let text = format!("bytes {first}-{last}/{shown}");
        prop_assert_eq!(parse_content_range(&text), Some((first, known.then_some(size))));
        prop_assert_eq!(whole_size(&text), known.then_some(size));
    }

    /// What is understood could have been written by somebody who means it.
    #[test]
    fn what_is_read_lies_within(text in "bytes [0-9+]{1,3}-[0-9]{0,3}/([0-9+]{1,3}|\\*)|[bytes 0-9*/-]{0,20}") {
        if let Some((first, size)) = parse_content_range(&text) {
            let last: u64 = text.split(['-', '/']).nth(1).expect("a last byte").parse().expect("a number");
            prop_assert!(first <= last && size.is_none_or(|size| last < size), "{}", text);
            prop_assert!(!text.contains('+'));
        }
    }
}
