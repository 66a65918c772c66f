//! What clients got: right, or clearly refused, or broken off; and for a reason. Pure.

use super::judge::{Rule, Verdict};
use super::observed::{Answer, Asking, BodyEnd, Object, Observed, Outcome, Phase, Seen};
use super::scenario::Scenario;
use super::traffic::has_outage;
use crate::image::Image;
use crate::registry::{Effect, Kind, Page};

/// The end of a blob that waits for the verdict on it (`VERIFY_HOLD_BACK` in the gateway's limits).
const HELD_BACK: u64 = 64 * 1024;

/// Statuses by which a pull is refused.
const REFUSALS: [u16; 6] = [404, 416, 429, 502, 503, 504];

struct Judging<'a> {
    scenario: &'a Scenario,
    images: &'a [Image],
    pages: &'a [Page],
}

/// What the client should have got.
struct Right<'a> {
    digest: &'a str,
    /// Of the whole.
    size: u64,
}

pub(super) fn judge_answers(scenario: &Scenario, images: &[Image], observed: &Observed, verdict: &mut Verdict) {
    let judging = Judging { scenario, images, pages: &observed.pages };
    for seen in &observed.answers {
        judging.judge(seen, verdict);
    }
}

impl Judging<'_> {
    fn right(&self, asking: &Asking) -> Right<'_> {
        let image = &self.images[asking.image];
        match asking.object {
            Object::Tag | Object::Manifest => {
                Right { digest: image.digest(), size: image.manifest().bytes().len() as u64 }
            }
            Object::Blob(number) => {
                let blob = image.blobs().nth(number).expect("the scenario asks for blobs that there are");
                Right { digest: blob.digest(), size: blob.size() }
            }
        }
    }

    fn judge(&self, seen: &Seen, verdict: &mut Verdict) {
        let what = |why: &str| format!("{why}: {seen:?}");
        match &seen.outcome {
            Outcome::Hung { .. } => verdict.complain(Rule::Hung, what("it came to no end")),
            Outcome::NoAnswer(_) => {
                verdict.summary.aborted += 1;
                if !self.may_break(&seen.asking) {
                    verdict.complain(Rule::Unfounded, what("broken off before an answer, without a fault"));
                }
            }
            Outcome::Answer(answer) if (200..300).contains(&answer.status) => self.body(seen, answer, verdict),
            Outcome::Answer(answer) => self.refusal(seen, answer, verdict),
        }
    }

    fn body(&self, seen: &Seen, answer: &Answer, verdict: &mut Verdict) {
        let what = |why: &str| format!("{why}: {seen:?}");
        let right = self.right(&seen.asking);
        // Nobody can know better than the upstream before its body has ended. The whole must not end cleanly then.
        let misled = (answer.end != BodyEnd::Clean || answer.status == 206) && self.lies_about_size(&seen.asking);
        if let Some(why) = wrong_headers(&seen.asking, answer, &right).filter(|_| !misled) {
            verdict.complain(Rule::WrongHeaders, what(why));
        }
        let start = seen.asking.range.filter(|_| answer.status == 206).map_or(0, |(first, _)| first);
        let expected = match seen.asking.range.filter(|_| answer.status == 206) {
            Some((first, last)) => last.min(right.size - 1) + 1 - first,
            None => right.size,
        };
        let reached = start + answer.received;
        match (&answer.end, answer.first_wrong) {
            (_, Some(at)) if !self.is_corrupted_at(&right, start + at) => {
                verdict.complain(Rule::WrongBytes, what("a byte that nobody sent so"));
            }
            // The upstream's own wrong byte may be on its way to a client, never the end of the blob with it.
            (_, Some(_)) if reached + HELD_BACK > right.size => {
                verdict.complain(Rule::WrongBytes, what("the end was not held back"));
            }
            (BodyEnd::Clean, Some(_)) if answer.status == 200 => {
                verdict.complain(Rule::WrongBytes, what("wrong, and ended cleanly"));
            }
            (BodyEnd::Clean, Some(_)) => verdict.summary.unverified_parts += 1,
            (BodyEnd::Clean, None) if !seen.asking.head && answer.received != expected => {
                verdict.complain(Rule::WrongBytes, what("short, and ended cleanly"));
            }
            (BodyEnd::Clean, None) => verdict.summary.completed += 1,
            (BodyEnd::Broken(_), _) => {
                verdict.summary.aborted += 1;
                if !self.may_break(&seen.asking) {
                    verdict.complain(Rule::Unfounded, what("broken off, without a fault"));
                }
            }
            (BodyEnd::Left, _) => verdict.summary.left += 1,
        }
    }

    fn refusal(&self, seen: &Seen, answer: &Answer, verdict: &mut Verdict) {
        let what = |why: &str| format!("{why}: {seen:?}");
        verdict.summary.refused += 1;
        if !REFUSALS.contains(&answer.status) {
            verdict.complain(Rule::UnclearRefusal, what("no such status is expected"));
        }
        // HEAD has no body.
        if !seen.asking.head && (answer.error_code.is_none() || answer.end != BodyEnd::Clean) {
            verdict.complain(Rule::UnclearRefusal, what("the body is no OCI error"));
        }
        if ![404, 416].contains(&answer.status) && !answer.has_retry_after {
            verdict.complain(Rule::UnclearRefusal, what("it does not say when to try again"));
        }
        if !self.may_refuse(&seen.asking, answer.status) {
            verdict.complain(Rule::Unfounded, what("refused, without a fault that makes it so"));
        }
    }

    /// Whether the upstream has flipped this byte of the blob.
    fn is_corrupted_at(&self, right: &Right<'_>, offset: u64) -> bool {
        self.touching(right.digest).any(|page| {
            page.met.iter().any(|effect| matches!(effect, Effect::Corrupt { at } if *at == offset))
                && page.part.contains(&offset)
        })
    }

    /// Requests for a digest or tag.
    fn touching<'b>(&'b self, reference: &'b str) -> impl Iterator<Item = &'b Page> {
        self.pages.iter().filter(move |page| page.reference.as_deref() == Some(reference))
    }

    /// Requests for what was asked for.
    fn for_this<'b>(&'b self, asking: &'b Asking) -> impl Iterator<Item = &'b Page> {
        let plan = &self.scenario.images[asking.image];
        let digest = self.right(asking).digest;
        let manifest = !matches!(asking.object, Object::Blob(_));
        self.pages.iter().filter(move |page| match page.reference.as_deref() {
            Some(reference) if reference == digest => true,
            Some(reference) => manifest && reference == plan.tag && page.repository.as_ref() == Some(&plan.repository),
            // Whoever cannot sign in gets nothing.
            None => page.kind == Kind::Token,
        })
    }

    fn lies_about_size(&self, asking: &Asking) -> bool {
        let lies = |effect: &Effect| matches!(effect, Effect::WrongLength { .. } | Effect::Garbage);
        self.for_this(asking).any(|page| page.met.iter().any(lies))
    }

    fn may_break(&self, asking: &Asking) -> bool {
        let blob = matches!(asking.object, Object::Blob(_)) && asking.phase != Phase::Gone;
        let breaks = |page: &Page| page.met.iter().any(breaks);
        blob && (has_outage(self.scenario) || self.for_this(asking).any(breaks))
    }

    fn may_refuse(&self, asking: &Asking, status: u16) -> bool {
        if asking.phase == Phase::Gone {
            return false;
        }
        let met = |statuses: &'static [u16]| {
            move |page: &Page| {
                let of = |effect: &Effect| matches!(effect, Effect::Status { status, .. } if statuses.contains(status));
                page.met.iter().any(of)
            }
        };
        match status {
            404 => {
                self.for_this(asking).any(|page| met(&[404, 403, 401])(page) || page.met.contains(&Effect::ColdHead))
            }
            // The upstream lied about the size.
            416 => self.lies_about_size(asking),
            // A limit is on all requests to an upstream, and so is the rest that it is given when it fails.
            429 => self.pages.iter().any(met(&[429])),
            503 => has_outage(self.scenario) || self.pages.iter().any(|page| page.met.iter().any(breaks)),
            _ => has_outage(self.scenario) || self.for_this(asking).any(|page| page.met.iter().any(breaks)),
        }
    }
}

