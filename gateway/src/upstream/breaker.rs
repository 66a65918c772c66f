//! When an upstream is left alone: after a 429, and after faults in a row. Pure: the time comes in as a value.
//!
//! ```text
//!            faults in a row, or 429                 its time is over: one request goes out
//!   closed ───────────────────────────► open ──────────────────────────────────────► half-open
//!      ▲                                 ▲ └──── everybody else is refused at once ────┘ │ │
//!      │                                 └──────── a fault: twice as long ───────────────┘ │
//!      └──────────────────────────────────────── any other answer ─────────────────────────┘
//! ```
//!
//! Only faults of the upstream itself count ([`strikes`]): "not here", a refusal, a body that is wrong say that it is there.
//!
//! A fleet shares one thing of it: until when an upstream wants to be left alone, by a 429 or a `Retry-After` that opened the breaker
//! of one gateway. It opens everybody's ([`Breaker::told`]). Strikes stay each gateway's own, since it may be its own
//! network that is broken. Passed on is only what an upstream said to the gateway itself ([`Breaker::asked`]), so that no news
//! goes round for ever; and who was only told waits a little longer, each for a time of its own, so that one gateway probes and the
//! others hear of what it found before their own time has come:
//!
//! ```text
//!   asked to wait   ├── Retry-After ──┤ probe ─► 429: told to everybody, nobody else probes
//!   told of it      ├─────────────────┼─ 2 s + own share of 3 s ─┤ probe, unless told again
//! ```

use std::time::Duration;

use http::StatusCode;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;

use super::error::Fault;

/// Whether a fault says that the upstream is down or wants to be left alone.
pub fn strikes(fault: &Fault) -> bool {
    match fault {
        Fault::Connection(_) | Fault::Timeout(_) | Fault::RateLimited { .. } => true,
        // 501 is what a healthy registry says to what it does not do.
        Fault::Status { status, .. } => status.is_server_error() && *status != StatusCode::NOT_IMPLEMENTED,
        _ => false,
    }
}

/// How a request that was let through ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// The upstream is there, whatever it said.
    Answered,
    /// A fault that [`strikes`].
    Fault(Fault),
    /// Nobody waited for the end.
    Abandoned,
}

/// The right to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    generation: u64,
    probe: bool,
    /// What is asked about; one thing that is slow or broken is no outage.
    subject: u64,
}

/// No request, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What opened the breaker.
    pub fault: Fault,
    /// When it lets a request through.
    pub retry_in: Duration,
}

/// See the module's text.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    state: State,
    /// Raised each time it opens or closes: what set out before says nothing any more.
    generation: u64,
    /// How often it opened since it last closed.
    openings: u32,
    /// Until when the upstream asked this gateway to wait, and with which status.
    asked: Option<(Timestamp, StatusCode)>,
    /// The latest wait that was taken note of, asked for or told of: hearing of it again changes nothing.
    heeded: Timestamp,
}

#[derive(Debug, Clone)]
enum State {
    Closed {
        faults: u32,
        /// What the first of them was about.
        first: u64,
        /// Whether they were about several things.
        several: bool,
    },
    Open {
        fault: Fault,
        until: Timestamp,
        probing: bool,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { faults: 0, first: 0, several: false }
    }
}

impl Breaker {
    /// For the gauge: 0 closed, 1 half-open, 2 open.
    pub fn level(&self) -> u64 {
        match self.state {
            State::Closed { .. } => 0,
            State::Open { probing: true, .. } => 1,
            State::Open { probing: false, .. } => 2,
        }
    }

    /// Whether a request would be refused now.
    pub fn refuses(&self, now: Timestamp) -> Option<Refused> {
        match &self.state {
            State::Open { fault, until, probing } if *probing || now < *until => {
                // While one is asking, the others are told to come back in a moment.
                Some(Refused { fault: fault.clone(), retry_in: until.since(now).max(limits::BREAKER_PROBE_WAIT) })
            }
            _ => None,
        }
    }

    /// Lets a request through. `must` is one that goes on with something that runs, within a budget of its own: it is
    /// never refused, and as good as a probe.
    ///
    /// # Errors
    /// While it is open, and while another request probes.
    pub fn admit(&mut self, subject: u64, must: bool, now: Timestamp) -> Result<Pass, Refused> {
        let mut probe = false;
        if !must {
            if let Some(refused) = self.refuses(now) {
                return Err(refused);
            }
            if let State::Open { probing, .. } = &mut self.state {
                (*probing, probe) = (true, true);
            }
        }
        Ok(Pass { generation: self.generation, probe, subject })
    }

