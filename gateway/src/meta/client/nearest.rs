//! Calls that any member serves.
//!
//! The nearest member is the one that answered first when all were asked at once; it is asked alone until it fails or thinks too
//! long, and then all others with it. So a member that hangs costs one call a pause of
//! [`limits::META_HEDGE_AFTER`]; from then on another is the nearest.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use roadstead_proto::domain::limits;
use roadstead_proto::meta::MetaError;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tonic::Status;
use tonic::transport::Channel;

use super::failure::Failure;
use super::members::Members;

/// Nobody answered.
#[derive(Debug)]
pub(super) struct NoAnswer {
    error: MetaError,
    /// Whoever answered was behind what this client has seen.
    pub(super) all_are_behind: bool,
}

impl NoAnswer {
    fn nobody_is_there() -> Self {
        MetaError::Unavailable("no node answers".to_owned()).into()
    }

    fn add(&mut self, failure: Failure) {
        self.all_are_behind |= matches!(failure, Failure::Behind(_));
        // What was forgotten, or is damaged, says more than who is away.
        if !self.is_of_substance() {
            self.error = failure.into_error();
        }
    }

    fn is_of_substance(&self) -> bool {
        !matches!(self.error, MetaError::Unavailable(_) | MetaError::NotLeader { .. })
    }

    /// Whether it is the group's answer, which asking again will not change.
    fn is_an_answer(&self) -> bool {
        self.all_are_behind || self.is_of_substance()
    }
}

impl From<MetaError> for NoAnswer {
    fn from(error: MetaError) -> Self {
        Self { error, all_are_behind: false }
    }
}

impl From<NoAnswer> for MetaError {
    fn from(no_answer: NoAnswer) -> Self {
        no_answer.error
    }
}

/// Makes a call of whoever answers first. `ask` makes it of one member, within a time.
pub(super) async fn call<A, F>(
    members: &Members,
    deadline: Instant,
    ask: impl Fn(Channel, Duration) -> F,
) -> Result<A, NoAnswer>
where
    F: Future<Output = Result<A, Status>>,
{
    // While everybody is away, one round of one caller finds out as much as many of all.
    let alone = match members.is_dark() {
        true => Some(members.alone_in_the_dark().ok_or_else(NoAnswer::nobody_is_there)?),
        false => None,
    };
    let mut pause = limits::META_RETRY_PAUSE;
    loop {
        let no_answer = match round(members, deadline, &ask).await {
            Ok(answer) => return Ok(answer),
            Err(no_answer) => no_answer,
        };
        if no_answer.is_an_answer() {
            members.somebody_answers();
            return Err(no_answer);
        }
        if alone.is_some() || Instant::now() + pause >= deadline {
            members.nobody_answers();
            return Err(no_answer);
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits::META_RETRY_PAUSE_MAX);
        // Perhaps they have moved.
        let _ = members.look_up().await;
    }
}

/// Asks the nearest, then all.
async fn round<A, F>(members: &Members, deadline: Instant, ask: &impl Fn(Channel, Duration) -> F) -> Result<A, NoAnswer>
where
    F: Future<Output = Result<A, Status>>,
{
    let until = deadline.min(Instant::now() + limits::META_LOCAL_ATTEMPT);
    let nearest = members.nearest();
    let mut rest = members.addresses().await?;
    rest.retain(|address| Some(address) != nearest.as_ref());
    let mut running = FuturesUnordered::new();
    let mut failures = NoAnswer::nobody_is_there();
    let start = |address: String| async move {
        let answer = one(members, &address, until, ask).await;
        (address, answer)
    };
    let is_race = nearest.is_none();
    let hedge_at = Instant::now() + limits::META_HEDGE_AFTER;
    match nearest.clone() {
        Some(nearest) => running.push(start(nearest)),
        None => running.extend(rest.drain(..).map(start)),
    }
    loop {
        tokio::select! {
            ended = running.next() => match ended {
                Some((address, Ok(answer))) => {
                    if !is_race && nearest.as_ref() == Some(&address) {
                        members.somebody_answers();
                    } else {
                        members.is_nearest(&address);
                    }
                    return Ok(answer);
                }
                Some((_, Err(failure))) => {
                    failures.add(failure);
                    running.extend(rest.drain(..).map(start));
                }
                None => return Err(failures),
            },
            () = sleep_until(hedge_at), if !rest.is_empty() => running.extend(rest.drain(..).map(start)),
        }
    }
}

async fn one<A, F>(
    members: &Members,
    address: &str,
    until: Instant,
    ask: &impl Fn(Channel, Duration) -> F,
) -> Result<A, Failure>
where
    F: Future<Output = Result<A, Status>>,
{
    let channel = members.channel(address).map_err(Failure::Elsewhere)?;
    let patience = until.saturating_duration_since(Instant::now());
    match timeout_at(until, ask(channel, patience)).await {
        Ok(answer) => answer.map_err(|status| Failure::of(&status)),
        Err(_) => Err(Failure::late(address)),
    }
}

/// Makes a call that a member takes its time for, of one member after the other, each until it fails.
pub(super) async fn wait<A, F>(
    members: &Members,
    deadline: Instant,
    ask: impl Fn(Channel, Duration) -> F,
) -> Result<A, MetaError>
where
    F: Future<Output = Result<A, Status>>,
{
    let mut pause = limits::META_RETRY_PAUSE;
    loop {
        let mut failures = NoAnswer::nobody_is_there();
        let nearest = members.nearest();
        let others = members.addresses().await?.into_iter().filter(|address| Some(address) != nearest.as_ref());
        for address in nearest.iter().cloned().chain(others) {
            match one(members, &address, deadline, &ask).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failures.add(failure),
            }
        }
        if Instant::now() + pause >= deadline {
            return Err(failures.into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits::META_RETRY_PAUSE_MAX);
    }
}
