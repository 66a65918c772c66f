//! Which rule decides: as a table, and against a second reading of the same words.

use proptest::prelude::*;

use super::*;
use crate::domain::digest::Digest;

/// `allow image`, `deny image:tag`.
fn rule(text: &str) -> Rule {
    let (effect, pattern) = text.split_once(' ').unwrap();
    let (image, tag) = pattern.split_once(':').map_or((pattern, None), |(image, tag)| (image, Some(tag)));
    Rule {
        effect: if effect == "allow" { Effect::Allow } else { Effect::Deny },
        image: image.parse().unwrap(),
        tag: tag.map(|tag| tag.parse().unwrap()),
        instead: None,
        reason: None,
    }
}

fn rules(texts: &[&str]) -> Rules {
    Rules::new(texts.iter().map(|text| rule(text)).collect()).unwrap()
}

/// `library/python:3.11`, or `library/python@` for a digest of it.
fn decided(rules: &Rules, pulled: &str) -> (bool, Option<usize>) {
    let (name, reference) = match pulled.strip_suffix('@') {
        Some(name) => (name, Reference::Digest(Digest::sha256(b""))),
        None => {
            let (name, tag) = pulled.split_once(':').unwrap();
            (name, tag.parse().unwrap())
        }
    };
    let Verdict { allowed, rule } = decide(rules, &name.parse().unwrap(), &reference);
    (allowed, rule)
}

#[test]
fn the_most_specific_rule_decides() {
    const PYTHON: &str = "library/python:3.11";
    for (texts, pulled, expected) in [
        (&[][..], PYTHON, (true, None)),
        // What the rules do not name.
        (&["deny library/node"], PYTHON, (true, None)),
        (&["allow library/node"], PYTHON, (false, None)),
        (&["allow library/node", "deny library/ruby"], PYTHON, (false, None)),
        (&["allow library/python"], PYTHON, (true, Some(0))),
        (&["deny library/python"], PYTHON, (false, Some(0))),
        // The image before the tag.
        (&["deny **", "allow library/*"], PYTHON, (true, Some(1))),
        (&["deny library/*", "allow library/**"], PYTHON, (false, Some(0))),
        (&["deny library/*:3.11", "allow library/python"], PYTHON, (true, Some(1))),
        (&["allow library/*", "deny **/*python"], PYTHON, (true, Some(0))),
        // The tag, where the images are alike.
        (&["deny library/python", "allow library/python:3.*"], PYTHON, (true, Some(1))),
        (&["deny library/python:3.*", "allow library/python:3.11"], PYTHON, (true, Some(1))),
        (&["deny library/python:3.1*", "allow library/python:3.*"], PYTHON, (false, Some(0))),
        (&["deny library/python:3.11", "allow library/python:3.1*"], "library/python:3.12", (true, Some(1))),
        // Ties.
        (&["allow library/python", "deny library/python"], PYTHON, (false, Some(1))),
        (&["deny library/python", "deny library/python"], PYTHON, (false, Some(0))),
        (&["allow library/pyth*", "deny *ibrary/pyth*"], PYTHON, (true, Some(0))),
        // Digests.
        (&["deny library/python"], "library/python@", (false, Some(0))),
        (&["deny library/python:3.11"], "library/python@", (true, None)),
        (&["allow library/python:3.11"], "library/python@", (true, Some(0))),
        (&["allow library/python:3.11"], "library/node@", (false, None)),
        (&["deny library/python", "allow library/python:3.11"], "library/python@", (true, Some(1))),
        (&["allow library/python", "deny library/python:3.11"], "library/python@", (true, Some(0))),
    ] {
        assert_eq!(decided(&rules(texts), pulled), expected, "{texts:?} {pulled}");
    }
}

#[test]
fn what_is_no_rule() {
    for image in ["", "Library/x", "a b", "/a", "a/", "a//b", "a:b", "a@b", "***"] {
        assert!(image.parse::<ImagePattern>().is_err(), "{image}");
    }
    for tag in ["", "a/b", "a:b", "a b", "***"] {
        assert!(tag.parse::<TagPattern>().is_err(), "{tag}");
    }
    for note in ["", "  ", "a\nb", "a\tb", &"x".repeat(limits::RULE_NOTE_MAX + 1)] {
        assert_eq!(note.parse::<Note>(), Err(NoteError), "{note}");
    }
    assert!(Rules::new(vec![rule("deny a"); limits::RULES_MAX]).is_ok());
    assert_eq!(Rules::new(vec![rule("deny a"); limits::RULES_MAX + 1]), Err(TooManyRules));
}

