//! Repository names, tags and references (OCI distribution spec, "Pulling manifests").

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::digest::{Digest, DigestError};
use super::limits;

/// A repository name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*`, at most 255 bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

/// What stands behind `/manifests/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// A content address.
    Digest(Digest),
}

/// Why a text names no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a repository name of the distribution spec.
    #[error(
        "not a repository name: expected lower-case letters, digits and single separators (. _ __ -) in \
         parts divided by /, at most 255 characters"
    )]
    Repository,
    /// Not a tag of the distribution spec.
    #[error("not a tag: expected letters, digits, _ . - (not . or - first), at most 128 characters")]
    Tag,
    /// Has a colon, so it is meant as a digest, and is none.
    #[error("not a digest: {0}")]
    Digest(DigestError),
}

impl RepositoryName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one word, without a namespace.
    pub fn is_one_word(&self) -> bool {
        !self.0.contains('/')
    }

    /// `prefix/self`.
    pub fn under(&self, prefix: &RepositoryName) -> Result<Self, NameError> {
        format!("{prefix}/{self}").parse()
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= limits::REPOSITORY_NAME_MAX && text.split('/').all(is_path_component) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Repository)
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(first) || !alphanumeric(last) {
        return false;
    }
    bytes.split(alphanumeric).all(|separator| match separator {
        [] | b"." | b"_" | b"__" => true,
        dashes => dashes.iter().all(|byte| *byte == b'-'),
    })
}

impl Tag {
    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut bytes = text.bytes();
        let valid = text.len() <= limits::TAG_MAX
            && bytes.next().is_some_and(word)
            && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if valid { Ok(Self(text.into())) } else { Err(NameError::Tag) }
    }
}

impl Reference {
    /// The digest, where the reference is one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Tag(_) => None,
        }
    }
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains(':') {
            text.parse().map(Self::Digest).map_err(NameError::Digest)
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => fmt::Display::fmt(tag, f),
            Self::Digest(digest) => fmt::Display::fmt(digest, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_spec() {
        for name in ["a", "library/alpine", "a/b/c/d/e", "a.b", "a_b", "a__b", "a-b", "a---b", "0/1", "x-y.z_w/q"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        let long = "a".repeat(256);
        for name in
            ["", "/", "a/", "/a", "a//b", "A", "a___b", "a..b", "-a", "a-", "a._b", "a b", "a:b", "ä", "a/../b", &long]
        {
            assert_eq!(name.parse::<RepositoryName>(), Err(NameError::Repository), "{name}");
        }
    }

    #[test]
    fn tags_of_the_spec() {
        for tag in ["latest", "3.20", "_x", "V1-rc.1", &"a".repeat(128)] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in ["", ".a", "-a", "a b", "a/b", "ä", &"a".repeat(129)] {
            assert_eq!(tag.parse::<Tag>(), Err(NameError::Tag), "{tag}");
        }
    }

    #[test]
    fn a_colon_means_a_digest() {
        assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
        assert!(matches!(Digest::sha256(b"").to_string().parse(), Ok(Reference::Digest(_))));
        assert_eq!("sha256:00".parse::<Reference>(), Err(NameError::Digest(DigestError::Encoded)));
    }

    /// The grammar of the spec, read from left to right: words, and one separator between two of them.
    fn is_name(text: &str) -> bool {
        fn after_word(text: &str) -> Option<&str> {
            let rest = text.trim_start_matches(|c: char| matches!(c, 'a'..='z' | '0'..='9'));
            (rest.len() < text.len()).then_some(rest)
        }
        let Some(mut rest) = after_word(text) else { return false };
        while !rest.is_empty() {
            let dashes = rest.trim_start_matches('-');
            let separated = ["/", ".", "__", "_"].iter().find_map(|separator| rest.strip_prefix(separator));
            let separated = separated.unwrap_or(dashes);
            match after_word(separated) {
                Some(following) if separated.len() < rest.len() => rest = following,
                _ => return false,
            }
        }
        text.len() <= 255
    }

    fn is_tag(text: &str) -> bool {
        let characters: Vec<char> = text.chars().collect();
        (1..=128).contains(&characters.len())
            && !matches!(characters[0], '.' | '-')
            && characters.iter().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-'))
    }

    /// Names, what is nearly one, names at the limit of their length, and anything.
    fn nearly_a_name() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}){0,3}",
            4 => "[ab0._/-]{0,12}",
            2 => "[a0]{1,3}[._/A%2f\\\\é\\x00:@ -]{1,3}[a0/]{1,3}",
            1 => (250_usize..260).prop_map(|length| "a/".repeat(length / 2) + &"b".repeat(1 + length % 2)),
            1 => "\\PC{0,40}",
        ]
    }

    proptest! {
        #[test]
        fn a_text_is_a_name_exactly_where_the_grammar_says_so(text in nearly_a_name()) {
            let parsed = text.parse::<RepositoryName>();
            prop_assert_eq!(parsed.is_ok(), is_name(&text), "{}", text);
            if let Ok(name) = parsed {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        /// A name below a prefix is a name again, or too long; never one that leads elsewhere.
        #[test]
        fn a_name_below_a_prefix_is_a_name(prefix in nearly_a_name(), text in nearly_a_name()) {
            if let (Ok(prefix), Ok(name)) = (prefix.parse::<RepositoryName>(), text.parse::<RepositoryName>()) {
                let whole = format!("{prefix}/{name}");
                let below = name.under(&prefix);
                prop_assert_eq!(below.as_ref().map(RepositoryName::as_str).ok(), is_name(&whole).then_some(&*whole));
            }
        }

        #[test]
        fn a_text_is_a_tag_exactly_where_the_grammar_says_so(
            text in prop_oneof!["[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", "[aZ_.:/ é-]{0,8}", "[a.]{126,130}", "\\PC{0,40}"]
        ) {
            prop_assert_eq!(text.parse::<Tag>().is_ok(), is_tag(&text), "{}", text);
            let reference = text.parse::<Reference>();
            prop_assert!(text.contains(':') || reference.is_ok() == is_tag(&text), "{}", text);
            if let Ok(reference) = reference {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }
}
