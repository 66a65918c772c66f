//! Their `Link` (RFC 8288): where a list goes on.

use http::HeaderMap;
use http::header::LINK;
use roadstead_proto::domain::limits;

/// The query of the next part of a list. Only the query: whatever host and path a registry writes into the link, the next
/// part is asked of the same list at the same upstream.
///
/// # Errors
/// Where there is a next part and its address cannot be used: taking the list for whole would hide what follows.
pub(super) fn next(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    for value in headers.get_all(LINK) {
        let text = value.to_str().map_err(|_| "a Link that is no text")?;
        if let Some(target) = target_of_next(text) {
            let query = target.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
            return match query.len() {
                0 => Err("a Link to the list itself"),
                1..=limits::LISTING_QUERY_MAX => Ok(Some(query.to_owned())),
                _ => Err("a Link that is too long"),
            };
        }
    }
    Ok(None)
}

/// The target of the first link whose relation is `next`.
fn target_of_next(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let (parameters, following) = parameters(after);
        if parameters.split(';').any(is_next) {
            return Some(target);
        }
        rest = following;
    }
}

/// What belongs to this link, and what follows it: a comma outside quotes ends a link.
fn parameters(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_str(text).unwrap());
        next(&headers)
    }

    #[test]
    fn as_registries_write_it() {
        for (text, query) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, "last=b&n=2"),
            (r#"<https://registry.example/v2/a/tags/list?n=2&last=b%2Bc>;rel=next"#, "n=2&last=b%2Bc"),
            (r#"</v2/a/tags/list?next_page=gAAA-_%3D%3D&n=50>; rel="next""#, "next_page=gAAA-_%3D%3D&n=50"),
            (r#"</first?x=1>; rel="prev"; title="a, b", </second?y=2>; REL="last Next""#, "y=2"),
            (r#"</a?q#fragment>; rel="next""#, "q"),
        ] {
            assert_eq!(of(text), Ok(Some(query.to_owned())), "{text}");
        }
        for text in [r#"</a?x>; rel="prev""#, "", "rel=next", "<", "</a?x>", r#"</a?x>; title="rel=next""#] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
        assert_eq!(next(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn a_next_that_leads_nowhere_is_no_end() {
        let long = format!("</a?{}>; rel=next", "x".repeat(5000));
        for text in ["</v2/a/tags/list>; rel=next", "</a?>; rel=next", &long] {
            assert!(of(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[<>;,=\"a-z? ]{0,40}|\\PC{0,40}") {
            if let Ok(value) = HeaderValue::from_str(&text) {
                let mut headers = HeaderMap::new();
                headers.insert(LINK, value);
                let _ = next(&headers);
            }
        }
    }
}
