//! What a failed pull looks like from outside: status, OCI error body, headers. Nothing else renders errors.
//!
//! Texts name what the client asked for and what to do; upstream hosts, object paths and causes go to the log only.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use roadstead_proto::domain::image::NameError;
use roadstead_proto::domain::limits;
use roadstead_proto::error::ErrorCode;
use serde::Serialize;

use super::route::RouteError;
use crate::fetch::error::FetchError;

/// Why a pull failed.
#[derive(Debug)]
pub(super) enum PullError {
    Route(RouteError),
    /// No credentials, or bad ones.
    SignIn(&'static str),
    /// A token that may have been revoked: the metadata has not been heard of for too long.
    CutOff,
    UnknownRegistry,
    /// A bare name, and no registry is configured for those.
    NoRegistry,
    UnknownNamespace,
    /// `what` in the words of the client; `hint` where we know better.
    Fetch {
        what: What,
        name: String,
        hint: Option<String>,
        error: FetchError,
    },
    Range {
        size: u64,
    },
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Manifest,
    Blob,
    Tags,
    Referrers,
}

/// OCI error codes (distribution spec, "Error Codes"), and those of the reference implementation that fit better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum OciCode {
    BlobUnknown,
    DigestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    PaginationNumberInvalid,
    RangeInvalid,
    Toomanyrequests,
    Unauthorized,
    Unavailable,
    Unsupported,
}

struct Rendering {
    status: StatusCode,
    code: OciCode,
    message: String,
    header: Option<(HeaderName, String)>,
}

impl Rendering {
    fn plain(status: StatusCode, code: OciCode, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }
}

#[derive(Serialize)]
struct Errors<'a> {
    errors: [OciError<'a>; 1],
}

#[derive(Serialize)]
struct OciError<'a> {
    code: OciCode,
    message: &'a str,
}

/// The answer to a failed pull.
pub(super) fn render(error: &PullError) -> Response {
    let Rendering { status, code, message, header } = rendering(error);
    let body = Errors { errors: [OciError { code, message: &message }] };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some((name, value)) = header
        && let Ok(value) = HeaderValue::from_str(&value)
    {
        response.headers_mut().insert(name, value);
    }
    response
}

fn rendering(error: &PullError) -> Rendering {
    match error {
        PullError::Route(error) => route(error),
        PullError::SignIn(why) => Rendering {
            header: Some((WWW_AUTHENTICATE, "Basic realm=\"roadstead\", charset=\"UTF-8\"".to_owned())),
            ..Rendering::plain(
                StatusCode::UNAUTHORIZED,
                OciCode::Unauthorized,
                format!("{why}: sign in with `docker login`, any user name and a Roadstead token as the password"),
            )
        },
        PullError::CutOff => Rendering {
            header: Some((RETRY_AFTER, limits::RETRY_AFTER_DEFAULT.as_secs().to_string())),
            ..Rendering::plain(
                StatusCode::SERVICE_UNAVAILABLE,
                OciCode::Unavailable,
                "this gateway has been cut off from the metadata nodes for so long that it cannot tell whether the token still \
                 counts: see `roadstead cluster status`",
            )
        },
        PullError::UnknownRegistry => Rendering::plain(
            StatusCode::NOT_FOUND,
            OciCode::NameUnknown,
            "there is no such virtual registry: check the number after virtual_registries/container/, or mirror_registry for \
             names without that prefix",
        ),
        PullError::NoRegistry => Rendering::plain(
            StatusCode::NOT_FOUND,
            OciCode::NameUnknown,
            "no virtual registry is named: pull <host>/virtual_registries/container/<registry id>/<image>, or have \
             mirror_registry set for images without that prefix",
        ),
        PullError::UnknownNamespace => Rendering::plain(
            StatusCode::NOT_FOUND,
            OciCode::NameUnknown,
            "no upstream of this virtual registry answers to this ns: add one with the registry's address, or with its \
             name as the upstream's name",
        ),
        PullError::Range { size } => Rendering {
            header: Some((CONTENT_RANGE, format!("bytes */{size}"))),
            ..Rendering::plain(
                StatusCode::RANGE_NOT_SATISFIABLE,
                OciCode::RangeInvalid,
                format!("the range is malformed or lies outside the blob's {size} bytes"),
            )
        },
        PullError::Fetch { what, name, hint, error } => fetch(*what, name, hint.as_deref(), error),
    }
}

