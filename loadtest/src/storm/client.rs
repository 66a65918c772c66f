//! One request, and what was seen of its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::{Client, Method, Response};

use super::observed::{Answer, Asking, BodyEnd, Object, Outcome, Phase, Seen};
use super::scenario::{ClientPlan, Errand};
use crate::image::Image;
use crate::measure::Pace;
use crate::puller::accept;

/// Longest wait for anything, headers or the next byte: half again the gateway's patience with an upstream.
const PATIENCE: Duration = Duration::from_secs(45);

/// How many blobs a client fetches side by side, as containerd does.
const SIDE_BY_SIDE: usize = 3;

/// Largest error body that is looked at.
const ERROR_BYTES: usize = 64 * 1024;

/// An image, its bytes at hand to compare with.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) image: Image,
    pub(super) blobs: Vec<Bytes>,
}

/// What all clients share. They share no connection.
#[derive(Clone, Debug)]
pub(super) struct Puller {
    pub(super) http: Client,
    /// What comes before the repository.
    pub(super) base: String,
    pub(super) images: Arc<Vec<Known>>,
}

/// How a body is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manner {
    rate: Option<u64>,
    leaves_after: Option<u64>,
}

impl Puller {
    /// All that a client of the scenario does.
    pub(super) async fn play(&self, number: usize, plan: &ClientPlan) -> Vec<Seen> {
        let manner = Manner { rate: plan.rate, leaves_after: plan.leaves_after };
        let asking = |object| Asking {
            phase: Phase::Storm,
            client: number,
            image: plan.image,
            object,
            head: false,
            range: None,
        };
        match &plan.errand {
            Errand::PullTag => self.pull(asking(Object::Tag), manner).await,
            Errand::PullDigest => self.pull(asking(Object::Manifest), manner).await,
            Errand::Blob(blob) => vec![self.ask(asking(Object::Blob(*blob)), manner).await],
            Errand::Ranges(blob, ranges) => {
                let mut seen = Vec::new();
                for range in ranges {
                    let part = Asking { range: Some(*range), ..asking(Object::Blob(*blob)) };
                    seen.push(self.ask(part, manner).await);
                }
                seen
            }
            Errand::Heads => {
                let blobs = (0..self.images[plan.image].blobs.len()).map(Object::Blob);
                let mut seen = Vec::new();
                for object in std::iter::once(Object::Tag).chain(blobs) {
                    seen.push(self.ask(Asking { head: true, ..asking(object) }, manner).await);
                }
                seen
            }
        }
    }

    /// The manifest, then configuration and layers side by side.
    pub(super) async fn pull(&self, manifest: Asking, manner: Manner) -> Vec<Seen> {
        let first = self.ask(manifest, manner).await;
        if !first.is_whole() {
            return vec![first];
        }
        let blobs = 0..self.images[manifest.image].blobs.len();
        let blobs = blobs.map(|blob| self.ask(Asking { object: Object::Blob(blob), ..manifest }, manner));
        // Collected first: the compiler cannot see that a lazy closure is general enough.
        let blobs: Vec<_> = blobs.collect();
        let mut seen: Vec<Seen> = futures::stream::iter(blobs).buffer_unordered(SIDE_BY_SIDE).collect().await;
        seen.insert(0, first);
        seen
    }

