//! An answer before it meets the wire.

use std::ops::Range;

use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::content::Content;

pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    /// The part of the content that is the body.
    pub(super) range: Range<u64>,
    /// The digest that the body's bytes are counted under.
    pub(super) counted_as: Option<String>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, media_type: &str, content: Content) -> Self {
        let range = 0..content.len();
        Self { status, headers: HeaderMap::new(), content, range, counted_as: None }.with(CONTENT_TYPE, media_type)
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        let content = Content::literal("");
        Self { status, headers: HeaderMap::new(), content, range: 0..0, counted_as: None }
    }

    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, "application/json", Content::literal(value.to_string()))
    }

    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", Content::literal(text.to_owned()))
    }

    /// An error as the distribution specification writes it.
    pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "errors": [{ "code": code, "message": message, "detail": null }] }))
    }

    /// Access denied, with a status of the configuration.
    pub(super) fn refused(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = if status == StatusCode::UNAUTHORIZED { "UNAUTHORIZED" } else { "DENIED" };
        Self::error(status, code, "requested access to the resource is denied")
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("our own header values are visible ASCII");
        self.headers.insert(name, value);
        self
    }

    pub(super) fn part(mut self, range: Range<u64>) -> Self {
        self.range = range;
        self
    }

    pub(super) fn counted_as(mut self, digest: &str) -> Self {
        self.counted_as = Some(digest.to_owned());
        self
    }
}
