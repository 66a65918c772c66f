//! Texts with wildcards: `*` stands for any characters within a segment, `**` for any at all. Segments are divided by `/`.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use super::limits;

/// A pattern of images, tags, projects or claims.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    Byte(u8),
    /// `*`
    Within,
    /// `**`
    Across,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty.
    #[error("can't be blank")]
    Blank,
    /// Longer than allowed.
    #[error("is too long (maximum is {0} characters)")]
    Long(usize),
    /// More than two stars side by side.
    #[error("has more than two * side by side")]
    Stars,
    /// A character that what it is for cannot have: it would never match.
    #[error("has a character that never occurs there")]
    Character,
}

/// How narrow a pattern is: the greater, the narrower. More literal characters come first, then fewer `**`, then fewer `*`. What
/// matches a part of what another one matches is never below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    literal: usize,
    across: Reverse<usize>,
    within: Reverse<usize>,
}

impl Pattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it stands for one text only.
    pub fn is_exact(&self) -> bool {
        self.tokens.iter().all(|token| matches!(token, Token::Byte(_)))
    }

    /// How narrow it is.
    pub fn specificity(&self) -> Specificity {
        let count = |wanted: Token| self.tokens.iter().filter(|token| **token == wanted).count();
        let (across, within) = (count(Token::Across), count(Token::Within));
        Specificity { literal: self.tokens.len() - across - within, across: Reverse(across), within: Reverse(within) }
    }

    /// Whether it stands for `text`.
    ///
    /// Walks back to the last `*`, and where that would cross a `/`, to the last `**`: whatever an earlier wildcard could take
    /// instead, a later `**` can take too, and a later `*` of the segment would meet the same `/`. So it takes the product of the
    /// lengths at worst, whoever wrote pattern and text.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut at, mut token) = (0, 0);
        let (mut within, mut across) = (None, None);
        loop {
            match self.tokens.get(token) {
                Some(Token::Across) => {
                    token += 1;
                    (across, within) = (Some((token, at)), None);
                    continue;
                }
                Some(Token::Within) => {
                    token += 1;
                    within = Some((token, at));
                    continue;
                }
                Some(Token::Byte(byte)) if text.get(at) == Some(byte) => {
                    (at, token) = (at + 1, token + 1);
                    continue;
                }
                None if at == text.len() => return true,
                _ => {}
            }
            // It does not go on here: the last wildcard takes one more.
            if let Some((next, taken)) = within
                && text.get(taken).is_some_and(|byte| *byte != b'/')
            {
                within = Some((next, taken + 1));
                (token, at) = (next, taken + 1);
            } else if let Some((next, taken)) = across
                && taken < text.len()
            {
                (across, within) = (Some((next, taken + 1)), None);
                (token, at) = (next, taken + 1);
            } else {
                return false;
            }
        }
    }

    /// A pattern of at most `most` characters, whose literal ones are `allowed`.
    pub(super) fn parse(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Blank);
        }
        if text.chars().nth(most).is_some() {
            return Err(PatternError::Long(most));
        }
        if text.contains("***") {
            return Err(PatternError::Stars);
        }
        if !text.chars().all(|char| char == '*' || allowed(char)) {
            return Err(PatternError::Character);
        }
        let mut tokens = Vec::with_capacity(text.len());
        for byte in text.bytes() {
            match (byte, tokens.last_mut()) {
                (b'*', Some(last @ Token::Within)) => *last = Token::Across,
                (b'*', _) => tokens.push(Token::Within),
                (byte, _) => tokens.push(Token::Byte(byte)),
            }
        }
        Ok(Self { text: text.to_owned(), tokens })
    }
}

