//! The token dance (distribution token spec): a challenge names a realm, the realm gives a token.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use moka::sync::Cache;
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::CredentialId;
use serde::Deserialize;
use url::{Host, Url};

use super::client::{retry_after, transport_fault};
use super::error::{Answer, Fault, NotHere};
use super::exchange::{HttpExchange, Request, Response};
use crate::flight::Flights;
use crate::meta::snapshot::{SignIn, UpstreamView};

/// What a token is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    realm: String,
    service: Option<String>,
    scope: String,
    identity: CredentialId,
}

#[derive(Clone)]
struct CachedToken {
    header: HeaderValue,
    refresh_at: Timestamp,
}

/// Bytes in memory.
fn weight(key: &TokenKey, token: &CachedToken) -> u32 {
    let service = key.service.as_ref().map_or(0, String::len);
    let bytes = size_of::<(TokenKey, CachedToken)>() + key.realm.len() + service + key.scope.len() + token.header.len();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

type Fetched = Result<Result<HeaderValue, NotHere>, Fault>;

/// Tokens by (realm, service, scope, identity), each fetched once for all that want it.
pub(super) struct Tokens {
    exchange: Arc<dyn HttpExchange>,
    clock: Arc<dyn Clock>,
    cache: Cache<TokenKey, CachedToken>,
    flights: Flights<TokenKey, Fetched>,
    timeout: Duration,
}

/// A token endpoint's answer.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// Seconds; a lifetime that cannot be read is one that is not there, for the token is good all the same.
    #[serde(default)]
    expires_in: serde_json::Value,
}

/// The `Authorization` that a token endpoint's answer gives, and for how long.
fn read_answer(body: &[u8]) -> Result<(HeaderValue, Duration), Fault> {
    let answer: TokenAnswer = serde_json::from_slice(body)
        .map_err(|_| Fault::BadAnswer("the token endpoint's answer is not the JSON of the token spec".to_owned()))?;
    let token = [answer.access_token, answer.token].into_iter().flatten().find(|token| !token.is_empty());
    let token = token.ok_or_else(|| Fault::BadAnswer("the token endpoint's answer holds no token".to_owned()))?;
    let lifetime = answer.expires_in.as_u64().map_or(limits::TOKEN_DEFAULT_LIFETIME, Duration::from_secs);
    Ok((secret_header(&format!("Bearer {token}"))?, lifetime))
}

/// `Authorization: Basic` of a user name and password.
pub(super) fn basic(username: &str, password: &Secret) -> Result<HeaderValue, Fault> {
    let pair = Secret::new(format!("{username}:{}", password.expose()));
    secret_header(&format!("Basic {}", STANDARD.encode(pair.expose())))
}

fn secret_header(text: &str) -> Result<HeaderValue, Fault> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Fault::BadAnswer("a token that is no header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether credentials of a registry may go to this realm: same host, or the same registrable domain, and never from
/// https down to http.
fn may_see_credentials(registry: &Url, realm: &Url) -> bool {
    if registry.scheme() == "https" && realm.scheme() != "https" {
        return false;
    }
    match (registry.host(), realm.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) if a != b => {
            matches!((psl::domain_str(a), psl::domain_str(b)), (Some(a), Some(b)) if a == b)
        }
        // An address has no domain, though the list of suffixes would find one in it: 0.1 in 10.0.0.1.
        (registry, realm) => registry.is_some() && registry == realm,
    }
}

impl Tokens {
    pub(super) fn new(exchange: Arc<dyn HttpExchange>, clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        let cache = Cache::builder().weigher(weight).max_capacity(limits::TOKENS_MEMORY).build();
        Self { exchange, clock, cache, flights: Flights::default(), timeout }
    }

