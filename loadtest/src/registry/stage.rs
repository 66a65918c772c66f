//! `/_stage/…`: the counters and knobs, for scripts. What comes here is not counted.
//!
//! | request | answer |
//! |---|---|
//! | `GET /_stage/counters` | the counters |
//! | `POST /_stage/counters/reset` | 204, and all counters are zero |
//! | `PUT /_stage/faults` (a list of faults) | 204, and these are the faults |
//! | `POST /_stage/release` | 204, and what is held or hangs goes on |

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use super::Fault;
use super::body::Body;
use super::serve::Server;

/// More faults than this fit nobody's head.
const BODY_LIMIT: usize = 1024 * 1024;

pub(super) fn is_for(path: &str) -> bool {
    path.starts_with("/_stage/")
}

pub(super) async fn serve(server: &Server, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/_stage/counters") => match serde_json::to_vec_pretty(&server.tally.snapshot()) {
            Ok(json) => json_body(json),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        (&Method::POST, "/_stage/counters/reset") => {
            server.tally.reset();
            done()
        }
        (&Method::PUT, "/_stage/faults") => {
            let faults = match Limited::new(body, BODY_LIMIT).collect().await {
                Ok(body) => serde_json::from_slice::<Vec<Fault>>(&body.to_bytes()).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match faults {
                Ok(faults) => {
                    server.faults.set(faults);
                    done()
                }
                Err(error) => text(StatusCode::BAD_REQUEST, error),
            }
        }
        (&Method::POST, "/_stage/release") => {
            server.release();
            done()
        }
        _ => text(StatusCode::NOT_FOUND, "no such knob".to_owned()),
    }
}

fn done() -> Response<Body> {
    text(StatusCode::NO_CONTENT, String::new())
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response
}

fn json_body(json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(json)).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
