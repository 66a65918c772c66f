//! One request from arrival to answer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderName, IF_NONE_MATCH, LOCATION, RANGE, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use tokio::sync::watch;
use tokio::time::sleep;

use super::answer::Answer;
use super::auth::Caller;
use super::blob::Elsewhere;
use super::body::{self, Body, Sending};
use super::catalog::{Catalog, Repository};
use super::counters::{Tally, Visit};
use super::diary::{Diary, End, Page};
use super::distort::distort;
use super::expiry::Expiry;
use super::pace::{Line, Narrow};
use super::plan::{Cut, FaultBoard, Instead, Plan};
use super::project::{self, Located};
use super::rate::RateBoard;
use super::route::{Origin, Route};
use super::token::{self, TokenBook};
use super::wire::Connection;
use super::{Auth, Config, Protocol, Redirect, Seen, auth, blob, manifest, tags};
use crate::content::Content;

/// What stands between a machine and the Internet, and has not been agreed to.
const PORTAL: &str = "<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>Please accept the terms of use</h1></body></html>";

/// Everything both ports serve from.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) catalog: RwLock<Catalog>,
    pub(super) auth: RwLock<Arc<Auth>>,
    pub(super) redirect: RwLock<Option<Redirect>>,
    pub(super) faults: FaultBoard,
    pub(super) quirks: FaultBoard,
    pub(super) rates: RateBoard,
    pub(super) project: Option<String>,
    pub(super) untyped_manifests: bool,
    pub(super) tally: Tally,
    pub(super) diary: Diary,
    pub(super) tokens: Arc<TokenBook>,
    pub(super) line: Arc<Line>,
    pub(super) releases: watch::Sender<u64>,
    pub(super) scheme: &'static str,
    pub(super) cdn_port: AtomicU16,
    /// The blobs that were answered to a `GET`, as far as a fault asked about them.
    fetched: Mutex<HashSet<String>>,
    pub(super) signature: Arc<AtomicU64>,
}

impl Server {
    pub(super) fn new(config: &Config) -> Self {
        let line = Line::default();
        line.set(config.bandwidth);
        Self {
            catalog: RwLock::default(),
            auth: RwLock::new(Arc::new(config.auth.clone())),
            redirect: RwLock::new(config.redirect),
            faults: FaultBoard::new(config.faults.clone()),
            quirks: FaultBoard::new(config.quirks.clone()),
            rates: RateBoard::new(config.rates.clone()),
            project: config.project.clone(),
            untyped_manifests: config.untyped_manifests,
            tally: Tally::new(),
            diary: Diary::default(),
            tokens: Arc::default(),
            line: Arc::new(line),
            releases: watch::Sender::new(0),
            scheme: if config.tls.is_some() { "https" } else { "http" },
            cdn_port: AtomicU16::new(0),
            fetched: Mutex::default(),
            signature: Arc::new(AtomicU64::new(1)),
        }
    }

    /// `form` is the body of a `POST`.
    pub(super) async fn serve(
        &self,
        origin: Origin,
        head: &Parts,
        form: Option<&str>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let auth = Arc::clone(&self.auth.read().expect("nothing panics while it is held"));
        let realm = if let Auth::Token(token) = &*auth { token.realm.as_str() } else { "/token" };
        let route = Route::parse(origin, &head.method, head.uri.path(), realm);
        let asked_token = token::Asked::parse(form.or(head.uri.query()).unwrap_or_default());
        let key = if route == Route::Token { asked_token.key() } else { route.key() };
        let mut visit = self.tally.arrive(route.kind(), protocol_of(head), key, seen(head));
        let mut plan = Plan::default();
        for board in [&self.faults, &self.quirks] {
            board.add_to(&mut plan, route.kind(), route.repository(), route.reference());
        }
        visit.write_to(self.diary.open(|| page(&route, head, &plan)));
        self.delay(&plan).await;
        if plan.disconnect {
            connection.reset_now();
        }
        let answer = match &plan.instead {
            Some(instead) => self.instead(instead, &route, head),
            None => self.answer(&route, head, &auth, &asked_token, &plan),
        };
        self.render(answer, &route, plan, connection, visit)
    }