    /// The `Authorization` that meets a Bearer challenge. `own` says whether the challenge came from the upstream's
    /// own origin: only then do its credentials come into play.
    pub(super) async fn authorization(
        &self,
        view: &UpstreamView,
        own: bool,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Answer<HeaderValue>, Fault> {
        let realm_url = Url::parse(realm).map_err(|_| Fault::BadAnswer("the token realm is not a URL".to_owned()))?;
        if !matches!(realm_url.scheme(), "http" | "https") {
            return Err(Fault::BadAnswer("the token realm is not a web address".to_owned()));
        }
        let credentials = match &view.sign_in {
            SignIn::Password { username, password } if own => {
                if !may_see_credentials(&view.upstream.settings.url.api(""), &realm_url) {
                    return Err(Fault::ForeignRealm(realm_url.host_str().unwrap_or_default().to_owned()));
                }
                Some(basic(username, password)?)
            }
            _ => None,
        };
        let identity = if credentials.is_some() { view.source.credential } else { CredentialId::default() };
        let key = TokenKey {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.to_owned(),
            identity,
        };
        if let Some(token) = self.cache.get(&key)
            && self.clock.now() < token.refresh_at
        {
            return Ok(Answer::Here(token.header));
        }
        let fetch = Fetch {
            exchange: Arc::clone(&self.exchange),
            clock: Arc::clone(&self.clock),
            cache: self.cache.clone(),
            timeout: self.timeout,
            key: key.clone(),
            realm: realm_url,
            credentials,
        };
        let (fetched, _) = self
            .flights
            .run(key, move || fetch.run())
            .await
            .map_err(|_| Fault::BadAnswer("the token request was abandoned".to_owned()))?;
        Ok(match fetched? {
            Ok(header) => Answer::Here(header),
            Err(not_here) => Answer::NotHere(not_here),
        })
    }

    /// Forgets a token that was refused although it should still hold.
    ///
    /// One that somebody else has fetched meanwhile stays: of many requests with the same bad token, one fetches another.
    pub(super) async fn forget(&self, view: &UpstreamView, bearer: Bearer<'_>, refused: &HeaderValue) {
        let Bearer { realm, service, scope } = bearer;
        for identity in [view.source.credential, CredentialId::default()] {
            let key = TokenKey {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.to_owned(),
                identity,
            };
            if self.cache.get(&key).is_some_and(|token| token.header == *refused) {
                self.cache.invalidate(&key);
            }
        }
    }
}

/// Which token is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bearer<'a> {
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scope: &'a str,
}

struct Fetch {
    exchange: Arc<dyn HttpExchange>,
    clock: Arc<dyn Clock>,
    cache: Cache<TokenKey, CachedToken>,
    timeout: Duration,
    key: TokenKey,
    realm: Url,
    credentials: Option<HeaderValue>,
}

impl Fetch {
    async fn run(self) -> Fetched {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &self.key.service {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &self.key.scope);
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(credentials) = &self.credentials {
            headers.insert(AUTHORIZATION, credentials.clone());
        }
        let request = Request { method: Method::GET, url, headers, patience: self.timeout, bulk: false };
        let response = self.exchange.send(request).await.map_err(transport_fault)?;
        let status = response.status;
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Fault::RateLimited { retry_after: retry_after(&response.headers, self.clock.now()) });
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            // With credentials, they are wrong or expired: a fault of ours to mend. Without, this
            // repository is not for the public, or does not exist: "not here".
            return if self.credentials.is_some() {
                Err(Fault::CredentialsRefused(status))
            } else {
                Ok(Err(NotHere::TokenDenied))
            };
        }
        if status != StatusCode::OK {
            return Err(Fault::Status { status, retry_after: retry_after(&response.headers, self.clock.now()) });
        }
        self.keep(response).await.map(Ok)
    }

    async fn keep(&self, response: Response) -> Result<HeaderValue, Fault> {
        let now = self.clock.now();
        // In time as well: everybody who wants this token waits for it, and a byte now and then is no silence.
        let body = tokio::time::timeout(self.timeout, read_bounded(response, limits::TOKEN_ANSWER_MAX_BYTES));
        let body = body.await.map_err(|_| Fault::Timeout(self.timeout))??;
        let (header, lifetime) = read_answer(&body)?;
        // Ahead of its end by a quarter, at most 30 s, so that no request leaves with a token that ends on the way.
        let ahead = (lifetime / 4).min(Duration::from_secs(30));
        let refresh_at = now.after(lifetime.saturating_sub(ahead));
        self.cache.insert(self.key.clone(), CachedToken { header: header.clone(), refresh_at });
        Ok(header)
    }
}

