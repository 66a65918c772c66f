//! `/_stage/…`: the counters and knobs, for scripts. What comes here is not counted.
//!
//! A knob is a field of [`Change`], and the body of a request its value: `PUT /_stage/redirect` with `true` is the change
//! `{"redirect": true}`. Where several values may be given, one of them may come without its list; where the value can
//! only be `true`, the body may stay empty.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /_stage/counters` | the counters |
//! | `GET /_stage/faults`, `GET /_stage/quirks` | the faults, the registry's own ways, and how many requests each fitted |
//! | `GET /_stage/rates` | the rate limits, and what is left of them |
//! | `PUT /_stage/faults`, `quirks`, `bandwidth`, `redirect`, `auth`, `rates` | in place of what is in force |
//! | `POST /_stage/faults` | besides those in force |
//! | `POST /_stage/images` | 201, and what was made |
//! | `POST /_stage/tags`, `remove` | a tag leads elsewhere; a tag, manifest or blob goes |
//! | `POST /_stage/release`, `expire_redirects`, `revoke_tokens`, `counters/reset` | at once |
//! | `POST /_stage/down`, `up` | only on the stage's own port |
//! | `POST /_stage/change` | any number of them together |

use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::{Value, json};

use super::body::Body;
use super::change::Change;
use super::control::{Control, Refused};
use super::plan::FaultBoard;

/// More faults than this fit nobody's head.
const BODY_LIMIT: usize = 1024 * 1024;

pub(super) fn is_for(path: &str) -> bool {
    path.starts_with("/_stage/")
}

pub(super) async fn serve(control: &Control, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let name = head.uri.path().strip_prefix("/_stage/").unwrap_or_default();
    if head.method == Method::GET {
        return shown(control, name);
    }
    let Some(knob) = Knob::of(&head.method, name) else {
        return text(StatusCode::NOT_FOUND, format!("there is no {} /_stage/{name}", head.method));
    };
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("the body did not come: {error}")),
    };
    match knob.change(&body) {
        Ok(change) => answer(control.apply(change).await),
        Err(reason) => text(StatusCode::BAD_REQUEST, format!("{name}: {reason}")),
    }
}

fn shown(control: &Control, name: &str) -> Response<Body> {
    let server = &control.server;
    match name {
        "counters" => json_body(StatusCode::OK, &server.tally.snapshot()),
        "faults" => json_body(StatusCode::OK, &listed(&server.faults)),
        "quirks" => json_body(StatusCode::OK, &listed(&server.quirks)),
        "rates" => json_body(StatusCode::OK, &server.rates.list(Instant::now())),
        _ => text(StatusCode::NOT_FOUND, format!("there is no GET /_stage/{name}")),
    }
}

fn listed(board: &FaultBoard) -> Vec<Value> {
    board.list().into_iter().map(|(fault, met)| json!({ "fault": fault, "met": met })).collect()
}

/// What a request changes, before its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knob {
    /// The body is the value of this field.
    Value(&'static str),
    /// The body is an element of this list, or all of it.
    List(&'static str),
    /// The body may be missing, and is then this value.
    Default(&'static str, bool),
    /// The body is the change.
    Whole,
}

impl Knob {
    fn of(method: &Method, name: &str) -> Option<Self> {
        Some(match (method.as_str(), name) {
            ("PUT", "faults") => Knob::Value("faults"),
            ("PUT", "quirks") => Knob::Value("quirks"),
            ("PUT", "bandwidth") => Knob::Value("bandwidth"),
            ("PUT", "redirect") => Knob::Value("redirect"),
            ("PUT", "auth") => Knob::Value("auth"),
            ("PUT", "rates") => Knob::Value("rates"),
            ("POST", "faults") => Knob::List("add_faults"),
            ("POST", "images") => Knob::List("images"),
            ("POST", "tags") => Knob::List("tags"),
            ("POST", "remove") => Knob::List("remove"),
            ("POST", "release") => Knob::Default("release", true),
            ("POST", "expire_redirects") => Knob::Default("expire_redirects", true),
            ("POST", "revoke_tokens") => Knob::Default("revoke_tokens", true),
            ("POST", "counters/reset") => Knob::Default("reset_counters", true),
            ("POST", "down") => Knob::Default("down", true),
            ("POST", "up") => Knob::Default("down", false),
            ("POST", "change") => Knob::Whole,
            _ => return None,
        })
    }

    fn change(self, body: &[u8]) -> Result<Change, String> {
        let value = match self {
            Knob::Default(_, value) if body.is_empty() => Value::Bool(value),
            _ => serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?,
        };
        let fields = match (self, value) {
            (Knob::Whole, value) => value,
            (Knob::Value(field) | Knob::Default(field, _), value) => json!({ field: value }),
            (Knob::List(field), Value::Array(values)) => json!({ field: values }),
            (Knob::List(field), value) => json!({ field: [value] }),
        };
        let change: Change = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        change.check().map_err(|bad| bad.to_string())?;
        Ok(change)
    }
}

fn answer(made: Result<Vec<super::Made>, Refused>) -> Response<Body> {
    match made {
        Ok(made) if made.is_empty() => text(StatusCode::NO_CONTENT, String::new()),
        Ok(made) => json_body(StatusCode::CREATED, &made),
        Err(refused) => {
            let status = match &refused {
                Refused::Unknown { .. } => StatusCode::NOT_FOUND,
                Refused::OwnPort => StatusCode::CONFLICT,
                Refused::Port(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            text(status, refused.to_string())
        }
    }
}

pub(super) fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn json_body(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let json = match serde_json::to_vec_pretty(value) {
        Ok(json) => json,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut response = Response::new(Full::new(Bytes::from(json)).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
