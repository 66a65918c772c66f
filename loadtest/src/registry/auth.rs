//! Whether a request may pass, and the challenge if it may not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::answer::Answer;
use super::token::{TokenBook, Verdict};
use super::{Auth, Credentials, TokenAuth};

/// Who a request that may pass comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Anonymous,
    SignedIn,
}

/// Who it is, or the answer to whoever may not pass.
pub(super) fn admit(
    auth: &Auth,
    tokens: &TokenBook,
    headers: &HeaderMap,
    scheme: &str,
    repository: Option<&str>,
) -> Result<Caller, Box<Answer>> {
    match auth {
        Auth::None => Ok(Caller::Anonymous),
        Auth::Basic(expected) if basic(headers).as_ref() == Some(expected) => Ok(Caller::SignedIn),
        Auth::Basic(_) => Err(Box::new(unauthorized("Basic realm=\"synthetic\""))),
        Auth::Token(auth) => {
            let error = match bearer(headers).map(|token| tokens.verify(token, repository)) {
                Some(Verdict::Good(caller)) => return Ok(caller),
                Some(Verdict::Insufficient) => Some("insufficient_scope"),
                Some(Verdict::Foreign) => match auth.foreign_token {
                    Some(status) => return Err(Box::new(Answer::refused(status))),
                    None => Some("invalid_token"),
                },
                Some(Verdict::Expired) => Some("invalid_token"),
                None => None,
            };
            Err(Box::new(unauthorized(&challenge(auth, headers, scheme, repository, error))))
        }
    }
}

/// The name that the client knows this server by.
pub(super) fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1")
}

/// User name and password of a Basic header.
pub(super) fn basic(headers: &HeaderMap) -> Option<Credentials> {
    let (user, password) = {
        let decoded = STANDARD.decode(after_scheme(headers, "basic")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))?
    };
    Some(Credentials { user, password })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    after_scheme(headers, "bearer")
}

fn after_scheme<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn challenge(
    auth: &TokenAuth,
    headers: &HeaderMap,
    scheme: &str,
    repository: Option<&str>,
    error: Option<&str>,
) -> String {
    let host = host(headers);
    let elsewhere = auth.realm_host.as_ref().map(|name| match host.rsplit_once(':') {
        Some((_, port)) => format!("{name}:{port}"),
        None => name.clone(),
    });
    let (host, path) = (elsewhere.as_deref().unwrap_or(host), &auth.realm);
    let mut challenge = format!("Bearer realm=\"{scheme}://{host}{path}\",service=\"{}\"", auth.service);
    let scope = auth.challenge_scope.clone().or_else(|| repository.map(|name| format!("repository:{name}:pull")));
    for (name, value) in [("scope", scope.as_deref()), ("error", error)] {
        if let Some(value) = value {
            challenge.push_str(&format!(",{name}=\"{value}\""));
        }
    }
    challenge
}

fn unauthorized(challenge: &str) -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required").with(WWW_AUTHENTICATE, challenge)
}
