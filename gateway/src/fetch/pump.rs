//! The pump of a fill: asks the upstream, reads what comes, goes on where it breaks off.

use futures::StreamExt as _;
use futures::future::poll_immediate;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::limits;

use super::budget::Budget;
use super::error::FillFailure;
use super::fill::Fill;
use super::intake::Intake;
use crate::config::Timeouts;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::Client;
use crate::upstream::client::{Patience, transport_fault};
use crate::upstream::content::BlobBody;
use crate::upstream::error::{Answer, Fault};

/// Downloads a blob into its fill.
pub(super) struct Pump<'a> {
    pub(super) client: &'a Client,
    pub(super) timeouts: Timeouts,
    /// What a manifest says of the size: bounds a body that says nothing of it.
    pub(super) promised: Option<u64>,
    pub(super) view: &'a UpstreamView,
    pub(super) repository: &'a RepositoryName,
    pub(super) fill: &'a Fill,
}

/// Why a continued download did not go on.
enum Ended {
    /// This time: it may be tried again.
    Fault(Fault),
    /// For good.
    Failed(FillFailure),
}

/// How an opened download went on.
enum Piece {
    /// The body came to its end.
    End,
    /// It broke off.
    Broke(Fault),
}

impl Pump<'_> {
    fn upstream_failed(&self, fault: Fault) -> FillFailure {
        FillFailure::Upstream { upstream: self.view.upstream.settings.name.clone(), fault }
    }

    /// Asks for the whole blob.
    pub(super) async fn open(&self) -> Result<Answer<BlobBody>, FillFailure> {
        // Clients wait for their headers: both attempts together get what one is given.
        let patience = Patience::lasting(self.timeouts.answer);
        let answer = match self.ask(0, patience).await {
            // A dropped connection, or a redirect target that has expired: once more, from the registry on.
            Err(Fault::Connection(_) | Fault::RedirectTarget(_)) => self.ask(0, patience).await,
            answer => answer,
        };
        let answer = answer.map_err(|fault| self.upstream_failed(fault))?;
        if let Answer::Here(body) = &answer
            && body.size.is_some_and(|size| size > limits::BLOB_MAX_BYTES)
        {
            return Err(FillFailure::TooLarge(limits::BLOB_MAX_BYTES));
        }
        if let (Answer::Here(body), Some(before)) = (&answer, self.fill.class().only_size())
            && let Some(now) = body.size.filter(|now| *now != before)
        {
            return Err(FillFailure::SizeChanged { before, now });
        }
        Ok(answer)
    }

    async fn ask(&self, offset: u64, patience: Patience) -> Result<Answer<BlobBody>, Fault> {
        self.client.blob(self.view, self.repository, &self.fill.digest(), offset, patience).await
    }

    /// Asks for what another gateway's download left: all from `offset` on.
    pub(super) async fn take_over(
        &self,
        offset: u64,
        size: Option<u64>,
        budget: &mut Budget,
    ) -> Result<BlobBody, FillFailure> {
        match self.continued(offset, size, budget).await {
            Ok(body) => Ok(body),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::Fault(fault)) => self.resume(fault, offset, size, budget).await,
        }
    }

    /// Reads an opened body to its end, and continues it where it breaks off. What was taken is in the intake when this is
    /// dropped.
    pub(super) async fn run(
        &self,
        intake: &mut Intake<'_>,
        mut body: BlobBody,
        size: Option<u64>,
        budget: &mut Budget,
    ) -> Result<(), FillFailure> {
        loop {
            match self.read(intake, body, size).await? {
                Piece::End => return Ok(()),
                Piece::Broke(fault) => {
                    intake.publish();
                    body = self.resume(fault, intake.taken(), size, budget).await?;
                }
            }
        }
    }

    async fn read(&self, intake: &mut Intake<'_>, mut body: BlobBody, size: Option<u64>) -> Result<Piece, FillFailure> {
        // What an upstream that ignores ranges sends again.
        let mut skip = intake.taken().saturating_sub(body.offset);
        let most = size.or(self.promised).unwrap_or(limits::BLOB_MAX_BYTES);
        loop {
            let next = match poll_immediate(body.body.next()).await {
                Some(next) => next,
                None => {
                    intake.publish();
                    body.body.next().await
                }
            };
            let mut piece = match next {
                Some(Ok(piece)) => piece,
                // All is here, and only the word that it is all is missing.
                Some(Err(_)) if self.promised == Some(intake.taken()) => return Ok(Piece::End),
                Some(Err(error)) => return Ok(Piece::Broke(transport_fault(error))),
                None => break,
            };
            if body.is_from_upstream {
                self.client.metrics().received(self.view.upstream.id, piece.len() as u64);
            }
            let known = skip.min(piece.len() as u64);
            skip -= known;
            let piece = piece.split_off(usize::try_from(known).unwrap_or(usize::MAX).min(piece.len()));
            if piece.is_empty() {
                continue;
            }
            if intake.taken() + piece.len() as u64 > most {
                return Err(FillFailure::TooLarge(most));
            }
            intake.take(piece).await?;
        }
        if size.is_none_or(|size| intake.taken() == size) {
            Ok(Piece::End)
        } else {
            Ok(Piece::Broke(Fault::Connection("the body ended before its length".to_owned())))
        }
    }

    /// Asks for the rest: with a fresh token and a fresh redirect, since each request resolves both anew.
    async fn resume(
        &self,
        mut fault: Fault,
        offset: u64,
        size: Option<u64>,
        budget: &mut Budget,
    ) -> Result<BlobBody, FillFailure> {
        loop {
            let Some(pause) = budget.spend(offset, fault.retry_after()) else {
                return Err(self.upstream_failed(fault));
            };
            tracing::info!(digest = %self.fill.digest(), offset, %fault, ?pause, "download broke off, asking for the rest");
            tokio::time::sleep(pause).await;
            self.client.metrics().fill_resumed(fault.reason());
            match self.continued(offset, size, budget).await {
                Ok(body) => return Ok(body),
                Err(Ended::Failed(failure)) => return Err(failure),
                Err(Ended::Fault(again)) => fault = again,
            }
        }
    }

    /// Asks once for the rest of a body of which something is here.
    async fn continued(&self, offset: u64, size: Option<u64>, budget: &mut Budget) -> Result<BlobBody, Ended> {
        match self.ask(offset, Patience::lasting(self.timeouts.answer)).await {
            Ok(Answer::Here(body)) => {
                if body.offset < offset {
                    budget.restarts();
                }
                if let (Some(before), Some(now)) = (size, body.size)
                    && before != now
                {
                    return Err(Ended::Failed(FillFailure::SizeChanged { before, now }));
                }
                Ok(body)
            }
            Ok(Answer::NotHere(not_here)) => {
                let fault = Fault::BadAnswer(format!("began to send the blob and now says {}", not_here.reason()));
                Err(Ended::Failed(self.upstream_failed(fault)))
            }
            Err(fault) => Err(Ended::Fault(fault)),
        }
    }
}
