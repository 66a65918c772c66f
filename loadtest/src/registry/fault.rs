//! What goes wrong, as data: which requests, how often, and how.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Kind;

/// One thing that goes wrong. Of several faults that fit a request all take effect; of two that contradict each other the
/// first does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The kinds of request it fits; empty fits all.
    #[serde(default)]
    pub kinds: Vec<Kind>,
    /// The repository it fits; `None` fits all.
    #[serde(default)]
    pub repository: Option<String>,
    /// The tag or digest it fits; `None` fits all.
    #[serde(default)]
    pub reference: Option<String>,
    /// How many fitting requests pass before it begins.
    #[serde(default)]
    pub skip: u64,
    /// How many fitting requests it then meets; `None` is every one.
    #[serde(default)]
    pub times: Option<u64>,
    /// What happens to them.
    pub effect: Effect,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// The answer begins this much later.
    Latency {
        /// Milliseconds before the headers.
        millis: u64,
    },
    /// The answer does not begin before [`Upstream::release`](super::Upstream::release).
    Hold,
    /// The connection is reset before any header.
    Disconnect,
    /// Another answer in place of the right one.
    Status {
        /// The status.
        status: u16,
        /// The code of the error body, such as `DENIED`; `None` sends a bare text body.
        #[serde(default)]
        code: Option<String>,
        /// The message of the error body, or the bare text.
        #[serde(default)]
        message: String,
    },
    /// More headers, or other values: they replace those that the answer has.
    Headers {
        /// Names and values.
        headers: Vec<(String, String)>,
    },
    /// The byte at this offset of the blob or manifest is flipped.
    Corrupt {
        /// Offset in the blob, not in the answer: a range sees it only if it covers it.
        at: u64,
    },
    /// The connection is closed in good order after so many bytes of the body.
    Truncate {
        /// Bytes sent before.
        after: u64,
    },
    /// The connection is reset after so many bytes of the body; what the client has not read yet may be lost.
    Reset {
        /// Bytes sent before.
        after: u64,
    },
    /// Nothing more comes after so many bytes of the body, until [`Upstream::release`](super::Upstream::release).
    Hang {
        /// Bytes sent before.
        after: u64,
    },
    /// `Range` is ignored: 200 and everything.
    IgnoreRange,
    /// No `Docker-Content-Digest`.
    OmitDigest,
    /// No `Content-Length`: chunked.
    Chunked,
    /// A manifest whose media type `Accept` does not name is 404, as at GHCR.
    StrictAccept,
    /// The body of this answer is sent at so many bytes per second, whatever the line would allow.
    Bandwidth {
        /// Bytes per second; zero counts as one.
        bytes_per_second: u64,
    },
    /// The body goes on past its end and never stops: chunked, for no `Content-Length` can say so.
    Endless,
    /// A redirect in place of the right answer: to another host, in a circle, to an address that is worth nothing.
    RedirectTo {
        /// The `Location`. `{registry}` and `{cdn}` stand for the addresses of the two origins as this client names them,
        /// `{target}` for path and query of the request, `{reference}` for its tag or digest: `{registry}{target}` is a
        /// circle, `{cdn}/blobs/{reference}?signature=0` has expired.
        location: String,
        /// The status.
        #[serde(default = "temporary_redirect")]
        status: u16,
    },
    /// The moment so many bytes of this manifest's or blob's body are sent, every address that was redirected to so far
    /// is worth nothing.
    ExpireRedirects {
        /// Bytes sent before.
        after: u64,
    },
    /// The moment so many bytes of this manifest's or blob's body are sent, every token issued so far is worth nothing.
    ExpireTokens {
        /// Bytes sent before.
        after: u64,
    },
    /// `Content-Length` is off by so many bytes. What is announced and never comes ends the connection; of what is not
    /// announced nothing is sent.
    WrongLength {
        /// Bytes too many, or too few when negative.
        by: i64,
    },
    /// `Content-Range` claims that the bytes, which are those asked for, stand so much further on.
    WrongRange {
        /// Bytes too far on, or too far back when negative.
        by: i64,
    },
    /// `Docker-Content-Digest` is that of something else.
    WrongDigest,
    /// 200 and an HTML page in place of the right answer, as of a portal that wants its terms accepted.
    Garbage,
    /// Manifests have no `ETag`.
    OmitEtag,
    /// The `ETag` of manifests is not their digest; `If-None-Match` goes by it.
    OpaqueEtag,
    /// `HEAD` of a blob is 404 until a `GET` of it was answered, as at a Harbor that has not cached it. It has to fit both
    /// kinds of request.
    ColdHead,
}