    /// Takes note of how a request ended.
    pub fn ended(&mut self, pass: Pass, ending: Ending, now: Timestamp) {
        if pass.generation != self.generation {
            return;
        }
        match (ending, &mut self.state) {
            (Ending::Answered, State::Closed { faults: 0, .. }) => {}
            (Ending::Answered, State::Closed { .. }) => self.state = State::default(),
            (Ending::Answered, State::Open { .. }) => {
                *self = Self { generation: self.generation + 1, heeded: self.heeded, ..Self::default() };
            }
            // The next who comes may probe.
            (Ending::Abandoned, State::Open { probing, .. }) if pass.probe => *probing = false,
            (Ending::Abandoned, _) => {}
            (Ending::Fault(fault), State::Open { .. }) if pass.probe => self.open(fault, now),
            // One that had to be sent failed as was to be expected.
            (Ending::Fault(_), State::Open { .. }) => {}
            (Ending::Fault(fault), State::Closed { faults, first, several }) => {
                if *faults == 0 {
                    *first = pass.subject;
                }
                *faults += 1;
                *several |= *first != pass.subject;
                let enough = *faults >= limits::BREAKER_FAULTS && (*several || matches!(fault, Fault::Connection(_)));
                if enough || matches!(fault, Fault::RateLimited { .. }) {
                    self.open(fault, now);
                }
            }
        }
    }

    /// What the upstream asked of this gateway, while it lasts: for how long it wants to be left alone, and with which status
    /// it said so.
    pub fn asked(&self, now: Timestamp) -> Option<(Duration, StatusCode)> {
        let (until, status) = self.asked.filter(|(until, _)| now < *until)?;
        Some((until.since(now), status))
    }

    /// Another gateway was asked to leave the upstream alone until then. `stagger` is by how much this one comes later.
    pub fn told(&mut self, until: Timestamp, status: StatusCode, stagger: Duration, now: Timestamp) {
        if until <= now || until <= self.heeded {
            return;
        }
        let later = until.after(stagger);
        match &mut self.state {
            // A probe that is under way tells more than this does, and closes it or not.
            State::Open { until, .. } => *until = later.max(*until),
            // An answer closed it although that wait was known, whose end is only known to about a second.
            State::Closed { .. } if until <= self.heeded.after(limits::BREAKER_PROBE_WAIT) => return,
            State::Closed { .. } => {
                let fault = match status {
                    StatusCode::TOO_MANY_REQUESTS => Fault::RateLimited { retry_after: None },
                    status => Fault::Status { status, retry_after: None },
                };
                self.state = State::Open { fault, until: later, probing: false };
                self.generation += 1;
            }
        }
        self.heeded = until;
    }

    fn open(&mut self, fault: Fault, now: Timestamp) {
        let most = match fault {
            Fault::RateLimited { .. } => limits::BREAKER_RATE_LIMITED_MAX,
            _ => limits::BREAKER_PAUSE_MAX,
        };
        let own = limits::BREAKER_PAUSE.saturating_mul(1 << self.openings.min(16)).min(most);
        let pause = fault
            .retry_after()
            .map_or(own, |asked| asked.clamp(limits::BREAKER_PROBE_WAIT, limits::BREAKER_RETRY_AFTER_MAX));
        let mut until = now.after(pause);
        self.asked = match &fault {
            Fault::RateLimited { .. } => Some((until, StatusCode::TOO_MANY_REQUESTS)),
            Fault::Status { status, retry_after: Some(_) } => Some((until, *status)),
            _ => None,
        };
        if self.asked.is_some() {
            self.heeded = self.heeded.max(until);
        }
        if let State::Open { until: told, .. } = self.state {
            until = until.max(told);
        }
        self.state = State::Open { fault, until, probing: false };
        self.generation += 1;
        self.openings += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp(1_000_000);

    fn down() -> Fault {
        Fault::Connection("refused".into())
    }

    fn limited(retry_after: Option<u64>) -> Fault {
        Fault::RateLimited { retry_after: retry_after.map(Duration::from_secs) }
    }

    fn status(code: u16) -> Fault {
        Fault::Status { status: StatusCode::from_u16(code).unwrap(), retry_after: None }
    }

    fn at(seconds: u64) -> Timestamp {
        START.after(Duration::from_secs(seconds))
    }

    impl Breaker {
        fn ask(&mut self, subject: u64, ending: Ending, now: Timestamp) {
            let pass = self.admit(subject, false, now).unwrap();
            self.ended(pass, ending, now);
        }

        fn opened_by(fault: &Fault) -> Self {
            let mut breaker = Self::default();
            for subject in 0..u64::from(limits::BREAKER_FAULTS) {
                if breaker.level() == 0 {
                    breaker.ask(subject, Ending::Fault(fault.clone()), START);
                }
            }
            assert_eq!(breaker.level(), 2, "{fault}");
            breaker
        }
    }

    #[test]
    fn which_faults_count() {
        for (fault, counts) in [
            (down(), true),
            (Fault::Timeout(Duration::from_secs(2)), true),
            (limited(None), true),
            (status(500), true),
            (status(503), true),
            (status(501), false),
            (status(403), false),
            (status(418), false),
            (Fault::CredentialsRefused(StatusCode::UNAUTHORIZED), false),
            (Fault::RedirectTarget(StatusCode::FORBIDDEN), false),
            (Fault::BadAnswer("x".into()), false),
        ] {
            assert_eq!(strikes(&fault), counts, "{fault}");
        }
    }

    #[test]
    fn faults_in_a_row_open_it_and_an_answer_in_between_does_not() {
        let mut breaker = Breaker::default();
        for round in 0..20 {
            for subject in 1..u64::from(limits::BREAKER_FAULTS) {
                breaker.ask(subject, Ending::Fault(down()), START);
            }
            assert_eq!(breaker.level(), 0, "{round}");
            breaker.ask(0, Ending::Answered, START);
        }
        assert_eq!(Breaker::opened_by(&status(502)).level(), 2);
    }

    #[test]
    fn one_thing_that_is_slow_or_broken_is_no_outage_but_a_host_that_is_not_there_is() {
        for (fault, opens) in [(status(500), false), (Fault::Timeout(Duration::from_secs(20)), false), (down(), true)] {
            let mut breaker = Breaker::default();
            for _ in 0..limits::BREAKER_FAULTS {
                breaker.ask(7, Ending::Fault(fault.clone()), START);
            }
            assert_eq!(breaker.level() == 2, opens, "{fault}");
        }
    }

    #[test]
    fn while_open_the_fault_is_repeated_with_the_time_that_is_left() {
        let mut breaker = Breaker::opened_by(&limited(Some(30)));
        let refused = breaker.admit(1, false, at(12)).unwrap_err();
        assert_eq!(refused, Refused { fault: limited(Some(30)), retry_in: Duration::from_secs(18) });
    }

    #[test]
    fn how_long_it_stays_open() {
        for (fault, seconds) in [
            (limited(Some(30)), [30, 30, 30, 30, 30, 30, 30, 30]),
            (limited(Some(0)), [1; 8]),
            (limited(Some(999_999_999)), [3600; 8]),
            (limited(None), [5, 10, 20, 40, 80, 160, 300, 300]),
            (down(), [5, 10, 20, 40, 60, 60, 60, 60]),
            (
                Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(Duration::from_secs(7)) },
                [7; 8],
            ),
        ] {
            let mut breaker = Breaker::opened_by(&fault);
            let mut now = START;
            for seconds in seconds {
                let pause = Duration::from_secs(seconds);
                assert!(breaker.refuses(Timestamp(now.after(pause).0 - 1)).is_some(), "{fault}: before {seconds}");
                now = now.after(pause);
                assert!(breaker.refuses(now).is_none(), "{fault}: after {seconds}");
                breaker.ask(1, Ending::Fault(fault.clone()), now);
            }
        }
    }

