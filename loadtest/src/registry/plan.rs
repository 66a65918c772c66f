//! The faults in force, and what they make of one request.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::{Effect, Fault, Kind};

/// How the body of an answer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Truncate,
    Reset,
    Hang,
}

/// What is answered in place of the right answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    Status(u16, Option<String>, String),
    Redirect(u16, String),
    Garbage,
}

/// How a manifest is tagged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Etag {
    #[default]
    Digest,
    Opaque,
    Missing,
}

/// All that goes wrong with one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) latency: Option<Duration>,
    pub(super) hold: bool,
    pub(super) disconnect: bool,
    pub(super) instead: Option<Instead>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) corrupt: Option<u64>,
    pub(super) cut: Option<(u64, Cut)>,
    pub(super) ignore_range: bool,
    pub(super) omit_digest: bool,
    pub(super) chunked: bool,
    pub(super) strict_accept: bool,
    pub(super) bandwidth: Option<u64>,
    pub(super) endless: bool,
    pub(super) expire_redirects: Option<u64>,
    pub(super) expire_tokens: Option<u64>,
    pub(super) wrong_length: Option<i64>,
    pub(super) wrong_range: Option<i64>,
    pub(super) wrong_digest: bool,
    pub(super) etag: Etag,
    pub(super) cold_head: bool,
    /// All that was met, for the diary.
    pub(super) met: Vec<Effect>,
}

impl Plan {
    fn add(&mut self, effect: &Effect) {
        self.met.push(effect.clone());
        match effect {
            Effect::Latency { millis } => first(&mut self.latency, Duration::from_millis(*millis)),
            Effect::Hold => self.hold = true,
            Effect::Disconnect => self.disconnect = true,
            Effect::Status { status, code, message } => {
                first(&mut self.instead, Instead::Status(*status, code.clone(), message.clone()));
            }
            Effect::RedirectTo { location, status } => {
                first(&mut self.instead, Instead::Redirect(*status, location.clone()));
            }
            Effect::Garbage => first(&mut self.instead, Instead::Garbage),
            Effect::Headers { headers } => self.headers.extend(headers.iter().cloned()),
            Effect::Corrupt { at } => first(&mut self.corrupt, *at),
            Effect::Truncate { after } => first(&mut self.cut, (*after, Cut::Truncate)),
            Effect::Reset { after } => first(&mut self.cut, (*after, Cut::Reset)),
            Effect::Hang { after } => first(&mut self.cut, (*after, Cut::Hang)),
            Effect::Bandwidth { bytes_per_second } => first(&mut self.bandwidth, *bytes_per_second),
            Effect::Endless => self.endless = true,
            Effect::ExpireRedirects { after } => first(&mut self.expire_redirects, *after),
            Effect::ExpireTokens { after } => first(&mut self.expire_tokens, *after),
            Effect::WrongLength { by } => first(&mut self.wrong_length, *by),
            Effect::WrongRange { by } => first(&mut self.wrong_range, *by),
            Effect::WrongDigest => self.wrong_digest = true,
            Effect::OmitEtag => self.tag(Etag::Missing),
            Effect::OpaqueEtag => self.tag(Etag::Opaque),
            Effect::ColdHead => self.cold_head = true,
            Effect::IgnoreRange => self.ignore_range = true,
            Effect::OmitDigest => self.omit_digest = true,
            Effect::Chunked => self.chunked = true,
            Effect::StrictAccept => self.strict_accept = true,
        }
    }

    fn tag(&mut self, etag: Etag) {
        if self.etag == Etag::Digest {
            self.etag = etag;
        }
    }
}

/// Of two faults that contradict each other the first has its way.
fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
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

    /// The faults, each with the number of requests that it fitted.
    pub(super) fn list(&self) -> Vec<(Fault, u64)> {
        self.lock().clone()
    }

    #[cfg(test)]
    fn plan(&self, kind: Kind, repository: Option<&str>, reference: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        self.add_to(&mut plan, kind, repository, reference);
        plan
    }

    /// What goes wrong with this request; it counts as met.
    pub(super) fn add_to(&self, plan: &mut Plan, kind: Kind, repository: Option<&str>, reference: Option<&str>) {
        for (fault, met) in self.lock().iter_mut() {
            if !fault.fits(kind, repository, reference) {
                continue;
            }
            *met += 1;
            if *met > fault.skip && fault.times.is_none_or(|times| *met - fault.skip <= times) {
                plan.add(&fault.effect);
            }
        }
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
}
