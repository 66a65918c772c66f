//! Lists as upstreams write them, and as they must not.

use proptest::prelude::*;

use super::*;

fn tags(body: &str) -> Option<Vec<String>> {
    Some(read_tags(body.as_bytes(), 0).ok()?.iter().map(Tag::to_string).collect())
}

#[test]
fn a_page_of_tags() {
    let some = |tags: &[&str]| Some(tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
    for (body, expected) in [
        (r#"{"name":"a","tags":["1","b"]}"#, some(&["1", "b"])),
        (r#"{"tags":["\u0031","a b","../x","","1"]}"#, some(&["1", "1"])),
        (r#"{"name":"a","tags":null}"#, some(&[])),
        (r#"{"name":"a"}"#, some(&[])),
        (r#"{"tags":[7]}"#, None),
        (r#"{"tags":"1"}"#, None),
        ("<html>", None),
        ("", None),
    ] {
        assert_eq!(tags(body), expected, "{body}");
    }
}

#[test]
fn a_list_has_an_end() {
    let body = |count: usize| format!(r#"{{"tags":["" {}]}}"#, r#","""#.repeat(count - 1));
    assert!(read_tags(body(limits::TAGS_MAX).as_bytes(), 0).is_ok_and(|tags| tags.is_empty()));
    assert!(read_tags(body(limits::TAGS_MAX + 1).as_bytes(), 0).is_err());
    assert!(read_tags(body(2).as_bytes(), limits::TAGS_MAX - 1).is_err());
    // Every page is another one, or the list goes round.
    let mut trail = Trail::default();
    for page in 0..limits::LISTING_PAGES_MAX - 1 {
        assert!(trail.follow(page.to_string()).is_ok(), "{page}");
    }
    assert!(trail.follow("3".to_owned()).is_err());
    assert!(trail.follow("one more".to_owned()).is_err());
}

proptest! {
    /// The tags among the texts, in their order, and nothing that is no tag.
    #[test]
    fn tags_are_kept_and_nothing_else(texts in prop::collection::vec("[a-zA-Z0-9_.-]{0,6}|\\PC{0,4}|[./]{1,3}", 0..9)) {
        let body = serde_json::json!({ "name": "a", "tags": texts }).to_string();
        let expected: Vec<String> = texts.into_iter().filter(|text| text.parse::<Tag>().is_ok()).collect();
        prop_assert_eq!(tags(&body), Some(expected));
    }

    #[test]
    fn damaged_lists_have_an_answer(at: prop::sample::Index, byte: u8, random in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut body = br#"{"name":"library/alpine","tags":["3.20","latest",null,"\u00e9"]}"#.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        for body in [body, random] {
            if let Ok(tags) = read_tags(&body, 0) {
                prop_assert!(tags.len() <= 4);
            }
        }
    }
}
