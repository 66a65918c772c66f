//! One request to one upstream: sign in by challenge, follow redirects, tell the answers apart.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http::header::{AUTHORIZATION, LOCATION, RANGE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use moka::sync::Cache;
use roadstead_proto::clock::Clock;
use roadstead_proto::domain::epoch::Epoch;
use roadstead_proto::domain::fleet::SourceStanding;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::Origin;
use tokio::time::Instant;
use url::Url;

use super::awaited::Awaited;
use super::challenge::{self, Challenge};
use super::error::{Answer, Fault, NotHere};
use super::exchange::{ExchangeError, HttpExchange, Request, Response};
use super::standing::{Circuit, Standings};
use super::token::{Bearer, Tokens, basic, read_bounded};
use crate::config::Timeouts;
use crate::meta::snapshot::{SignIn, UpstreamView};
use crate::metrics::Metrics;

/// Until when an answer is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    until: Instant,
    total: Duration,
}

impl Patience {
    /// Patience that ends after `total`.
    pub fn lasting(total: Duration) -> Self {
        Self { until: Instant::now() + total, total }
    }

    /// Half of what is left: for whoever is asked before somebody else.
    #[must_use]
    pub fn half(self) -> Self {
        Self::lasting(self.left() / 2)
    }

    /// What is left of it; zero when it is over.
    pub fn left(self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// What to say when it is over.
    pub fn over(self) -> Fault {
        Fault::Timeout(self.total)
    }
}

/// A question to an upstream.
#[derive(Debug, Clone)]
pub(super) struct Question<'a> {
    pub(super) kind: &'static str,
    pub(super) method: Method,
    pub(super) repository: &'a RepositoryName,
    /// After the repository: `manifests/latest`.
    pub(super) path: String,
    /// After the path, as it is to be sent.
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) patience: Patience,
    pub(super) is_blob: bool,
    /// A redirect is itself the answer, and proves nothing: what it leads to is another question.
    pub(super) stop_at_redirect: bool,
}

impl Question<'_> {
    fn circuit(&self) -> Circuit {
        if self.is_blob { Circuit::Blobs } else { Circuit::Manifests }
    }

    /// Whether it goes on with a download that runs, which has a budget of attempts of its own.
    fn goes_on(&self) -> bool {
        self.kind == "blob_get" && self.headers.contains_key(RANGE)
    }

    /// What it is about.
    fn subject(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.repository.as_str(), &self.path).hash(&mut hasher);
        hasher.finish()
    }
}

/// Asks upstreams.
pub struct Client {
    exchange: Arc<dyn HttpExchange>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    standings: Standings,
    /// What a repository of an upstream wanted to see last, so that a request need not be refused first.
    challenges: Cache<(UpstreamId, Epoch, RepositoryName), Challenge>,
    pub(super) metrics: Metrics,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// The most requests one question may lead to: redirects, and a sign-in at each end.
const HOPS_MAX: usize = limits::UPSTREAM_REDIRECTS_MAX + 4;

impl Client {
    /// A client over a transport.
    /// `stagger` is by how much it comes after a gateway that an upstream asked to wait.
    pub fn new(
        exchange: Arc<dyn HttpExchange>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        timeouts: Timeouts,
        stagger: Duration,
    ) -> Self {
        let tokens = Tokens::new(Arc::clone(&exchange), Arc::clone(&clock), timeouts.answer);
        let challenges = Cache::builder().max_capacity(limits::TOKENS_IN_MEMORY).build();
        let standings = Standings::new(stagger, metrics.clone());
        Self { exchange, clock, tokens, standings, challenges, metrics }
    }

    /// Why an upstream is not asked now, if so: it is left alone after faults. Counts as a request that is not sent.
    pub fn left_alone(&self, view: &UpstreamView, circuit: Circuit) -> Option<Fault> {
        let fault = self.standings.refuses(view, circuit, self.clock.now())?;
        self.metrics.left_alone(view.upstream.id, circuit.label(), fault.reason());
        Some(fault)
    }

