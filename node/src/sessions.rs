//! Who has been heard of: the raft leader's memory of keep-alives.
//!
//! Nothing here is replicated, for a keep-alive a second and gateway is not worth a log entry. A leader therefore
//! knows only what it heard itself, and blames nobody for silence that it may have caused: sessions count from when its reign
//! began, and anew from when it was itself asleep (a suspended machine, a stopped process, a clock set forward).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use roadstead_proto::domain::fleet::{Fleet, Gathered, Report};
use roadstead_proto::domain::lease::{SESSION_TTL, SessionId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::rows::Session;

/// The memory of this member's reign; empty while another one leads.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Option<Reign>>);

#[derive(Debug)]
struct Reign {
    term: u64,
    /// Silence counts from here at the earliest.
    attentive_since: Timestamp,
    /// When silence was last looked for.
    looked_at: Timestamp,
    heard: HashMap<SessionId, Sign>,
}

/// A sign of life.
#[derive(Debug)]
struct Sign {
    at: Timestamp,
    report: Report,
}

impl Reign {
    fn new(term: u64, now: Timestamp) -> Self {
        Self { term, attentive_since: now, looked_at: now, heard: HashMap::new() }
    }

    fn fleet(&self, open: Vec<(SessionId, Session)>, now: Timestamp) -> Fleet {
        let mut gathered = Gathered::default();
        for sign in self.heard.values() {
            let ago = now.since(sign.at);
            sign.report.standings.iter().for_each(|standing| gathered.add(standing, ago));
        }
        let member = |(id, session): (SessionId, Session)| {
            let sign = self.heard.get(&id);
            let report = sign.map(|sign| Report { standings: Vec::new(), ..sign.report.clone() });
            let ago = now.since(sign.map_or(session.opened_at, |sign| sign.at));
            session.member(id, report, ago)
        };
        Fleet { gateways: open.into_iter().map(member).collect(), standings: gathered.into_standings() }
    }
}

impl Sessions {
    fn reign(&self) -> MutexGuard<'_, Option<Reign>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another member leads.
    pub(crate) fn resign(&self) {
        *self.reign() = None;
    }

    /// `session`, one of the `open` ones, was heard of at `now`, while this member led in `term`. What is known of all of them.
    pub(crate) fn heard(
        &self,
        term: u64,
        session: SessionId,
        report: &Report,
        open: Vec<(SessionId, Session)>,
        now: Timestamp,
    ) -> Fleet {
        let mut reign = self.reign();
        let reign = current(&mut reign, term, now);
        reign.heard.insert(session, Sign { at: now, report: report.clone() });
        reign.fleet(open, now)
    }

    /// What is known of the `open` sessions, while this member leads in `term`.
    pub(crate) fn fleet(&self, term: u64, open: Vec<(SessionId, Session)>, now: Timestamp) -> Fleet {
        current(&mut self.reign(), term, now).fleet(open, now)
    }

    /// Which of the `open` sessions (with the time they opened) have been silent for [`SESSION_TTL`].
    pub(crate) fn silent(&self, term: u64, now: Timestamp, open: &[(SessionId, Timestamp)]) -> Vec<SessionId> {
        let mut reign = self.reign();
        let reign = current(&mut reign, term, now);
        if now.since(reign.looked_at) >= SESSION_TTL {
            reign.attentive_since = now;
        }
        reign.looked_at = now;
        reign.heard.retain(|heard, _| open.iter().any(|(id, _)| id == heard));
        let last_sign = |id: &SessionId, opened: Timestamp| {
            let heard = reign.heard.get(id).map(|sign| sign.at).unwrap_or_default();
            heard.max(opened).max(reign.attentive_since)
        };
        let is_silent = |id: &SessionId, opened| now.since(last_sign(id, opened)) >= SESSION_TTL;
        open.iter().filter(|(id, opened)| is_silent(id, *opened)).map(|(id, _)| *id).collect()
    }
}

/// The reign of `term`, which begins now unless it has begun.
fn current(reign: &mut Option<Reign>, term: u64, now: Timestamp) -> &mut Reign {
    if reign.as_ref().is_none_or(|reign| reign.term != term) {
        *reign = None;
    }
    reign.get_or_insert_with(|| Reign::new(term, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);
    const OPEN: [(SessionId, Timestamp); 2] = [(A, Timestamp(0)), (B, Timestamp(0))];

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000 + seconds * 1000)
    }

    #[test]
    fn a_silent_session_is_found_after_its_time_and_a_kept_one_is_not() {
        let sessions = Sessions::default();
        for second in 0..3 {
            assert_eq!(sessions.silent(1, at(second), &OPEN), []);
            sessions.heard(1, A, &Report::default(), Vec::new(), at(second));
        }
        assert_eq!(sessions.silent(1, at(3), &OPEN), [B]);
    }

    #[test]
    fn a_new_leader_waits_a_whole_session_time() {
        let sessions = Sessions::default();
        for second in 0..10 {
            sessions.silent(1, at(second), &OPEN);
        }
        for second in 10..13 {
            assert_eq!(sessions.silent(2, at(second), &OPEN), [], "{second}");
        }
        assert_eq!(sessions.silent(2, at(13), &OPEN), [A, B]);
    }

    #[test]
    fn a_leader_that_lost_its_reign_starts_over_even_in_the_same_term() {
        let sessions = Sessions::default();
        sessions.silent(1, at(0), &OPEN);
        sessions.resign();
        assert_eq!(sessions.silent(1, at(60), &OPEN), []);
    }

    #[test]
    fn a_leader_that_slept_blames_nobody() {
        let sessions = Sessions::default();
        sessions.heard(1, A, &Report::default(), Vec::new(), at(0));
        assert_eq!(sessions.silent(1, at(0), &OPEN), []);
        assert_eq!(sessions.silent(1, at(3600), &OPEN), []);
        assert_eq!(sessions.silent(1, at(3602), &OPEN), []);
        assert_eq!(sessions.silent(1, at(3603), &OPEN), [A, B]);
    }

    #[test]
    fn a_session_counts_from_its_opening() {
        let sessions = Sessions::default();
        for second in 0..9 {
            sessions.silent(1, at(second), &[]);
        }
        assert_eq!(sessions.silent(1, at(10), &[(A, at(8))]), []);
        assert_eq!(sessions.silent(1, at(11), &[(A, at(8))]), [A]);
    }

    #[test]
    fn a_clock_set_back_ends_nothing() {
        let sessions = Sessions::default();
        sessions.heard(1, A, &Report::default(), Vec::new(), at(100));
        assert_eq!(sessions.silent(1, at(100), &OPEN), []);
        assert_eq!(sessions.silent(1, at(10), &OPEN), []);
    }
}