/// Whether a fault can keep a request from its answer; the others are ways in which registries differ.
pub(super) fn breaks(effect: &Effect) -> bool {
    !matches!(
        effect,
        Effect::Latency { .. }
            | Effect::Bandwidth { .. }
            | Effect::OmitDigest
            | Effect::OmitEtag
            | Effect::OpaqueEtag
            | Effect::Chunked
            | Effect::StrictAccept
            | Effect::IgnoreRange
            | Effect::ColdHead
            | Effect::ExpireRedirects { .. }
            | Effect::ExpireTokens { .. }
    )
}

fn wrong_headers(asking: &Asking, answer: &Answer, right: &Right<'_>) -> Option<&'static str> {
    if answer.digest.as_deref() != Some(right.digest) {
        return Some("the digest is another one");
    }
    match (answer.status, asking.range) {
        (200, None) if answer.length.is_some_and(|length| length != right.size) => Some("the length is another one"),
        // Without a size no part can be named.
        (200, Some(_)) if answer.length.is_some() => Some("the range was ignored"),
        (200, _) => None,
        (206, Some((first, last))) => {
            let last = last.min(right.size - 1);
            let range = format!("bytes {first}-{last}/{}", right.size);
            let named = answer.content_range.as_deref() == Some(&range) && answer.length == Some(last + 1 - first);
            (!named).then_some("another part is named")
        }
        _ => Some("no such status was asked for"),
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
