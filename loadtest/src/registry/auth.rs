//! Whether a request may pass, and the challenge if it may not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

use super::answer::Answer;
use super::token::{TokenBook, Verdict};
use super::{Auth, Credentials, TokenAuth};

/// The answer to a request that may not pass.
pub(super) fn refusal(
    auth: &Auth,
    tokens: &TokenBook,
    headers: &HeaderMap,
    scheme: &str,
    repository: Option<&str>,
) -> Option<Answer> {
    match auth {
        Auth::None => None,
        Auth::Basic(expected) => {
            let given = basic(headers);
            (given.as_ref() != Some(expected)).then(|| unauthorized("Basic realm=\"synthetic\""))
        }
        Auth::Token(token_auth) => {
            let error = match bearer(headers).map(|token| tokens.verify(token, repository)) {
                Some(Verdict::Good) => return None,
                Some(Verdict::Insufficient) => Some("insufficient_scope"),
                Some(Verdict::Unknown) => Some("invalid_token"),
                None => None,
            };
            Some(unauthorized(&challenge(token_auth, &format!("{scheme}://{}", host(headers)), repository, error)))
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

fn challenge(auth: &TokenAuth, base: &str, repository: Option<&str>, error: Option<&str>) -> String {
    let mut challenge = format!("Bearer realm=\"{base}/token\",service=\"{}\"", auth.service);
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
