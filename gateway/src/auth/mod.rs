//! Who asks: a token in `Authorization`, verified locally by its hash, or nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use roadstead_proto::domain::principal::{Token, TokenHash};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;

use crate::meta::snapshot::Snapshot;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Principal {
    /// Nobody in particular.
    Anonymous,
    /// The holder of a token.
    Token(Token),
}

/// Credentials were sent, and they are not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Neither Basic nor Bearer, or not readable.
    #[error("the Authorization header is neither Basic nor Bearer credentials")]
    Malformed,
    /// The token is unknown, revoked or has ended.
    #[error("the token is unknown, revoked or expired")]
    Unknown,
}

/// The principal of a request. With Basic the user name is free and the password is the token, as `docker login` sends it.
pub fn authenticate(headers: &HeaderMap, snapshot: &Snapshot, now: Timestamp) -> Result<Principal, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(Principal::Anonymous) };
    let token = presented(value.to_str().map_err(|_| AuthError::Malformed)?).ok_or(AuthError::Malformed)?;
    match snapshot.tokens.get(&TokenHash::of(token.expose())) {
        Some(token) if token.expires_at.is_none_or(|end| now < end) => Ok(Principal::Token(token.clone())),
        _ => Err(AuthError::Unknown),
    }
}

fn presented(value: &str) -> Option<Secret> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Secret::new(rest.trim()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Secret::new(String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?);
    let (_, password) = pair.expose().split_once(':')?;
    Some(Secret::new(password))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;
    use roadstead_proto::domain::principal::Role;
    use roadstead_proto::domain::registry::{GroupId, TokenId};

    use super::*;

    fn snapshot() -> Snapshot {
        let token = Token {
            id: TokenId(1),
            name: "ci".into(),
            hash: TokenHash::of("rst_good"),
            group: GroupId(1),
            role: Role::Reader,
            created_at: Timestamp(0),
            expires_at: Some(Timestamp(100)),
        };
        Snapshot { tokens: [(token.hash, token)].into(), ..Snapshot::default() }
    }

    fn judge(value: &str, now: u64) -> Result<Principal, AuthError> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        authenticate(&headers, &snapshot(), Timestamp(now))
    }

    #[test]
    fn basic_and_bearer() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert!(matches!(judge("Bearer rst_good", 1), Ok(Principal::Token(_))));
        assert!(matches!(judge(&basic("anybody:rst_good"), 1), Ok(Principal::Token(_))));
        assert_eq!(judge(&basic("anybody:rst_good"), 100).err(), Some(AuthError::Unknown));
        assert_eq!(judge("Bearer rst_bad", 1).err(), Some(AuthError::Unknown));
        for value in ["", "Bearer", "Digest x", "Basic !!!", &basic("nocolon")] {
            assert_eq!(judge(value, 1).err(), Some(AuthError::Malformed), "{value}");
        }
        assert!(matches!(authenticate(&HeaderMap::new(), &snapshot(), Timestamp(1)), Ok(Principal::Anonymous)));
    }

    proptest! {
        /// What was put in comes out: whoever has a token is let in by either scheme, in any case, with any user name.
        #[test]
        fn a_token_is_found_in_either_scheme(
            user in "[^:]{0,9}",
            token in "[!-~]{1,40}",
            basic in "(?i-u:basic) {1,3}",
            bearer in "(?i-u:bearer) {1,3}",
        ) {
            let pair = STANDARD.encode(format!("{user}:{token}"));
            let found = |value: String| presented(&value).map(|secret| secret.expose().to_owned());
            prop_assert_eq!(found(format!("{basic}{pair}")), Some(token.clone()));
            prop_assert_eq!(found(format!("{bearer}{token}")), Some(token));
        }

        /// Nothing but the token itself lets anybody in.
        #[test]
        fn nothing_else_lets_anybody_in(
            value in "(Bearer|Basic|Digest|bearer)? {0,2}[ -~]{0,30}",
            pair in "[ -~]{0,20}",
            nearly in "rst_goo|RST_GOOD|rst_good[!-~]|[!-~]rst_good|rst good",
        ) {
            let basic = format!("Basic {}", STANDARD.encode(&pair));
            let lets_in = |value: &str| judge(value, 1).is_ok();
            prop_assert_eq!(lets_in(&value), value.trim_end().ends_with(" rst_good") && value.starts_with(['B', 'b']));
            prop_assert_eq!(lets_in(&basic), pair.split_once(':').is_some_and(|(_, token)| token == "rst_good"));
            let nearly_token = format!("Bearer {nearly}");
            prop_assert!(!lets_in(&nearly_token));
        }
    }
}
