//! Who may sign in without a token of ours: jobs of a CI system, by what their provider says of them.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::limits;
use super::pattern::Pattern;
use super::principal::Role;
use super::registry::{ClaimRuleId, GroupId, IdentityProviderId};
use super::text::DisplayName;
use super::time::Timestamp;

/// An address on the web: http or https, without credentials and fragment. The text stays as it was written: an issuer is
/// compared letter by letter.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebUrl(String);

/// The text is no [`WebUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not an http or https address without credentials and fragment, of at most {} characters",
    limits::WEB_URL_MAX
)]
pub struct WebUrlError;

impl WebUrl {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<Self, WebUrlError> {
        // The URL standard mends what follows: what is called would be another address than the one that is shown.
        let mended = text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
        if mended || text.len() > limits::WEB_URL_MAX || !(text.starts_with("http://") || text.starts_with("https://"))
        {
            return Err(WebUrlError);
        }
        let url = Url::parse(text).map_err(|_| WebUrlError)?;
        let signed = !url.username().is_empty() || url.password().is_some();
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if signed || url.fragment().is_some() || !has_host || text.contains(":///") {
            return Err(WebUrlError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What kind of provider it is: which claims it is known to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderKind {
    /// Any OpenID Connect provider.
    Generic,
    /// GitLab CI.
    GitLab,
    /// GitHub Actions.
    GitHub,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
}

/// Where the keys of a provider are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Jwks {
    /// Where `/.well-known/openid-configuration` of the issuer says.
    Discovery,
    /// Here.
    Url(WebUrl),
}

/// What a person sets of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSettings {
    /// Its name, unique.
    pub name: DisplayName,
    /// Its kind.
    pub kind: ProviderKind,
    /// What its tokens say in `iss`, letter by letter.
    pub issuer: WebUrl,
    /// What they say in `aud`: that they are meant for us.
    pub audience: DisplayName,
    /// Where its keys are.
    pub jwks: Jwks,
}

/// A provider of identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its number.
    pub id: IdentityProviderId,
    /// What a person set.
    pub settings: ProviderSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A claim, and what it has to say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Its name.
    pub name: DisplayName,
    /// What its value has to be.
    pub value: Pattern,
}

/// What a token has to say, all of it. Never nothing: whoever has an account at a public provider could sign in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claims(Vec<Claim>);

/// Not 1 to [`limits::CLAIMS_PER_RULE_MAX`] claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {} claims", limits::CLAIMS_PER_RULE_MAX)]
pub struct ClaimsError;

impl Claims {
    /// These claims.
    ///
    /// # Errors
    /// Where there are none or too many.
    pub fn new(claims: Vec<Claim>) -> Result<Self, ClaimsError> {
        if (1..=limits::CLAIMS_PER_RULE_MAX).contains(&claims.len()) { Ok(Self(claims)) } else { Err(ClaimsError) }
    }

    /// The claims, in order.
    pub fn as_slice(&self) -> &[Claim] {
        &self.0
    }
}

/// What a person sets of a claim rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRuleSettings {
    /// Whose tokens it is about.
    pub provider: IdentityProviderId,
    /// What they have to say.
    pub claims: Claims,
    /// The group that whoever brings one belongs to.
    pub group: GroupId,
    /// What it may do there.
    pub role: Role,
}

/// Who signs in with a token of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    /// Its number.
    pub id: ClaimRuleId,
    /// What a person set.
    pub settings: ClaimRuleSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Which projects of the GitLab instance belong to a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProjectRule {
    /// Paths of projects, such as `platform/**`.
    pub project: Pattern,
    /// The group that their jobs belong to.
    pub group: GroupId,
    /// What they may do there.
    pub role: Role,
}

/// The rules of the GitLab instance, at most [`limits::PROJECT_RULES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ProjectRules(Vec<ProjectRule>);

/// More than [`limits::PROJECT_RULES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("are more than {}", limits::PROJECT_RULES_MAX)]
pub struct ProjectRulesError;

impl ProjectRules {
    /// These rules, in this order.
    ///
    /// # Errors
    /// Where there are too many.
    pub fn new(rules: Vec<ProjectRule>) -> Result<Self, ProjectRulesError> {
        if rules.len() > limits::PROJECT_RULES_MAX { Err(ProjectRulesError) } else { Ok(Self(rules)) }
    }

    /// The rules, in order.
    pub fn as_slice(&self) -> &[ProjectRule] {
        &self.0
    }

    /// The rule of a project: the narrowest that matches, the first of equals.
    pub fn of(&self, project: &str) -> Option<&ProjectRule> {
        let matching = self.0.iter().rev().filter(|rule| rule.project.matches(project));
        matching.max_by_key(|rule| rule.project.specificity())
    }
}

/// The GitLab instance whose job tokens are accepted. Its address comes from here and never from a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitLabInstance {
    /// Its address.
    pub url: WebUrl,
    /// Who belongs where.
    pub rules: ProjectRules,
    /// When it last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_the_web() {
        for text in [
            "https://gitlab.example",
            "https://token.actions.githubusercontent.com",
            "https://kubernetes.default.svc.cluster.local",
            "http://127.0.0.1:8080/issuer/",
            "https://host/keys?format=jwks",
        ] {
            assert_eq!(text.parse::<WebUrl>().map(|url| url.as_str().to_owned()), Ok(text.to_owned()));
        }
        let long = format!("https://host/{}", "a".repeat(limits::WEB_URL_MAX));
        for text in [
            "",
            "gitlab.example",
            "ftp://host",
            "https://",
            "https://u:p@host",
            "https://u@host",
            "https://host#x",
            "https:///host",
            "https://ho st",
            "https:\\\\host",
            " https://host",
            &long,
        ] {
            assert_eq!(text.parse::<WebUrl>(), Err(WebUrlError), "{text}");
        }
    }

    #[test]
    fn a_rule_demands_something() {
        let claim = Claim { name: "sub".parse().unwrap(), value: "repo:org/*".parse().unwrap() };
        assert_eq!(Claims::new(vec![]), Err(ClaimsError));
        assert!(Claims::new(vec![claim.clone(); limits::CLAIMS_PER_RULE_MAX]).is_ok());
        assert_eq!(Claims::new(vec![claim; limits::CLAIMS_PER_RULE_MAX + 1]), Err(ClaimsError));
    }

    #[test]
    fn the_narrowest_rule_of_a_project() {
        let rule = |project: &str, group| ProjectRule {
            project: project.parse().unwrap(),
            group: GroupId(group),
            role: Role::Reader,
        };
        let rules = ["platform/**", "platform/*", "platform/ci", "platform/ci"];
        let rules = ProjectRules::new((1..).zip(rules).map(|(group, text)| rule(text, group)).collect()).unwrap();
        for (project, group) in [
            ("platform/ci", Some(3)),
            ("platform/web", Some(2)),
            ("platform/a/b", Some(1)),
            ("platform", None),
            ("other/ci", None),
        ] {
            assert_eq!(rules.of(project).map(|rule| rule.group.0), group, "{project}");
        }
        let many = vec![rule("a", 1); limits::PROJECT_RULES_MAX + 1];
        assert_eq!(ProjectRules::new(many), Err(ProjectRulesError));
    }
}
