//! Rules of an upstream: which images may be pulled through it.
//!
//! # Which rule decides
//!
//! Of the rules that match, the most specific one. Compared in this order, the first difference decides:
//! 1. the image pattern: more literal characters, then fewer `**`, then fewer `*` ([`Specificity`]);
//! 2. the tag: one tag, before a pattern of tags (among them as under 1), before none;
//! 3. `deny` before `allow`;
//! 4. what stands first.
//!
//! Where none matches: without any `allow` rule everything is allowed, and the rules name what is not. With one, they name
//! what is, and everything else is denied.
//!
//! # Digests
//!
//! A digest has no tag. A rule without a tag is about digests too. A rule for tags that *allows* lets the digests of its
//! images through: a client that was given the manifest of a tag goes on by digest, for its parts and for its own platform. A rule for
//! tags that *denies* says nothing of digests: the same content may be that of a tag that is allowed.

use std::fmt;
use std::str::FromStr;

use super::image::{Reference, RepositoryName};
use super::limits;
use super::pattern::{Pattern, PatternError, Specificity};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Lets pulls through.
    Allow,
    /// Refuses them.
    Deny,
}

/// A pattern of repository names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImagePattern(Pattern);

/// A pattern of tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagPattern(Pattern);

/// A short text of one line that is shown to whoever is denied: why, or what to use instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note(String);

/// The text is no [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not one line of 1 to {} characters", limits::RULE_NOTE_MAX)]
pub struct NoteError;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What it does.
    pub effect: Effect,
    /// Of which images.
    pub image: ImagePattern,
    /// Of which of their tags; all, and digests, where there is none.
    pub tag: Option<TagPattern>,
    /// Which image to use instead.
    pub instead: Option<Note>,
    /// Why.
    pub reason: Option<Note>,
}

/// The rules of an upstream, at most [`limits::RULES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rules(Vec<Rule>);

/// More rules than an upstream may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("are more than {}", limits::RULES_MAX)]
pub struct TooManyRules;

/// What the rules say of a pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it is let through.
    pub allowed: bool,
    /// The place of the rule that decided, from 0; none where no rule matched.
    pub rule: Option<usize>,
}

impl ImagePattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ImagePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let allowed =
            |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '.' | '_' | '-' | '/');
        if text.starts_with('/') || text.ends_with('/') || text.contains("//") {
            return Err(PatternError::Character);
        }
        Pattern::parse(text, limits::REPOSITORY_NAME_MAX, allowed).map(Self)
    }
}

impl TagPattern {
    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
        Pattern::parse(text, limits::TAG_MAX, allowed).map(Self)
    }
}

impl Note {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let fits = text.chars().nth(limits::RULE_NOTE_MAX).is_none();
        let valid = fits && !text.trim().is_empty() && !text.contains(char::is_control);
        if valid { Ok(Self(text.to_owned())) } else { Err(NoteError) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Rules {
    /// These rules, in this order.
    ///
    /// # Errors
    /// Where there are more than [`limits::RULES_MAX`].
    pub fn new(rules: Vec<Rule>) -> Result<Self, TooManyRules> {
        if rules.len() > limits::RULES_MAX { Err(TooManyRules) } else { Ok(Self(rules)) }
    }

    /// The rules, in order.
    pub fn as_slice(&self) -> &[Rule] {
        &self.0
    }
}

/// How specific a rule is; the greater decides.
type Weight = (Specificity, TagWeight, bool);

/// One tag is narrower than a pattern of tags, which is narrower than all of them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum TagWeight {
    All,
    Some(Specificity),
    One,
}

impl Rule {
    fn matches(&self, repository: &RepositoryName, reference: &Reference) -> bool {
        let is_of_the_tag = match (&self.tag, reference) {
            (None, _) => true,
            (Some(pattern), Reference::Tag(tag)) => pattern.0.matches(tag.as_str()),
            (Some(_), Reference::Digest(_)) => self.effect == Effect::Allow,
        };
        is_of_the_tag && self.image.0.matches(repository.as_str())
    }

    fn weight(&self) -> Weight {
        let tag = match &self.tag {
            None => TagWeight::All,
            Some(pattern) if pattern.0.is_exact() => TagWeight::One,
            Some(pattern) => TagWeight::Some(pattern.0.specificity()),
        };
        (self.image.0.specificity(), tag, self.effect == Effect::Deny)
    }
}

/// Whether `repository` may be pulled by `reference`, the name being the one that clients use. The module says by which rule.
pub fn decide(rules: &Rules, repository: &RepositoryName, reference: &Reference) -> Verdict {
    let matching = rules.0.iter().enumerate().filter(|(_, rule)| rule.matches(repository, reference));
    // Of equals, `max_by` takes the last: backwards, that is the first.
    match matching.rev().max_by_key(|(_, rule)| rule.weight()) {
        Some((at, rule)) => Verdict { allowed: rule.effect == Effect::Allow, rule: Some(at) },
        None => Verdict { allowed: rules.0.iter().all(|rule| rule.effect == Effect::Deny), rule: None },
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