    #[test]
    fn half_open_lets_one_through() {
        let mut breaker = Breaker::opened_by(&down());
        let probe = breaker.admit(1, false, at(5)).unwrap();
        assert_eq!(breaker.level(), 1);
        let refused = breaker.admit(2, false, at(5)).unwrap_err();
        assert_eq!(refused.retry_in, limits::BREAKER_PROBE_WAIT, "in a moment it is known");
        breaker.ended(probe, Ending::Abandoned, at(5));
        let probe = breaker.admit(2, false, at(5)).unwrap();
        breaker.ended(probe, Ending::Answered, at(6));
        assert_eq!(breaker.level(), 0);
        breaker.ask(3, Ending::Fault(down()), at(6));
        assert_eq!(breaker.level(), 0, "it counts anew");
    }

    #[test]
    fn what_set_out_before_it_opened_says_nothing() {
        let mut breaker = Breaker::default();
        let early = breaker.admit(1, false, START).unwrap();
        breaker.ask(2, Ending::Fault(limited(Some(60))), START);
        breaker.ended(early, Ending::Answered, at(1));
        assert_eq!(breaker.level(), 2);
    }

    #[test]
    fn what_goes_on_is_never_refused_and_its_answer_closes() {
        let mut breaker = Breaker::opened_by(&down());
        let resumed = breaker.admit(1, true, at(1)).unwrap();
        breaker.ended(resumed, Ending::Fault(down()), at(1));
        assert!(breaker.refuses(at(5)).is_none(), "its failure opens for no longer");
        let resumed = breaker.admit(1, true, at(2)).unwrap();
        breaker.ended(resumed, Ending::Answered, at(2));
        assert_eq!(breaker.level(), 0);
    }

    proptest! {
        /// Whatever comes, it lets a request through again within the longest pause.
        #[test]
        fn it_never_stays_open(steps in proptest::collection::vec((0u8..6, 0u64..4, 0u64..90), 0..80)) {
            let (mut breaker, mut now) = (Breaker::default(), START);
            for (what, subject, seconds) in steps {
                now = now.after(Duration::from_secs(seconds));
                let Ok(pass) = breaker.admit(subject, what == 5, now) else { continue };
                let ending = match what {
                    0 => Ending::Answered,
                    1 => Ending::Abandoned,
                    2 => Ending::Fault(limited(Some(seconds * 100))),
                    _ => Ending::Fault(down()),
                };
                breaker.ended(pass, ending, now);
                prop_assert!(breaker.refuses(now.after(limits::BREAKER_RETRY_AFTER_MAX)).is_none());
            }
        }
    }
}