    /// Lets go on whatever is held or hangs.
    pub(super) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    async fn delay(&self, plan: &Plan) {
        let mut releases = self.releases.subscribe();
        if let Some(latency) = plan.latency {
            sleep(latency).await;
        }
        if plan.hold {
            // An error means that the server is gone, and the answer with it.
            let _ = releases.changed().await;
        }
    }

    fn answer(&self, route: &Route, head: &Parts, auth: &Auth, asked: &token::Asked, plan: &Plan) -> Answer {
        if let Route::Cdn { .. } = route {
            return self.permitted(route, head, plan, Caller::Anonymous);
        }
        if let Some(refusal) = self.rates.request(Instant::now()) {
            return refusal;
        }
        match (route, auth) {
            (Route::Token, Auth::Token(auth)) => {
                let request = token::Request { headers: &head.headers, asked, post: head.method == Method::POST };
                token::answer(auth, &self.tokens, request, &|name| self.has(name))
            }
            (Route::Token, _) => Answer::text(StatusCode::NOT_FOUND, "not found"),
            _ => match auth::admit(auth, &self.tokens, &head.headers, self.scheme, route.repository()) {
                Ok(caller) => self.permitted(route, head, plan, caller),
                Err(refusal) => *refusal,
            },
        }
    }

    /// Whether there is a repository that clients call so, or that they are sent on from.
    fn has(&self, name: &str) -> bool {
        match project::locate(self.project.as_deref(), name) {
            Located::Here(name) => {
                self.catalog.read().expect("nothing panics while it is held").repository(name).is_some()
            }
            Located::Moved(_) => true,
            Located::Nowhere => false,
        }
    }

