//! What a plan makes of the head of an answer. Pure.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::answer::{Answer, DOCKER_CONTENT_DIGEST};
use super::plan::Plan;
use crate::content::{Content, digest_of};

pub(super) fn distort(answer: &mut Answer, plan: &Plan, bodiless: bool) {
    let len = answer.range.end - answer.range.start;
    if plan.wrong_digest && answer.status.is_success() {
        let other = HeaderValue::from_str(&digest_of(b"something else")).expect("a digest is ASCII");
        answer.headers.insert(DOCKER_CONTENT_DIGEST, other);
    }
    if plan.omit_digest {
        answer.headers.remove(DOCKER_CONTENT_DIGEST);
    }
    if let Some(by) = plan.wrong_range
        && answer.headers.contains_key(CONTENT_RANGE)
        && len > 0
    {
        let (first, last) = (answer.range.start, answer.range.end - 1);
        let (first, last) = (first.saturating_add_signed(by), last.saturating_add_signed(by));
        let claim = HeaderValue::from_str(&format!("bytes {first}-{last}/{}", answer.content.len()));
        answer.headers.insert(CONTENT_RANGE, claim.expect("digits are ASCII"));
    }
    if plan.endless {
        let rest = u64::MAX - answer.content.len();
        answer.content = Content::concat([answer.content.clone(), Content::noise(1, rest)]);
        answer.range.end = u64::MAX;
    }
    if !plan.chunked && !plan.endless && !bodiless {
        let claim = len.saturating_add_signed(plan.wrong_length.unwrap_or(0));
        answer.headers.insert(CONTENT_LENGTH, HeaderValue::from(claim));
    }
    replace(&mut answer.headers, &plan.headers);
}

/// What no header can be made of is left out: a fault is written by hand, and a test sees soon enough that it is missing.
fn replace(headers: &mut HeaderMap, with: &[(String, String)]) {
    for (name, value) in with {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
}
