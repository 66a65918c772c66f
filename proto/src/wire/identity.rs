//! Providers of identities, claim rules and the GitLab instance: domain ↔ protobuf.

use super::command::required;
use super::pb::meta::v1 as pb;
use super::record::{role_from, role_to};
use super::{DecodeError, Record};
use crate::domain::identity::{
    Claim, ClaimRule, ClaimRuleSettings, Claims, GitLabInstance, IdentityProvider, Jwks, ProjectRule, ProjectRules,
    ProviderKind, ProviderSettings, WebUrl,
};
use crate::domain::registry::{ClaimRuleId, GroupId, IdentityProviderId};
use crate::domain::time::Timestamp;

impl Record for ProviderSettings {
    type Message = pb::ProviderSettings;

    fn to_message(&self) -> pb::ProviderSettings {
        let kind = match self.kind {
            ProviderKind::Generic => pb::ProviderKind::Generic,
            ProviderKind::GitLab => pb::ProviderKind::Gitlab,
            ProviderKind::GitHub => pb::ProviderKind::Github,
            ProviderKind::Kubernetes => pb::ProviderKind::Kubernetes,
        };
        pb::ProviderSettings {
            name: self.name.as_str().to_owned(),
            kind: kind.into(),
            issuer: self.issuer.as_str().to_owned(),
            audience: self.audience.as_str().to_owned(),
            jwks_url: match &self.jwks {
                Jwks::Discovery => None,
                Jwks::Url(url) => Some(url.as_str().to_owned()),
            },
        }
    }

    fn from_message(m: pb::ProviderSettings) -> Result<Self, DecodeError> {
        let invalid = |field| DecodeError::field("ProviderSettings", field);
        Ok(Self {
            name: m.name.parse().map_err(|_| invalid("name"))?,
            kind: match pb::ProviderKind::try_from(m.kind) {
                Ok(pb::ProviderKind::Generic) => ProviderKind::Generic,
                Ok(pb::ProviderKind::Gitlab) => ProviderKind::GitLab,
                Ok(pb::ProviderKind::Github) => ProviderKind::GitHub,
                Ok(pb::ProviderKind::Kubernetes) => ProviderKind::Kubernetes,
                Err(_) => return Err(invalid("kind")),
            },
            issuer: m.issuer.parse().map_err(|_| invalid("issuer"))?,
            audience: m.audience.parse().map_err(|_| invalid("audience"))?,
            jwks: match m.jwks_url {
                None => Jwks::Discovery,
                Some(url) => Jwks::Url(url.parse().map_err(|_| invalid("jwks_url"))?),
            },
        })
    }
}

impl Record for IdentityProvider {
    type Message = pb::IdentityProvider;

    fn to_message(&self) -> pb::IdentityProvider {
        pb::IdentityProvider {
            id: self.id.0,
            settings: Some(self.settings.to_message()),
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::IdentityProvider) -> Result<Self, DecodeError> {
        Ok(Self {
            id: IdentityProviderId(m.id),
            settings: ProviderSettings::from_message(required(m.settings, "IdentityProvider", "settings")?)?,
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
        })
    }
}

impl Record for ClaimRuleSettings {
    type Message = pb::ClaimRuleSettings;

    fn to_message(&self) -> pb::ClaimRuleSettings {
        let claim =
            |claim: &Claim| pb::Claim { name: claim.name.as_str().to_owned(), value: claim.value.as_str().to_owned() };
        pb::ClaimRuleSettings {
            provider: self.provider.0,
            claims: self.claims.as_slice().iter().map(claim).collect(),
            group: self.group.0,
            role: role_to(self.role),
        }
    }

    fn from_message(m: pb::ClaimRuleSettings) -> Result<Self, DecodeError> {
        const NAME: &str = "ClaimRuleSettings";
        let claim = |m: pb::Claim| {
            Ok(Claim {
                name: m.name.parse().map_err(|_| DecodeError::field("Claim", "name"))?,
                value: m.value.parse().map_err(|_| DecodeError::field("Claim", "value"))?,
            })
        };
        let claims = m.claims.into_iter().map(claim).collect::<Result<_, _>>()?;
        Ok(Self {
            provider: IdentityProviderId(m.provider),
            claims: Claims::new(claims).map_err(|_| DecodeError::field(NAME, "claims"))?,
            group: GroupId(m.group),
            role: role_from(m.role, NAME)?,
        })
    }
}

impl Record for ClaimRule {
    type Message = pb::ClaimRule;

    fn to_message(&self) -> pb::ClaimRule {
        pb::ClaimRule {
            id: self.id.0,
            settings: Some(self.settings.to_message()),
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::ClaimRule) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ClaimRuleId(m.id),
            settings: ClaimRuleSettings::from_message(required(m.settings, "ClaimRule", "settings")?)?,
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
        })
    }
}

pub(super) fn url(text: &str, message: &'static str) -> Result<WebUrl, DecodeError> {
    text.parse().map_err(|_| DecodeError::field(message, "url"))
}

pub(super) fn project_rules_to(rules: &ProjectRules) -> Vec<pb::ProjectRule> {
    let rule = |rule: &ProjectRule| pb::ProjectRule {
        project: rule.project.as_str().to_owned(),
        group: rule.group.0,
        role: role_to(rule.role),
    };
    rules.as_slice().iter().map(rule).collect()
}

pub(super) fn project_rules_from(rules: Vec<pb::ProjectRule>) -> Result<ProjectRules, DecodeError> {
    const NAME: &str = "ProjectRule";
    let rule = |m: pb::ProjectRule| {
        Ok(ProjectRule {
            project: m.project.parse().map_err(|_| DecodeError::field(NAME, "project"))?,
            group: GroupId(m.group),
            role: role_from(m.role, NAME)?,
        })
    };
    let rules = rules.into_iter().map(rule).collect::<Result<_, _>>()?;
    ProjectRules::new(rules).map_err(|_| DecodeError::field("GitLabInstance", "rules"))
}

impl Record for GitLabInstance {
    type Message = pb::GitLabInstance;

    fn to_message(&self) -> pb::GitLabInstance {
        pb::GitLabInstance {
            url: self.url.as_str().to_owned(),
            rules: project_rules_to(&self.rules),
            updated_at: self.updated_at.0,
        }
    }

    fn from_message(m: pb::GitLabInstance) -> Result<Self, DecodeError> {
        Ok(Self {
            url: url(&m.url, "GitLabInstance")?,
            rules: project_rules_from(m.rules)?,
            updated_at: Timestamp(m.updated_at),
        })
    }
}
