//! Header values that say which content a body is: formed once per content, not once per answer.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use roadstead_proto::domain::digest::Digest;

/// What the headers of content under a digest say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels(Arc<Values>);

#[derive(Debug, PartialEq, Eq)]
struct Values {
    digest: HeaderValue,
    etag: HeaderValue,
}

impl Labels {
    /// The labels of a digest.
    pub fn of(digest: &Digest) -> Self {
        let value = |text: String| {
            HeaderValue::from_maybe_shared(Bytes::from(text)).expect("a digest is letters, digits and a colon")
        };
        Self(Arc::new(Values { digest: value(digest.to_string()), etag: value(format!("\"{digest}\"")) }))
    }

    /// `Docker-Content-Digest`.
    pub fn digest(&self) -> &HeaderValue {
        &self.0.digest
    }

    /// `ETag`.
    pub fn etag(&self) -> &HeaderValue {
        &self.0.etag
    }
}