    /// Whether an upstream answers as it should: nothing is asked of another that is not needed.
    pub fn is_well(&self, view: &UpstreamView, circuit: Circuit) -> bool {
        self.standings.is_closed(view, circuit)
    }

    /// Whether an upstream is left alone.
    pub fn is_left_alone(&self, view: &UpstreamView, circuit: Circuit) -> bool {
        self.standings.refuses(view, circuit, self.clock.now()).is_some()
    }

    /// How long a tag that was confirmed at `checked_at` counts as fresh: its upstream's validity, stretched as the rate
    /// budget shrinks.
    pub fn validity(&self, view: &UpstreamView, checked_at: Timestamp, now: Timestamp) -> Duration {
        self.standings.stretched(view, view.upstream.settings.validity, checked_at, now)
    }

    /// What upstreams said of rate budgets and waits, for the fleet.
    pub fn standings(&self) -> Vec<SourceStanding> {
        self.standings.report(self.clock.now())
    }

    /// Takes what the fleet knows of them, asked for at `asked_at`.
    pub fn learn(&self, told: &[SourceStanding], asked_at: Timestamp) {
        self.standings.learn(told, asked_at, self.clock.now());
    }

    /// Where bytes received are counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Asks, and counts how it ended.
    pub(super) async fn ask(&self, view: &UpstreamView, question: Question<'_>) -> Result<Answer<Response>, Fault> {
        let kind = question.kind;
        let (circuit, subject, goes_on) = (question.circuit(), question.subject(), question.goes_on());
        let ticket = self.standings.admit(view, circuit, subject, goes_on, self.clock.now())?;
        let mut answer = match tokio::time::timeout_at(question.patience.until, self.walk(view, &question)).await {
            Ok(answer) => answer,
            // The token endpoint has a patience of its own, since others may wait for the same token.
            Err(_) => Err(question.patience.over()),
        };
        match &mut answer {
            // A blob's body may take hours, and has readers that see to it. Of everything else the body is the answer.
            Ok(Answer::Here(response)) if !question.is_blob && question.method == Method::GET => {
                let body = std::mem::replace(&mut response.body, futures::stream::empty().boxed());
                response.body = Awaited::new(body, ticket, question.patience, Arc::clone(&self.clock)).boxed();
            }
            answer => ticket.ended(answer, self.clock.now()),
        }
        let outcome = match &answer {
            Ok(Answer::Here(_)) => "here",
            Ok(Answer::NotHere(not_here)) => not_here.reason(),
            Err(fault) => fault.reason(),
        };
        self.metrics.asked(view.upstream.id, kind, outcome);
        answer
    }