fn temporary_redirect() -> u16 {
    307
}

impl Fault {
    /// A fault that every request meets.
    pub fn new(effect: Effect) -> Self {
        Self { kinds: Vec::new(), repository: None, reference: None, skip: 0, times: None, effect }
    }

    /// Every answer begins `by` later.
    pub fn latency(by: Duration) -> Self {
        Self::new(Effect::Latency { millis: u64::try_from(by.as_millis()).unwrap_or(u64::MAX) })
    }

    /// Another status, with an error body of this code.
    pub fn status(status: u16, code: &str) -> Self {
        Self::new(Effect::Status { status, code: Some(code.into()), message: code.to_lowercase() })
    }

    /// Another status, with a body that is not JSON.
    pub fn bare_status(status: u16, text: &str) -> Self {
        Self::new(Effect::Status { status, code: None, message: text.into() })
    }

    /// A redirect to this location, whose placeholders are those of [`Effect::RedirectTo`].
    pub fn redirect_to(location: &str) -> Self {
        Self::new(Effect::RedirectTo { location: location.into(), status: temporary_redirect() })
    }

    /// A body of so many bytes per second.
    pub fn bandwidth(bytes_per_second: u64) -> Self {
        Self::new(Effect::Bandwidth { bytes_per_second })
    }

    /// One header more, or another value of it.
    pub fn header(name: &str, value: &str) -> Self {
        Self::new(Effect::Headers { headers: vec![(name.into(), value.into())] })
    }

    /// `HEAD` of a manifest or blob is 405.
    pub fn refuse_head() -> Self {
        Self::status(405, "UNSUPPORTED").on(Kind::ManifestHead).on(Kind::BlobHead)
    }

    /// Only requests of this kind, and of those named before.
    pub fn on(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Only manifests, `GET` and `HEAD`.
    pub fn on_manifests(self) -> Self {
        self.on(Kind::ManifestGet).on(Kind::ManifestHead)
    }

    /// Only this repository.
    pub fn in_repository(mut self, repository: &str) -> Self {
        self.repository = Some(repository.into());
        self
    }

    /// Only this tag or digest.
    pub fn of(mut self, reference: &str) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Only after so many fitting requests have passed.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Only the first so many fitting requests.
    pub fn times(mut self, requests: u64) -> Self {
        self.times = Some(requests);
        self
    }

    pub(super) fn fits(&self, kind: Kind, repository: Option<&str>, reference: Option<&str>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.repository.as_deref().is_none_or(|wanted| repository == Some(wanted))
            && self.reference.as_deref().is_none_or(|wanted| reference == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_write_faults_as_json() {
        let text = r#"{"kinds":["blob_get"],"times":2,"effect":{"reset":{"after":10}}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault, Fault::new(Effect::Reset { after: 10 }).on(Kind::BlobGet).times(2));
        assert!(serde_json::from_str::<Fault>(r#"{"effect":"chunked","unknown":1}"#).is_err());
    }

    #[test]
    fn the_names_of_effects_stay_what_they_are() {
        let redirect_to = Effect::RedirectTo { location: "/".into(), status: 307 };
        for (effect, text) in [
            (Effect::Bandwidth { bytes_per_second: 9 }, r#"{"bandwidth":{"bytes_per_second":9}}"#),
            (Effect::Endless, r#""endless""#),
            (redirect_to, r#"{"redirect_to":{"location":"/"}}"#),
            (Effect::ExpireRedirects { after: 9 }, r#"{"expire_redirects":{"after":9}}"#),
            (Effect::ExpireTokens { after: 9 }, r#"{"expire_tokens":{"after":9}}"#),
            (Effect::WrongLength { by: -1 }, r#"{"wrong_length":{"by":-1}}"#),
            (Effect::WrongRange { by: 1 }, r#"{"wrong_range":{"by":1}}"#),
            (Effect::WrongDigest, r#""wrong_digest""#),
            (Effect::Garbage, r#""garbage""#),
            (Effect::OmitEtag, r#""omit_etag""#),
            (Effect::OpaqueEtag, r#""opaque_etag""#),
            (Effect::ColdHead, r#""cold_head""#),
        ] {
            assert_eq!(serde_json::from_str::<Effect>(text).unwrap(), effect, "{text}");
        }
    }
}