fn drawn() -> impl Strategy<Value = Vec<(bool, String, Option<String>)>> {
    let image = prop_oneof!["[ab*]{1,2}(/[ab*]{1,2}){0,1}", "(a|b)(/(a|b)){0,1}"];
    let tag = proptest::option::of(prop_oneof!["[ab*]{1,2}", "a|b"]);
    proptest::collection::vec((any::<bool>(), image, tag), 0..6)
}

/// Whether `one` goes before `other`, as the module's text has it.
fn goes_before(one: (usize, &Rule), other: (usize, &Rule)) -> bool {
    let stars = |text: &str| {
        let across = text.matches("**").count();
        (text.chars().filter(|char| *char != '*').count(), across, text.matches('*').count() - 2 * across)
    };
    let narrower = |one: &str, other: &str| {
        let ((literal, across, within), (others, across_other, within_other)) = (stars(one), stars(other));
        if literal != others {
            return Some(literal > others);
        }
        if across != across_other {
            return Some(across < across_other);
        }
        (within != within_other).then_some(within < within_other)
    };
    if let Some(is_narrower) = narrower(one.1.image.as_str(), other.1.image.as_str()) {
        return is_narrower;
    }
    match (&one.1.tag, &other.1.tag) {
        (Some(_), None) => return true,
        (None, Some(_)) => return false,
        (None, None) => {}
        (Some(a), Some(b)) => match (a.as_str().contains('*'), b.as_str().contains('*')) {
            (false, true) => return true,
            (true, false) => return false,
            (false, false) => {}
            (true, true) => {
                if let Some(is_narrower) = narrower(a.as_str(), b.as_str()) {
                    return is_narrower;
                }
            }
        },
    }
    if one.1.effect != other.1.effect {
        return one.1.effect == Effect::Deny;
    }
    one.0 < other.0
}

proptest! {
    #[test]
    fn it_decides_as_the_words_say(
        drawn in drawn(),
        name in "(a|b|aa|ab)(/(a|b|ab)){0,1}",
        reference in prop_oneof![3 => "(a|b|ab)".prop_map(Some), 1 => Just(None)],
    ) {
        let rule = |(allow, image, tag): (bool, String, Option<String>)| {
            Some(Rule {
                effect: if allow { Effect::Allow } else { Effect::Deny },
                image: image.parse().ok()?,
                tag: tag.map(|tag| tag.parse()).transpose().ok()?,
                instead: None,
                reason: None,
            })
        };
        let rules = Rules::new(drawn.into_iter().filter_map(rule).collect()).unwrap();
        let repository: RepositoryName = name.parse().unwrap();
        let reference = match reference {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(Digest::sha256(b"")),
        };
        let mut best: Option<(usize, &Rule)> = None;
        for (at, rule) in rules.as_slice().iter().enumerate() {
            let is_of_the_tag = match (&rule.tag, &reference) {
                (None, _) => true,
                (Some(pattern), Reference::Tag(tag)) => pattern.as_str().parse::<Pattern>().unwrap().matches(tag.as_str()),
                (Some(_), Reference::Digest(_)) => rule.effect == Effect::Allow,
            };
            let is_of_the_image = rule.image.as_str().parse::<Pattern>().unwrap().matches(repository.as_str());
            if is_of_the_tag && is_of_the_image && best.is_none_or(|best| goes_before((at, rule), best)) {
                best = Some((at, rule));
            }
        }
        let expected = match best {
            Some((at, rule)) => Verdict { allowed: rule.effect == Effect::Allow, rule: Some(at) },
            None => {
                let names_what_is_allowed = rules.as_slice().iter().any(|rule| rule.effect == Effect::Allow);
                Verdict { allowed: !names_what_is_allowed, rule: None }
            }
        };
        prop_assert_eq!(decide(&rules, &repository, &reference), expected);
    }

    /// A rule that does not match says nothing, and the order says nothing where no two rules are alike.
    #[test]
    fn order_does_not_matter_among_unequals(drawn in drawn(), name in "(a|b|ab)(/(a|b)){0,1}", tag in "(a|b|ab)") {
        let texts: Vec<_> = drawn.iter().filter_map(|(allow, image, tag)| {
            let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let text = format!("{} {image}{tag}", if *allow { "allow" } else { "deny" });
            (image.parse::<ImagePattern>().is_ok() && !tag.contains("***")).then_some(text)
        }).collect();
        let forwards = rules(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let backwards = rules(&texts.iter().rev().map(String::as_str).collect::<Vec<_>>());
        let pulled = format!("{name}:{tag}");
        prop_assert_eq!(decided(&forwards, &pulled).0, decided(&backwards, &pulled).0);
    }
}