/// A body that must be small.
pub(super) async fn read_bounded(mut response: Response, max: usize) -> Result<Vec<u8>, Fault> {
    let mut body = Vec::new();
    while let Some(piece) = response.body.next().await {
        let piece = piece.map_err(transport_fault)?;
        if body.len() + piece.len() > max {
            return Err(Fault::BadAnswer(format!("the body is larger than {max} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_stay_in_the_registrable_domain() {
        let may = |registry: &str, realm: &str| {
            may_see_credentials(&Url::parse(registry).unwrap(), &Url::parse(realm).unwrap())
        };
        assert!(may("https://registry-1.docker.io", "https://auth.docker.io/token"));
        assert!(may("https://ghcr.io", "https://ghcr.io/token"));
        assert!(may("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"));
        assert!(!may("https://lscr.io", "https://ghcr.io/token"));
        assert!(!may("https://a.co.uk", "https://b.co.uk/token"));
        assert!(!may("https://quay.io", "http://quay.io/v2/auth"));
        assert!(!may("http://127.0.0.1:5000", "http://127.0.0.2:5000/token"));
        assert!(!may("https://10.0.0.1", "https://192.168.0.1/token"));
        assert!(!may("https://[fd00::1]", "https://[fd00::2]/token"));
        assert!(may("https://[fd00::1]", "https://[fd00::1]:8443/token"));
        assert!(!may("https://com", "https://org"));
    }

    fn answered(body: &str) -> Option<(String, u64)> {
        let (header, lifetime) = read_answer(body.as_bytes()).ok()?;
        Some((header.to_str().unwrap().to_owned(), lifetime.as_secs()))
    }

    #[test]
    fn answers_of_token_endpoints() {
        let token = |seconds| Some(("Bearer a".to_owned(), seconds));
        for (body, expected) in [
            (r#"{"token":"a"}"#, token(60)),
            (r#"{"access_token":"a","token":"b","expires_in":300,"issued_at":"now"}"#, token(300)),
            (r#"{"access_token":"","token":"a"}"#, token(60)),
            (r#"{"access_token":null,"token":"a","expires_in":null}"#, token(60)),
            (r#"{"token":"a","expires_in":"3600"}"#, token(60)),
            (r#"{"token":"a","expires_in":-1}"#, token(60)),
            (r#"{"token":"a","expires_in":0}"#, token(0)),
            (r#"{"token":"a","expires_in":18446744073709551615}"#, token(u64::MAX)),
            (r#"{"token":""}"#, None),
            (r#"{"token":"a\r\nx: y"}"#, None),
            (r#"{"token":7}"#, None),
            (r#"{}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(answered(body), expected, "{body}");
        }
    }

    proptest! {
        /// A name meets another only below a domain that somebody registered; addresses only meet themselves.
        #[test]
        fn credentials_go_no_further_than_their_domain(
            below in prop::sample::select(vec!["com", "co.uk", "internal", "io"]),
            (one, other) in ("[ab]", "[ab]"),
            (left, right) in ("([xy]\\.){0,2}", "([xy]\\.){0,2}"),
            (a, b) in any::<([u8; 4], [u8; 4])>(),
        ) {
            let may = |a: &str, b: &str| may_see_credentials(&Url::parse(a).unwrap(), &Url::parse(b).unwrap());
            let name = |left: &str, domain: &str| format!("https://{left}{domain}.{below}");
            prop_assert_eq!(may(&name(&left, &one), &name(&right, &other)), one == other);
            let address = |bytes: [u8; 4]| format!("https://{}", std::net::Ipv4Addr::from(bytes));
            prop_assert_eq!(may(&address(a), &address(b)), a == b);
            prop_assert!(!may(&name(&left, &one), &address(a)) && !may(&address(a), &name(&left, &one)));
        }

        /// A token can only become one header of its own value, whatever is in it.
        #[test]
        fn a_token_is_one_header_or_none(token in "[ -~]{0,20}|\\PC{0,9}|[a\r\n\t\x00]{0,6}", seconds in prop::option::of(any::<u64>())) {
            let body = serde_json::json!({ "token": token, "expires_in": seconds }).to_string();
            // Letters beyond ASCII travel as they are; they end no line.
            let fits = !token.is_empty() && token.chars().all(|c| !c.is_ascii_control() || c == '\t');
            let expected = fits.then(|| (format!("Bearer {token}"), seconds.unwrap_or(60)));
            let read = read_answer(body.as_bytes()).ok();
            let read = read.map(|(header, lifetime)| (String::from_utf8(header.as_bytes().to_vec()).unwrap(), lifetime.as_secs()));
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn any_answer_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..60), text in "[{}\\[\\]\":,a0ntoke_expirs -]{0,40}") {
            let _ = (read_answer(&body), read_answer(text.as_bytes()));
        }
    }
}