    fn permitted(&self, route: &Route, head: &Parts, plan: &Plan, caller: Caller) -> Answer {
        let (headers, query) = (&head.headers, head.uri.query().unwrap_or_default());
        let catalog = self.catalog.read().expect("nothing panics while it is held");
        let unknown = || Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry");
        let within =
            |name: &str, answer: &dyn Fn(&Repository) -> Answer| match project::locate(self.project.as_deref(), name) {
                Located::Here(name) => catalog.repository(name).map_or_else(unknown, answer),
                Located::Moved(other) => {
                    let path = head.uri.path().replacen(&format!("/v2/{name}/"), &format!("/v2/{other}/"), 1);
                    Answer::empty(StatusCode::MOVED_PERMANENTLY).with(LOCATION, &path)
                }
                Located::Nowhere => unknown(),
            };
        match route {
            Route::Ping => Answer::json(StatusCode::OK, &serde_json::json!({})),
            Route::Manifest { repository, reference, head } => {
                let answer = within(repository, &|found| manifest::answer(found, reference, headers, plan));
                let found = answer.status.is_success() || answer.status == StatusCode::NOT_MODIFIED;
                if found { self.rates.manifest(answer, *head, caller, Instant::now()) } else { answer }
            }
            Route::Blob { digest, head: true, .. } if plan.cold_head && !self.was_fetched(digest) => blob::unknown(),
            Route::Blob { repository, digest, head } => within(repository, &|found| {
                if plan.cold_head && !head && found.blob(digest).is_some() {
                    self.fetched.lock().expect("nothing panics while it is held").insert(digest.clone());
                }
                match self.redirect(*head) {
                    Some(redirect) => blob::redirect(found, digest, headers, redirect, self.elsewhere()),
                    None => blob::answer(found, digest, headers, plan.ignore_range),
                }
            }),
            Route::Tags { repository } => within(repository, &|found| tags::answer(found, repository, query)),
            Route::Referrers { repository, digest } => within(repository, &|found| tags::referrers(found, digest)),
            Route::Cdn { digest, head } => {
                let asked = blob::Presigned { query, signature: self.elsewhere().signature, head: *head };
                asked.answer(catalog.any_blob(digest), headers, plan.ignore_range)
            }
            Route::Unsupported { .. } => {
                Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry cannot be pushed to")
            }
            Route::Token | Route::Unknown { .. } => Answer::text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn redirect(&self, head: bool) -> Option<Redirect> {
        let redirect = *self.redirect.read().expect("nothing panics while it is held");
        redirect.filter(|redirect| redirect.heads || !head)
    }

    fn was_fetched(&self, digest: &str) -> bool {
        self.fetched.lock().expect("nothing panics while it is held").contains(digest)
    }

    fn elsewhere(&self) -> Elsewhere {
        Elsewhere {
            scheme: self.scheme,
            port: self.cdn_port.load(Ordering::Relaxed),
            signature: self.signature.load(Ordering::Relaxed),
        }
    }

    fn render(
        &self,
        mut answer: Answer,
        route: &Route,
        plan: Plan,
        connection: Arc<Connection>,
        mut visit: Visit,
    ) -> Response<Body> {
        visit.answered(answer.status.as_u16());
        if answer.counted_as.is_some() {
            visit.brings(&answer.range);
        }
        let bodiless = answer.status == StatusCode::NOT_MODIFIED;
        distort(&mut answer, &plan, bodiless);
        let body = if route.is_head() || bodiless {
            visit.finish();
            body::empty()
        } else {
            // Bytes that are announced and never come: the connection ends, once those that do come have left.
            let len = answer.range.end - answer.range.start;
            let broken_promise = plan.wrong_length.filter(|by| *by > 0).map(|_| (len, Cut::Truncate));
            let of_content = answer.counted_as.is_some();
            let expiry =
                if of_content { Expiry::planned(&plan, &self.tokens, &self.signature) } else { Expiry::never() };
            let sending = Sending {
                content: answer.content,
                range: answer.range,
                counted_as: answer.counted_as,
                corrupt: plan.corrupt,
                cut: plan.cut.or(broken_promise),
                line: Arc::clone(&self.line),
                narrow: plan.bandwidth.map(Narrow::new),
                expiry,
                connection,
                releases: self.releases.subscribe(),
                visit,
            };
            sending.into_body()
        };
        let mut response = Response::new(body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }

    /// What is answered in place of the right answer.
    fn instead(&self, instead: &Instead, route: &Route, head: &Parts) -> Answer {
        let status = |code: u16| StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match instead {
            Instead::Status(code, None, message) => Answer::text(status(*code), message),
            Instead::Status(code, Some(name), message) => Answer::error(status(*code), name, message),
            Instead::Garbage => Answer::new(StatusCode::OK, "text/html; charset=utf-8", Content::literal(PORTAL)),
            Instead::Redirect(code, location) => {
                let host = auth::host(&head.headers);
                let location = location
                    .replace("{registry}", &format!("{}://{host}", self.scheme))
                    .replace("{cdn}", &self.elsewhere().base(host))
                    .replace("{target}", head.uri.path_and_query().map_or("/", PathAndQuery::as_str))
                    .replace("{reference}", route.reference().unwrap_or_default());
                let mut answer = Answer::empty(status(*code));
                // What no header can be made of is left out, as with `Effect::Headers`.
                if let Ok(location) = HeaderValue::from_str(&location) {
                    answer.headers.insert(LOCATION, location);
                }
                answer
            }
        }
    }
}

fn page(route: &Route, head: &Parts, plan: &Plan) -> Page {
    Page {
        kind: route.kind(),
        repository: route.repository().map(str::to_owned),
        reference: route.reference().map(str::to_owned),
        range: head.headers.get(RANGE).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        met: plan.met.clone(),
        status: None,
        part: 0..0,
        sent: 0,
        end: End::Open,
    }
}

fn protocol_of(head: &Parts) -> Protocol {
    if head.version == Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 }
}

fn seen(head: &Parts) -> Seen {
    let joined = |name: HeaderName| {
        let lines: Vec<_> = head.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    };
    let scheme = |text: String| text.split(' ').next().map(str::to_owned);
    Seen {
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        accept: joined(ACCEPT),
        accept_encoding: joined(ACCEPT_ENCODING),
        range: joined(RANGE),
        if_none_match: joined(IF_NONE_MATCH),
        user_agent: joined(USER_AGENT),
        authorization: joined(AUTHORIZATION).and_then(scheme),
    }
}