fn route(error: &RouteError) -> Rendering {
    match error {
        RouteError::Method => Rendering {
            header: Some((ALLOW, "GET, HEAD".to_owned())),
            ..Rendering::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                OciCode::Unsupported,
                "Roadstead is a pull-through cache: push to the upstream registry itself",
            )
        },
        RouteError::TooLong => Rendering::plain(
            StatusCode::URI_TOO_LONG,
            OciCode::NameInvalid,
            format!("the path is longer than {} characters", limits::REQUEST_TARGET_MAX),
        ),
        RouteError::Unknown => Rendering::plain(
            StatusCode::NOT_FOUND,
            OciCode::Unsupported,
            "no such path: images are pulled from <host>/virtual_registries/container/<registry id>/<image>",
        ),
        RouteError::Namespace(error) => {
            Rendering::plain(StatusCode::BAD_REQUEST, OciCode::NameInvalid, error.to_string())
        }
        RouteError::Limit => Rendering::plain(
            StatusCode::BAD_REQUEST,
            OciCode::PaginationNumberInvalid,
            "n is the greatest number of entries wanted: a number, 0 or more",
        ),
        RouteError::Name(error) => {
            let (status, code) = match error {
                NameError::Repository => (StatusCode::BAD_REQUEST, OciCode::NameInvalid),
                // What can be no tag is no manifest either, and to say that is what the conformance suite expects.
                NameError::Tag => (StatusCode::NOT_FOUND, OciCode::ManifestUnknown),
                NameError::Digest(_) => (StatusCode::BAD_REQUEST, OciCode::DigestInvalid),
            };
            Rendering::plain(status, code, error.to_string())
        }
    }
}

fn fetch(what: What, name: &str, hint: Option<&str>, error: &FetchError) -> Rendering {
    let thing = match what {
        What::Manifest => "manifest",
        What::Blob => "blob",
        What::Tags => "the tags of",
        What::Referrers => "the referrers of",
    };
    let later = || {
        let wait: Duration = error.retry_after().unwrap_or(limits::RETRY_AFTER_DEFAULT);
        Some((RETRY_AFTER, wait.as_secs().max(1).to_string()))
    };
    let failed = |status, code, why: &str| Rendering {
        header: later(),
        ..Rendering::plain(status, code, format!("{thing} {name}: {why}"))
    };
    match error.code() {
        ErrorCode::NotFound => {
            let code = match what {
                What::Manifest | What::Referrers => OciCode::ManifestUnknown,
                What::Blob => OciCode::BlobUnknown,
                What::Tags => OciCode::NameUnknown,
            };
            let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            let message = format!("no upstream of this registry has {thing} {name}{hint}");
            Rendering::plain(StatusCode::NOT_FOUND, code, message)
        }
        ErrorCode::ResourceExhausted => failed(
            StatusCode::TOO_MANY_REQUESTS,
            OciCode::Toomanyrequests,
            "an upstream limits our requests and nothing is cached; try again after the time in Retry-After",
        ),
        ErrorCode::DeadlineExceeded => failed(
            StatusCode::GATEWAY_TIMEOUT,
            OciCode::Unavailable,
            "an upstream did not answer in time and nothing is cached; try again",
        ),
        ErrorCode::Unavailable if error.is_upstreams() => failed(
            StatusCode::BAD_GATEWAY,
            OciCode::Unavailable,
            "an upstream could not be asked and nothing is cached; the server's log says why",
        ),
        _ => failed(StatusCode::SERVICE_UNAVAILABLE, OciCode::Unavailable, "could not be fetched; try again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::error::Fault;

    fn of_fault(fault: Fault) -> Rendering {
        let error = FetchError::Upstream { upstream: "secret-host".into(), fault };
        rendering(&PullError::Fetch { what: What::Manifest, name: "a:b".into(), hint: None, error })
    }

    #[test]
    fn faults_keep_their_kind_and_tell_nothing_inward() {
        let limited = Fault::RateLimited { retry_after: Some(Duration::from_secs(17)) };
        let bad = Fault::Status { status: StatusCode::INTERNAL_SERVER_ERROR, retry_after: None };
        for (fault, status, retry) in [
            (limited, 429, "17"),
            (bad, 502, "5"),
            (Fault::Timeout(Duration::from_secs(1)), 504, "5"),
            (Fault::Connection("to 10.0.0.1 refused".into()), 502, "5"),
            (Fault::CredentialsRefused(StatusCode::UNAUTHORIZED), 502, "5"),
        ] {
            let rendering = of_fault(fault.clone());
            assert_eq!(rendering.status.as_u16(), status, "{fault}");
            assert_eq!(rendering.header, Some((RETRY_AFTER, retry.to_owned())), "{fault}");
            assert!(!rendering.message.contains("secret-host") && !rendering.message.contains("10.0.0.1"), "{fault}");
        }
    }

    #[test]
    fn not_found_names_what_was_asked() {
        let error = PullError::Fetch {
            what: What::Manifest,
            name: "alpine:3".into(),
            hint: Some("did you mean library/alpine?".into()),
            error: FetchError::NotFound,
        };
        let rendering = rendering(&error);
        assert_eq!(rendering.status, StatusCode::NOT_FOUND);
        assert_eq!(rendering.code, OciCode::ManifestUnknown);
        assert!(rendering.message.contains("alpine:3") && rendering.message.contains("library/alpine"));
    }
}
