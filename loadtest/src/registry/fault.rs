//! What goes wrong, as data: which requests, how often, and how.

use std::sync::{Mutex, MutexGuard};
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

    fn fits(&self, kind: Kind, repository: Option<&str>, reference: Option<&str>) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && self.repository.as_deref().is_none_or(|wanted| repository == Some(wanted))
            && self.reference.as_deref().is_none_or(|wanted| reference == Some(wanted))
    }
}

/// How the body of an answer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Truncate,
    Reset,
    Hang,
}

/// All that goes wrong with one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) latency: Option<Duration>,
    pub(super) hold: bool,
    pub(super) disconnect: bool,
    pub(super) status: Option<(u16, Option<String>, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) corrupt: Option<u64>,
    pub(super) cut: Option<(u64, Cut)>,
    pub(super) ignore_range: bool,
    pub(super) omit_digest: bool,
    pub(super) chunked: bool,
    pub(super) strict_accept: bool,
    /// All that was met, for the diary.
    pub(super) met: Vec<Effect>,
}

impl Plan {
    fn add(&mut self, effect: &Effect) {
        self.met.push(effect.clone());
        let cut = &mut self.cut;
        match effect {
            Effect::Latency { millis } => {
                self.latency.get_or_insert(Duration::from_millis(*millis));
            }
            Effect::Hold => self.hold = true,
            Effect::Disconnect => self.disconnect = true,
            Effect::Status { status, code, message } => {
                self.status.get_or_insert_with(|| (*status, code.clone(), message.clone()));
            }
            Effect::Headers { headers } => self.headers.extend(headers.iter().cloned()),
            Effect::Corrupt { at } => {
                self.corrupt.get_or_insert(*at);
            }
            Effect::Truncate { after } => drop(cut.get_or_insert((*after, Cut::Truncate))),
            Effect::Reset { after } => drop(cut.get_or_insert((*after, Cut::Reset))),
            Effect::Hang { after } => drop(cut.get_or_insert((*after, Cut::Hang))),
            Effect::IgnoreRange => self.ignore_range = true,
            Effect::OmitDigest => self.omit_digest = true,
            Effect::Chunked => self.chunked = true,
            Effect::StrictAccept => self.strict_accept = true,
        }
    }
}

/// The faults in force, each with the number of requests it has met.
#[derive(Debug, Default)]
pub(super) struct FaultBoard {
    faults: Mutex<Vec<(Fault, u64)>>,
}

impl FaultBoard {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let board = Self::default();
        board.set(faults);
        board
    }

    /// Replaces all faults; their counts begin anew.
    pub(super) fn set(&self, faults: Vec<Fault>) {
        *self.lock() = faults.into_iter().map(|fault| (fault, 0)).collect();
    }

    pub(super) fn add(&self, fault: Fault) {
        self.lock().push((fault, 0));
    }

    /// What goes wrong with this request; it counts as met.
    pub(super) fn plan(&self, kind: Kind, repository: Option<&str>, reference: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        for (fault, met) in self.lock().iter_mut() {
            if !fault.fits(kind, repository, reference) {
                continue;
            }
            *met += 1;
            if *met > fault.skip && fault.times.is_none_or(|times| *met - fault.skip <= times) {
                plan.add(&fault.effect);
            }
        }
        plan
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Fault, u64)>> {
        self.faults.lock().expect("nothing panics while it is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_skips_then_meets_so_many() {
        let board = FaultBoard::new(vec![Fault::new(Effect::Chunked).on(Kind::BlobGet).skip(1).times(2)]);
        let met: Vec<bool> = (0..5).map(|_| board.plan(Kind::BlobGet, None, None).chunked).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert!(!board.plan(Kind::Ping, None, None).chunked);
    }

    #[test]
    fn a_fault_fits_what_it_names() {
        let board = FaultBoard::new(vec![Fault::new(Effect::Hold).on_manifests().in_repository("a/b").of("1")]);
        let holds = |kind, repository, reference| board.plan(kind, Some(repository), Some(reference)).hold;
        assert!(holds(Kind::ManifestGet, "a/b", "1"));
        assert!(holds(Kind::ManifestHead, "a/b", "1"));
        assert!(!holds(Kind::BlobGet, "a/b", "1"));
        assert!(!holds(Kind::ManifestGet, "a/c", "1"));
        assert!(!holds(Kind::ManifestGet, "a/b", "2"));
    }

    #[test]
    fn the_first_of_two_cuts_counts() {
        let board = FaultBoard::new(vec![
            Fault::new(Effect::Hang { after: 1 }).times(1),
            Fault::new(Effect::Reset { after: 2 }),
        ]);
        assert_eq!(board.plan(Kind::BlobGet, None, None).cut, Some((1, Cut::Hang)));
        assert_eq!(board.plan(Kind::BlobGet, None, None).cut, Some((2, Cut::Reset)));
    }

    #[test]
    fn scripts_write_faults_as_json() {
        let text = r#"{"kinds":["blob_get"],"times":2,"effect":{"reset":{"after":10}}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault, Fault::new(Effect::Reset { after: 10 }).on(Kind::BlobGet).times(2));
        assert!(serde_json::from_str::<Fault>(r#"{"effect":"chunked","unknown":1}"#).is_err());
    }
}
