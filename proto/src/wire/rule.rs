//! Rules of upstreams: domain ↔ protobuf.

use super::pb::meta::v1 as pb;
use super::{DecodeError, Record};
use crate::domain::rule::{Effect, Rule, Rules};

const NAME: &str = "Rule";

impl Record for Rule {
    type Message = pb::Rule;

    fn to_message(&self) -> pb::Rule {
        let effect = match self.effect {
            Effect::Deny => pb::Effect::Deny,
            Effect::Allow => pb::Effect::Allow,
        };
        pb::Rule {
            effect: effect.into(),
            image: self.image.as_str().to_owned(),
            tag: self.tag.as_ref().map(|tag| tag.as_str().to_owned()),
            instead: self.instead.as_ref().map(|note| note.as_str().to_owned()),
            reason: self.reason.as_ref().map(|note| note.as_str().to_owned()),
        }
    }

    fn from_message(m: pb::Rule) -> Result<Self, DecodeError> {
        let note = |text: Option<String>, field: &'static str| {
            text.map(|text| text.parse()).transpose().map_err(|_| DecodeError::field(NAME, field))
        };
        Ok(Self {
            effect: match pb::Effect::try_from(m.effect) {
                Ok(pb::Effect::Deny) => Effect::Deny,
                Ok(pb::Effect::Allow) => Effect::Allow,
                Err(_) => return Err(DecodeError::field(NAME, "effect")),
            },
            image: m.image.parse().map_err(|_| DecodeError::field(NAME, "image"))?,
            tag: m.tag.map(|tag| tag.parse()).transpose().map_err(|_| DecodeError::field(NAME, "tag"))?,
            instead: note(m.instead, "instead")?,
            reason: note(m.reason, "reason")?,
        })
    }
}

pub(super) fn rules_to(rules: &Rules) -> Vec<pb::Rule> {
    rules.as_slice().iter().map(Record::to_message).collect()
}

pub(super) fn rules_from(rules: Vec<pb::Rule>) -> Result<Rules, DecodeError> {
    let rules = rules.into_iter().map(Rule::from_message).collect::<Result<_, _>>()?;
    Rules::new(rules).map_err(|_| DecodeError::field("UpstreamSettings", "rules"))
}
