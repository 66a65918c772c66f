//! One object: followed to its end, continued where it breaks off, checked.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::PullError;
use super::check::Check;
use super::journal::Kind;
use super::session::{Session, accept, reason};
use crate::measure::Pace;

/// How often an object is asked for in a row without a single new byte.
const MOST_ATTEMPTS: u32 = 5;

/// Wait before the second attempt in a row; the next ones wait longer.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Transfer<'a> {
    pub(super) session: &'a Session,
    pub(super) kind: Kind,
    pub(super) url: Url,
    pub(super) digest: &'a str,
    /// What its manifest says.
    pub(super) size: Option<u64>,
}

/// What has come so far.
struct Arrived {
    offset: u64,
    check: Check,
    kept: Option<Vec<u8>>,
    first_byte: Option<Duration>,
}

impl Transfer<'_> {
    /// The object itself; for what is small.
    pub(super) async fn into_memory(self) -> Result<Vec<u8>, PullError> {
        Ok(self.run(Some(Vec::new())).await?.kept.unwrap_or_default())
    }

    /// The object goes nowhere; its size.
    pub(super) async fn away(self) -> Result<u64, PullError> {
        Ok(self.run(None).await?.offset)
    }

    async fn run(&self, kept: Option<Vec<u8>>) -> Result<Arrived, PullError> {
        let began = Instant::now();
        let check = Check::of(self.digest, self.session.options.verify)?;
        let mut arrived = Arrived { offset: 0, check, kept, first_byte: None };
        let mut attempts = 0;
        loop {
            let before = arrived.offset;
            let Err(cause) = self.attempt(&mut arrived, began).await? else { break };
            // Whoever makes progress may go on for ever.
            attempts = if arrived.offset > before { 1 } else { attempts + 1 };
            if attempts == MOST_ATTEMPTS {
                return Err(PullError::Broken { what: self.kind, offset: arrived.offset, attempts, cause });
            }
            tokio::time::sleep(PAUSE * attempts).await;
            self.session.journal.resumed();
        }
        self.judge(&arrived)?;
        self.session.journal.ended(self.kind, arrived.first_byte, began.elapsed(), arrived.offset);
        Ok(arrived)
    }

    /// Asks for what is missing. The inner error is why it broke off, the outer one ends the pull.
    async fn attempt(&self, arrived: &mut Arrived, began: Instant) -> Result<Result<(), String>, PullError> {
        let mut request = self.session.request(Method::GET, self.url.clone());
        if self.kind == Kind::Manifest {
            request = request.header("accept", accept());
        }
        if arrived.offset > 0 {
            request = request.header("range", format!("bytes={}-", arrived.offset));
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Err(reason(&error))),
        };
        let mut skip = self.known(&response, arrived.offset)?;
        let mut pace = self.session.options.rate.map(|rate| Pace::new(rate, Instant::now()));
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(reason(&error))),
            };
            arrived.first_byte.get_or_insert_with(|| began.elapsed());
            self.session.journal.received(piece.len());
            let known = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
            skip -= known as u64;
            let new = &piece[known..];
            arrived.check.update(new);
            arrived.offset += new.len() as u64;
            if let Some(kept) = &mut arrived.kept {
                kept.extend_from_slice(new);
            }
            if let Some(pace) = &mut pace {
                tokio::time::sleep(pace.took(piece.len(), Instant::now())).await;
            }
        }
    }

    /// How many bytes at the beginning of an answer have come before.
    fn known(&self, response: &Response, offset: u64) -> Result<u64, PullError> {
        match response.status() {
            // A server may ignore the range and send everything.
            StatusCode::OK => Ok(offset),
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
                let begins = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok());
                if begins == Some(offset) { Ok(0) } else { Err(PullError::WrongRange { what: self.kind, offset }) }
            }
            status => Err(PullError::Refused { what: self.kind, status }),
        }
    }

    fn judge(&self, arrived: &Arrived) -> Result<(), PullError> {
        if let Some(expected) = self.size.filter(|size| *size != arrived.offset) {
            return Err(PullError::WrongSize { what: self.kind, expected, actual: arrived.offset });
        }
        match arrived.check.clone().wrong(self.digest) {
            Some(actual) => Err(PullError::WrongDigest { what: self.kind, expected: self.digest.to_owned(), actual }),
            None => Ok(()),
        }
    }
}
