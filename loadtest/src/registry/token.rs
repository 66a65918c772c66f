//! The token endpoint, and the tokens it issued.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::answer::Answer;
use super::auth::{Caller, basic};
use super::{Credentials, TokenAuth, TokenField, TokenRefusal};
use crate::content::mix;

/// How long a token lives whose answer says nothing about it, by the token specification.
const DEFAULT_LIFETIME: u64 = 60;

/// What a presented token is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(Caller),
    /// Revoked or expired.
    Expired,
    /// Never issued here.
    Foreign,
    /// Issued, but not for this repository.
    Insufficient,
}

/// What every token issued here begins with.
const MARK: &str = "synthetic.";

#[derive(Debug)]
struct Issued {
    caller: Caller,
    repositories: BTreeSet<String>,
    expires: Instant,
}

#[derive(Debug, Default)]
pub(super) struct TokenBook {
    issued: Mutex<HashMap<String, Issued>>,
    next: AtomicU64,
}

impl TokenBook {
    /// Every token issued so far is worth nothing from now on.
    pub(super) fn revoke_all(&self) {
        self.issued.lock().expect("nothing panics while it is held").clear();
    }

    pub(super) fn verify(&self, token: &str, repository: Option<&str>) -> Verdict {
        match self.issued.lock().expect("nothing panics while it is held").get(token) {
            None if token.starts_with(MARK) => Verdict::Expired,
            None => Verdict::Foreign,
            Some(issued) if issued.expires <= Instant::now() => Verdict::Expired,
            Some(issued) if repository.is_none_or(|name| issued.repositories.contains(name)) => {
                Verdict::Good(issued.caller)
            }
            Some(_) => Verdict::Insufficient,
        }
    }

    fn issue(&self, caller: Caller, repositories: BTreeSet<String>, lifetime: Duration) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let token = format!("{MARK}{number}.{:016x}", mix(number.wrapping_add(1)));
        let issued = Issued { caller, repositories, expires: Instant::now() + lifetime };
        self.issued.lock().expect("nothing panics while it is held").insert(token.clone(), issued);
        token
    }
}

/// What a token request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    service: Option<String>,
    scopes: Vec<String>,
    user: Option<String>,
    password: Option<String>,
}

impl Asked {
    /// The query of a `GET`, or the form of a `POST`.
    pub(super) fn parse(form: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in url::form_urlencoded::parse(form.as_bytes()) {
            match &*name {
                "service" => asked.service = Some(value.into_owned()),
                // One parameter per scope on GET, but a list in one parameter is understood too.
                "scope" => asked.scopes.extend(value.split_whitespace().map(str::to_owned)),
                "username" => asked.user = Some(value.into_owned()),
                "password" => asked.password = Some(value.into_owned()),
                _ => {}
            }
        }
        asked
    }

    fn credentials(&self) -> Option<Credentials> {
        Some(Credentials::new(self.user.clone()?, self.password.clone()?))
    }

    /// What the request is counted as.
    pub(super) fn key(&self) -> String {
        self.scopes.join(" ")
    }

    /// The repositories asked for with the right to pull.
    fn repositories(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().filter_map(|scope| {
            let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            actions.split(',').any(|action| action == "pull").then_some(name)
        })
    }
}

/// A request to the token endpoint.
pub(super) struct Request<'a> {
    pub(super) headers: &'a HeaderMap,
    pub(super) asked: &'a Asked,
    /// Whether it came as a form.
    pub(super) post: bool,
}

pub(super) fn answer(
    auth: &TokenAuth,
    book: &TokenBook,
    request: Request<'_>,
    exists: &dyn Fn(&str) -> bool,
) -> Answer {
    let Request { headers, asked, post } = request;
    if let Some(status) = auth.post.filter(|_| post) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::METHOD_NOT_ALLOWED);
        return Answer::error(status, "UNSUPPORTED", "tokens are not issued to a POST");
    }
    if asked.service.as_deref() != Some(&auth.service) {
        return Answer::error(StatusCode::BAD_REQUEST, "UNSUPPORTED", "unknown service");
    }
    let given = basic(headers).or_else(|| asked.credentials().filter(|_| post));
    let known = given.is_some() && given == auth.credentials;
    if !known && (given.is_some() || !auth.anonymous) {
        return Answer::refused(401);
    }
    let may_have = |name: &&str| {
        let hidden = auth.missing_is_private && !exists(name);
        !hidden && (known || !auth.private.contains(*name))
    };
    let (granted, refused): (BTreeSet<&str>, BTreeSet<&str>) = asked.repositories().partition(may_have);
    match auth.refusal {
        TokenRefusal::Unauthorized if !refused.is_empty() => return Answer::refused(401),
        TokenRefusal::Forbidden if !refused.is_empty() => return Answer::refused(403),
        _ => {}
    }
    let lifetime = Duration::from_secs(auth.expires_in.unwrap_or(DEFAULT_LIFETIME));
    let caller = if known { Caller::SignedIn } else { Caller::Anonymous };
    let token = book.issue(caller, granted.into_iter().map(str::to_owned).collect(), lifetime);
    let mut body = json!({});
    // The form's answer has but one spelling.
    if auth.field != TokenField::AccessToken && !post {
        body["token"] = json!(token);
    }
    if auth.field != TokenField::Token || post {
        body["access_token"] = json!(token);
    }
    if let Some(seconds) = auth.expires_in {
        body["expires_in"] = json!(seconds);
    }
    Answer::json(StatusCode::OK, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_come_in_both_spellings() {
        let asked =
            Asked::parse("service=s&scope=repository%3Aa%2Fb%3Apull&scope=repository:c:pull,push+repository:d:push");
        assert_eq!(asked.service.as_deref(), Some("s"));
        assert_eq!(asked.repositories().collect::<Vec<_>>(), ["a/b", "c"]);
        assert_eq!(asked.key(), "repository:a/b:pull repository:c:pull,push repository:d:push");
    }

    #[test]
    fn a_token_is_good_for_its_repositories_until_it_expires() {
        let book = TokenBook::default();
        let good = book.issue(Caller::SignedIn, ["a".to_owned()].into(), Duration::from_secs(60));
        let expired = book.issue(Caller::Anonymous, ["a".to_owned()].into(), Duration::ZERO);
        assert_eq!(book.verify(&good, Some("a")), Verdict::Good(Caller::SignedIn));
        assert_eq!(book.verify(&good, None), Verdict::Good(Caller::SignedIn));
        assert_eq!(book.verify(&good, Some("b")), Verdict::Insufficient);
        assert_eq!(book.verify(&expired, Some("a")), Verdict::Expired);
        assert_eq!(book.verify("ghp_secret", None), Verdict::Foreign);
        book.revoke_all();
        assert_eq!(book.verify(&good, Some("a")), Verdict::Expired);
    }
}