    async fn walk(&self, view: &UpstreamView, question: &Question<'_>) -> Result<Answer<Response>, Fault> {
        if let SignIn::Sealed(why) = &view.sign_in {
            return Err(Fault::CredentialsSealed(why.clone()));
        }
        let settings = &view.upstream.settings;
        let repository = settings
            .url
            .repository(question.repository)
            .map_err(|_| Fault::BadAnswer("the repository name is too long with the upstream's prefix".to_owned()))?;
        let scope = format!("repository:{repository}:pull");
        let mut url = settings.url.api(&format!("{repository}/{}", question.path));
        url.set_query(question.query.as_deref());
        let mut authorization = match self.sign_in_ahead(view, question, &scope).await {
            Ok(Answer::Here(authorization)) => authorization,
            Ok(Answer::NotHere(not_here)) => return Ok(Answer::NotHere(not_here)),
            // The token endpoint may have moved: the registry says where to.
            Err(Fault::Status { .. } | Fault::BadAnswer(_) | Fault::Connection(_)) => None,
            Err(fault) => return Err(fault),
        };
        let (mut sign_ins, mut redirects) = (0, 0);
        for _ in 0..HOPS_MAX {
            let response = self.send(question, url.clone(), authorization.clone()).await?;
            if Origin::of(&url) == view.source.origin {
                self.standings.read(view, &response.headers, self.clock.now());
            }
            let status = response.status;
            let challenge =
                if status == StatusCode::UNAUTHORIZED { challenge::choose(&response.headers) } else { None };
            // A token that is worth nothing though it is fresh was revoked on its way: one more is asked for.
            let again = sign_ins == 1 && challenge.as_ref().is_some_and(Challenge::calls_token_invalid);
            if challenge.is_some() && (sign_ins == 0 || again) {
                sign_ins += 1;
                match self.sign_in(view, question, &url, challenge, &scope, authorization.as_ref()).await? {
                    Answer::Here(Some(header)) => {
                        authorization = Some(header);
                        continue;
                    }
                    Answer::Here(None) => return self.classify(response, question.patience).await,
                    Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
                }
            }
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                let crossed = Origin::of(&url) != view.source.origin;
                let of_a_blob = crossed && question.is_blob && status.is_client_error();
                // Those two say what they say, whoever says it.
                if of_a_blob && !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::RANGE_NOT_SATISFIABLE) {
                    return Err(Fault::RedirectTarget(status));
                }
                return self.classify(response, question.patience).await;
            }
            if question.stop_at_redirect {
                return Ok(Answer::Here(response));
            }
            redirects += 1;
            if redirects > limits::UPSTREAM_REDIRECTS_MAX {
                return Err(Fault::Redirect("too many in a row".to_owned()));
            }
            let target = redirect_target(&url, &response.headers)?;
            if Origin::of(&target) != Origin::of(&url) {
                authorization = None;
                sign_ins = 0;
            }
            url = target;
        }
        Err(Fault::Redirect("too many in a row".to_owned()))
    }

    async fn send(
        &self,
        question: &Question<'_>,
        url: Url,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Fault> {
        let mut headers = question.headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        let patience = question.patience.left();
        if patience.is_zero() {
            return Err(question.patience.over());
        }
        let bulk = question.is_blob && question.method == Method::GET;
        let request = Request { method: question.method.clone(), url, headers, patience, bulk };
        self.exchange.send(request).await.map_err(transport_fault)
    }

    /// What the repository wanted last time.
    async fn sign_in_ahead(
        &self,
        view: &UpstreamView,
        question: &Question<'_>,
        scope: &str,
    ) -> Result<Answer<Option<HeaderValue>>, Fault> {
        let key = (view.upstream.id, view.upstream.epoch, question.repository.clone());
        match self.challenges.get(&key) {
            None => Ok(Answer::Here(None)),
            Some(challenge) => {
                let met = self.meet(view, true, &challenge, scope).await;
                if met.is_err() {
                    // It may have moved: the registry itself is asked next time.
                    self.challenges.invalidate(&key);
                }
                met
            }
        }
    }

    /// Meets the challenge of a 401. `None` where it cannot be met.
    async fn sign_in(
        &self,
        view: &UpstreamView,
        question: &Question<'_>,
        url: &Url,
        challenge: Option<Challenge>,
        scope: &str,
        refused: Option<&HeaderValue>,
    ) -> Result<Answer<Option<HeaderValue>>, Fault> {
        let Some(challenge) = challenge else { return Ok(Answer::Here(None)) };
        let own = Origin::of(url) == view.source.origin;
        if let (Challenge::Bearer { realm, service, .. }, Some(refused)) = (&challenge, refused) {
            self.tokens.forget(view, Bearer { realm, service: service.as_deref(), scope }, refused).await;
        }
        let met = self.meet(view, own, &challenge, scope).await?;
        if own && matches!(met, Answer::Here(Some(_))) {
            let key = (view.upstream.id, view.upstream.epoch, question.repository.clone());
            self.challenges.insert(key, challenge);
        }
        Ok(met)
    }

    async fn meet(
        &self,
        view: &UpstreamView,
        own: bool,
        challenge: &Challenge,
        scope: &str,
    ) -> Result<Answer<Option<HeaderValue>>, Fault> {
        match challenge {
            Challenge::Bearer { realm, service, .. } => {
                let answer = self.tokens.authorization(view, own, realm, service.as_deref(), scope).await?;
                Ok(match answer {
                    Answer::Here(header) => Answer::Here(Some(header)),
                    Answer::NotHere(not_here) => Answer::NotHere(not_here),
                })
            }
            Challenge::Basic => match &view.sign_in {
                SignIn::Password { username, password } if own => Ok(Answer::Here(Some(basic(username, password)?))),
                _ => Ok(Answer::Here(None)),
            },
        }
    }

    /// Tells the answers apart (architecture §5).
    async fn classify(&self, response: Response, patience: Patience) -> Result<Answer<Response>, Fault> {
        let status = response.status;
        let retry_after = retry_after(&response.headers, self.clock.now());
        match status {
            _ if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE => Ok(Answer::Here(response)),
            StatusCode::NOT_FOUND => Ok(Answer::NotHere(NotHere::NotFound)),
            StatusCode::TOO_MANY_REQUESTS => Err(Fault::RateLimited { retry_after }),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                match challenge::choose(&response.headers) {
                    // The token is fresh: who does not take it as one is not talking about this repository.
                    Some(challenge) if challenge.calls_token_invalid() => {
                        return Err(Fault::Status { status, retry_after });
                    }
                    // A token was given and is not enough for this repository.
                    Some(Challenge::Bearer { .. }) if status == StatusCode::UNAUTHORIZED => {
                        return Ok(Answer::NotHere(NotHere::Denied));
                    }
                    // A password that is sent with each request is refused, or missed, here and nowhere else.
                    Some(Challenge::Basic) => return Err(Fault::CredentialsRefused(status)),
                    _ => {}
                }
                // "Denied" is about this repository. Anything else (an expired password at ECR, a blocked
                // network, a proxy in between) says nothing about the image.
                if is_denied(response, patience).await {
                    Ok(Answer::NotHere(NotHere::Denied))
                } else {
                    Err(Fault::Status { status, retry_after })
                }
            }
            _ => Err(Fault::Status { status, retry_after }),
        }
    }
}