/// Any text that shows: what claims and projects are matched by.
impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text, limits::PATTERN_MAX, |char| !char.is_control())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn stars_stay_in_their_segment_or_do_not() {
        for (text, yes, no) in [
            ("library/python", &["library/python"][..], &["library/python3", "xlibrary/python", "library", ""][..]),
            ("library/*", &["library/a", "library/"], &["library/a/b", "library", "other/a"]),
            ("library/**", &["library/a", "library/a/b"], &["library"]),
            ("**", &["", "a", "a/b/c"], &[]),
            ("*", &["", "a"], &["a/b", "/"]),
            ("*/*", &["a/b", "/"], &["a", "a/b/c"]),
            ("**/python", &["a/python", "a/b/python"], &["python", "a/python/b"]),
            ("a*b*c", &["abc", "axbybzc", "abbcc"], &["ab", "acb", "a/bc"]),
            ("**a*b", &["ab", "x/y/azb", "a/ab"], &["a/b", "ab/c"]),
            ("3.1*", &["3.1", "3.11-slim"], &["3.2", "13.1"]),
            ("project_path:g/*:ref:**", &["project_path:g/p:ref:heads/main"], &["project_path:g/p/q:ref:main"]),
        ] {
            for matched in yes {
                assert!(pattern(text).matches(matched), "{text} is {matched}");
            }
            for other in no {
                assert!(!pattern(text).matches(other), "{text} is not {other}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for (text, error) in [
            ("", PatternError::Blank),
            ("a***", PatternError::Stars),
            ("a\nb", PatternError::Character),
            (&"a".repeat(256), PatternError::Long(255)),
        ] {
            assert_eq!(text.parse::<Pattern>(), Err(error), "{text}");
        }
        assert!("ä".repeat(255).parse::<Pattern>().is_ok(), "characters count");
    }

    #[test]
    fn narrower_is_greater() {
        for ordered in [
            &["**", "*", "a**", "a*", "a", "ab", "a*b*c", "abc*", "abcd"][..],
            &["library/**", "library/*", "library/*-slim", "library/python"],
        ] {
            for pair in ordered.windows(2) {
                assert!(pattern(pair[0]).specificity() < pattern(pair[1]).specificity(), "{pair:?}");
            }
        }
    }

    /// The grammar's own words, without a thought for how long it takes.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        let ends = |rest: &[u8], stays: bool| {
            let room = text.iter().take_while(|byte| !stays || **byte != b'/').count();
            (0..=room).any(|taken| naive(rest, &text[taken..]))
        };
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => ends(rest, false),
            [b'*', rest @ ..] => ends(rest, true),
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    /// Few letters, so that there is something to go back for.
    fn written() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![3 => "[ab]", 1 => "/", 2 => Just("*".to_owned()), 1 => Just("**".to_owned())],
            1..9,
        )
        .prop_map(|parts| parts.concat())
        .prop_filter("more stars than a pattern has", |text| !text.contains("***"))
    }

    proptest! {
        #[test]
        fn it_matches_what_the_grammar_says(written in written(), text in "[ab/]{0,9}") {
            prop_assert_eq!(pattern(&written).matches(&text), naive(written.as_bytes(), text.as_bytes()));
        }

        /// What a text is made of, it matches: random texts alone rarely do.
        #[test]
        fn it_matches_what_was_made_of_it(written in written(), parts in proptest::collection::vec("[ab/]{0,3}", 9)) {
            let mut parts = parts.into_iter();
            let (mut text, mut rest) = (String::new(), written.as_str());
            while let Some(char) = rest.chars().next() {
                let part = if char == '*' { parts.next().unwrap_or_default() } else { String::new() };
                if let Some(after) = rest.strip_prefix("**") {
                    text.push_str(&part);
                    rest = after;
                } else if let Some(after) = rest.strip_prefix('*') {
                    text.push_str(&part.replace('/', ""));
                    rest = after;
                } else {
                    text.push(char);
                    rest = &rest[1..];
                }
            }
            prop_assert!(pattern(&written).matches(&text), "{} is {}", written, text);
        }

        /// A wildcard that gives way to something narrower makes a pattern that is narrower.
        #[test]
        fn what_is_narrower_is_more_specific(
            (before, after) in ("[ab/*]{0,4}", "[ab/*]{0,4}"),
            wild in "[*]{1,2}",
            by in "[ab]?",
        ) {
            let (wide, narrow) = (format!("{before}{wild}{after}"), format!("{before}{}{by}{after}", &wild[1..]));
            if let (Ok(wide), Ok(narrow)) = (wide.parse::<Pattern>(), narrow.parse::<Pattern>()) {
                prop_assert!(wide.specificity() < narrow.specificity(), "{} < {}", wide, narrow);
            }
        }
    }
}
