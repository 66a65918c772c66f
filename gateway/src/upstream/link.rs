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
        let (target, mut after) = rest.split_once('<')?.1.split_once('>')?;
        let mut relation = None;
        loop {
            let (parameter, end, following) = parameter(after);
            // Of two relations the first counts (RFC 8288 §3.3).
            relation = relation.or_else(|| relation_of(parameter));
            after = following;
            if end != Some(';') {
                break;
            }
        }
        if relation.is_some_and(|names| names.split_ascii_whitespace().any(|name| name.eq_ignore_ascii_case("next"))) {
            return Some(target);
        }
        rest = after;
    }
}

/// The text up to a `;` or `,` outside quotes, which of them ended it, and what follows: a comma ends the link.
fn parameter(text: &str) -> (&str, Option<char>, &str) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' | ',' if !quoted => return (&text[..at], Some(character), &text[at + 1..]),
            _ => {}
        }
    }
    (text, None, "")
}

/// The names in a `rel`, if the parameter is one.
fn relation_of(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
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
        for text in [r#"</a?x>; rel="prev""#, "", "rel=next", "<", "</a?x>"] {
            assert_eq!(of(text), Ok(None), "{text}");
        }
        // Words inside a quoted text are no parameters, and of two relations the first counts.
        for parameters in
            ["title=\"rel=next\"", "title=\"a; rel=next\"", r#"title="\"; rel=next""#, "rel=prev;rel=next"]
        {
            assert_eq!(of(&format!("</a?x>; {parameters}")), Ok(None), "{parameters}");
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

    /// A link as it is meant: its query, and parameters with how each is written.
    type Meant = (String, Vec<(String, String)>);

    fn meant() -> impl Strategy<Value = Meant> {
        let name = "(?i-u:rel)|title|anchor|x";
        let value = "(?i-u:next|prev|last next|last)|[ a-z;,=<>\"\\\\]{0,8}|rel=next";
        ("[a-z0-9=&%_.-]{1,9}", proptest::collection::vec((name, value), 0..4))
    }

    fn written((query, parameters): &Meant) -> String {
        let parameter = |(name, value): &(String, String)| {
            let plain = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_lowercase());
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            if plain { format!("; {name}={value}") } else { format!(" ;{name}=\"{escaped}\"") }
        };
        format!("</v2/a/tags/list?{query}>{}", parameters.iter().map(parameter).collect::<String>())
    }

    fn leads_on((_, parameters): &&Meant) -> bool {
        let relation = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case("rel"));
        relation.is_some_and(|(_, value)| value.split(' ').any(|name| name.eq_ignore_ascii_case("next")))
    }

    proptest! {
        /// However links are written, the first one that leads on is followed, and no other.
        #[test]
        fn what_is_meant_is_followed(links in proptest::collection::vec(meant(), 0..4)) {
            let text = links.iter().map(written).collect::<Vec<_>>().join(", ");
            let expected = links.iter().find(leads_on).map(|(query, _)| query.clone());
            prop_assert_eq!(of(&text), Ok(expected), "{}", text);
        }

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