/// Whether the body is an OCI error that says that this repository is denied; a body that comes too slowly does not say it.
async fn is_denied(response: Response, patience: Patience) -> bool {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<Error>,
    }
    #[derive(serde::Deserialize)]
    struct Error {
        code: String,
    }
    let body = read_bounded(response, limits::UPSTREAM_ERROR_BODY_MAX_BYTES);
    let Ok(Ok(body)) = tokio::time::timeout(patience.left(), body).await else { return false };
    serde_json::from_slice::<Errors>(&body).is_ok_and(|body| body.errors.iter().any(|error| error.code == "DENIED"))
}

fn redirect_target(from: &Url, headers: &HeaderMap) -> Result<Url, Fault> {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| Fault::Redirect("without a Location".to_owned()))?;
    let not_a_url = || Fault::Redirect("to something that is not a URL".to_owned());
    let mut target = from.join(location).map_err(|_| not_a_url())?;
    // The transport would send them as a password, of the redirecting side's choice.
    if !target.username().is_empty() || target.password().is_some() {
        target.set_username("").and_then(|()| target.set_password(None)).map_err(|()| not_a_url())?;
    }
    match (from.scheme(), target.scheme()) {
        ("https", "http") => Err(Fault::Redirect("from https to http".to_owned())),
        (_, "http" | "https") => Ok(target),
        _ => Err(Fault::Redirect("to something that is not a web address".to_owned())),
    }
}

/// `Retry-After` as seconds or as a date (RFC 9110 §10.2.3), at most [`limits::RETRY_AFTER_MAX`].
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_or(Duration::MAX, Duration::from_secs)
    } else {
        let at = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        at.saturating_sub(Duration::from_millis(now.0))
    };
    Some(wait.min(limits::RETRY_AFTER_MAX))
}

pub(crate) fn transport_fault(error: ExchangeError) -> Fault {
    match error {
        ExchangeError::Connection(why) => Fault::Connection(why),
        ExchangeError::Forbidden(why) => Fault::ForbiddenAddress(why.to_string()),
        ExchangeError::Timeout(patience) => Fault::Timeout(patience),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