    async fn ask(&self, asking: Asking, manner: Manner) -> Seen {
        let began = Instant::now();
        let known = &self.images[asking.image];
        let (path, expected) = match asking.object {
            Object::Tag => (format!("manifests/{}", known.tag), known.image.manifest().bytes().clone()),
            Object::Manifest => (format!("manifests/{}", known.image.digest()), known.image.manifest().bytes().clone()),
            Object::Blob(blob) => {
                let digest = known.image.blobs().nth(blob).map(|blob| blob.digest()).unwrap_or_default();
                (format!("blobs/{digest}"), known.blobs[blob].clone())
            }
        };
        let method = if asking.head { Method::HEAD } else { Method::GET };
        let mut request = self.http.request(method, format!("{}/{}/{path}", self.base, known.repository));
        request = request.header("accept", accept());
        if let Some((first, last)) = asking.range {
            request = request.header("range", format!("bytes={first}-{last}"));
        }
        let outcome = match tokio::time::timeout(PATIENCE, request.send()).await {
            Err(_) => Outcome::Hung { after: None },
            Ok(Err(error)) => Outcome::NoAnswer(crate::puller::reason(&error)),
            Ok(Ok(response)) => answered(response, &asking, &expected, manner).await,
        };
        Seen { asking, outcome, millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Seen {
    /// Whether everything that was asked for came, as it should.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.outcome, Outcome::Answer(answer)
            if answer.end == BodyEnd::Clean && answer.first_wrong.is_none() && (200..300).contains(&answer.status))
    }
}

async fn answered(response: Response, asking: &Asking, expected: &Bytes, manner: Manner) -> Outcome {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let mut answer = Answer {
        status,
        digest: header("docker-content-digest"),
        length: header("content-length").and_then(|text| text.parse().ok()),
        content_range: header("content-range"),
        has_retry_after: header("retry-after").is_some_and(|text| text.parse::<u64>().is_ok()),
        cache_status: header("cache-status"),
        ..Answer::default()
    };
    if asking.head {
        return Outcome::Answer(answer);
    }
    if !response.status().is_success() {
        return refused(response, answer).await;
    }
    let start = match (status, asking.range) {
        (206, Some((first, _))) => usize::try_from(first).unwrap_or(usize::MAX).min(expected.len()),
        _ => 0,
    };
    follow(response, &mut answer, &expected[start..], manner).await
}

/// Reads a body to its end, or as far as the client cares to.
async fn follow(mut response: Response, answer: &mut Answer, expected: &[u8], manner: Manner) -> Outcome {
    let mut pace = manner.rate.map(|rate| Pace::new(rate, Instant::now()));
    loop {
        if manner.leaves_after.is_some_and(|after| answer.received >= after) {
            answer.end = BodyEnd::Left;
            break;
        }
        let piece = match tokio::time::timeout(PATIENCE, response.chunk()).await {
            Err(_) => return Outcome::Hung { after: Some(answer.received) },
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                answer.end = BodyEnd::Broken(crate::puller::reason(&error));
                break;
            }
        };
        let at = usize::try_from(answer.received).unwrap_or(usize::MAX).min(expected.len());
        if answer.first_wrong.is_none() {
            let wrong = first_difference(&piece, &expected[at..]);
            answer.first_wrong = wrong.map(|wrong| answer.received + wrong as u64);
        }
        answer.received += piece.len() as u64;
        if let Some(pace) = &mut pace {
            tokio::time::sleep(pace.took(piece.len(), Instant::now())).await;
        }
    }
    Outcome::Answer(std::mem::take(answer))
}

/// Where the piece is not what comes next; also where it goes on beyond the end.
fn first_difference(piece: &[u8], expected: &[u8]) -> Option<usize> {
    let common = piece.len().min(expected.len());
    if piece[..common] != expected[..common] {
        return (0..common).find(|index| piece[*index] != expected[*index]);
    }
    (piece.len() > common).then_some(common)
}

/// The code of an error body as the distribution specification has it.
async fn refused(mut response: Response, mut answer: Answer) -> Outcome {
    let mut body = Vec::new();
    loop {
        match tokio::time::timeout(PATIENCE, response.chunk()).await {
            Err(_) => return Outcome::Hung { after: Some(answer.received) },
            Ok(Ok(Some(piece))) if body.len() < ERROR_BYTES => body.extend_from_slice(&piece),
            Ok(Ok(_)) => break,
            Ok(Err(error)) => {
                answer.end = BodyEnd::Broken(crate::puller::reason(&error));
                break;
            }
        }
        answer.received = body.len() as u64;
    }
    let error: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let code = error.as_ref().and_then(|error| error.pointer("/errors/0/code")?.as_str());
    answer.error_code = code.map(str::to_owned);
    Outcome::Answer(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_byte_is_found() {
        assert_eq!(first_difference(b"abc", b"abcdef"), None);
        assert_eq!(first_difference(b"abX", b"abcdef"), Some(2));
        assert_eq!(first_difference(b"abcd", b"abc"), Some(3));
        assert_eq!(first_difference(b"", b""), None);
    }
}
