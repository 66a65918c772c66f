//! Calls that only the leader serves.
//!
//! One member after the other: the leader as it was last known, then whom others name, then whoever there is. What may have
//! been executed is never sent again, unless doing it twice is doing it once.

use std::collections::VecDeque;
use std::time::Duration;

use roadstead_proto::domain::limits;
use roadstead_proto::meta::MetaError;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::failure::{Effects, Failure};
use super::members::Members;

/// Makes a call of the leader. `ask` makes it of one member, within a time.
pub(super) async fn call<A, F>(
    members: &Members,
    deadline: Instant,
    effects: Effects,
    ask: impl Fn(Channel, Duration) -> F,
) -> Result<Response<A>, MetaError>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    // While there is no leader, one round finds out as much as many; whoever waits for one has waited already.
    let only_once = members.is_leaderless();
    let mut pause = limits::META_RETRY_PAUSE;
    loop {
        let last = match round(members, deadline, effects, &ask).await {
            Ok(answer) => return Ok(answer),
            Err(failure) if !failure.may_go_on(effects) => return Err(failure.into_error()),
            Err(failure) => failure.into_error(),
        };
        if only_once || Instant::now() + pause >= deadline {
            members.nobody_leads();
            return Err(last);
        }
        sleep(pause).await;
        pause = (pause * 2).min(limits::META_RETRY_PAUSE_MAX);
        if matches!(last, MetaError::Unavailable(_)) {
            // Perhaps they have moved.
            let _ = members.look_up().await;
        }
    }
}

/// Asks each member once, those first who are said to lead.
async fn round<A, F>(
    members: &Members,
    deadline: Instant,
    effects: Effects,
    ask: &impl Fn(Channel, Duration) -> F,
) -> Result<Response<A>, Failure>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let mut queue: VecDeque<String> = members.leader().into_iter().collect();
    let mut addresses = members.addresses().await.map_err(Failure::Elsewhere)?;
    // Or a write, which is never sent twice, would wait in vain for the same member again and again.
    addresses.sort_by_key(|address| members.was_late(address));
    queue.extend(addresses);
    let mut asked: Vec<String> = Vec::new();
    let mut last = Failure::Elsewhere(MetaError::NotLeader { leader: None });
    while let Some(address) = queue.pop_front() {
        if asked.contains(&address) {
            continue;
        }
        let failure = match one(members, &address, deadline, effects, ask).await {
            Ok(answer) => {
                members.leads(&address);
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        if matches!(failure, Failure::Final(_)) {
            // The leader's own word.
            members.leads(&address);
            return Err(failure);
        }
        members.does_not_lead(&address);
        if !failure.may_go_on(effects) || Instant::now() >= deadline {
            return Err(failure);
        }
        if let Failure::Elsewhere(MetaError::NotLeader { leader: Some(leader) }) = &failure
            && !members.was_late(leader)
        {
            queue.push_front(leader.clone());
        }
        asked.push(address);
        last = failure;
    }
    Err(last)
}

async fn one<A, F>(
    members: &Members,
    address: &str,
    deadline: Instant,
    effects: Effects,
    ask: &impl Fn(Channel, Duration) -> F,
) -> Result<Response<A>, Failure>
where
    F: Future<Output = Result<Response<A>, Status>>,
{
    let channel = members.channel(address).map_err(Failure::Elsewhere)?;
    // A read that hangs can be made elsewhere in time; a write that hangs cannot be made again, so that it may wait.
    let until = match effects {
        Effects::Once => deadline,
        Effects::None | Effects::Repeatable => deadline.min(Instant::now() + limits::META_LEADER_PATIENCE / 3),
    };
    let patience = until.saturating_duration_since(Instant::now());
    let answer = match timeout_at(until, ask(channel, patience)).await {
        Ok(answer) => answer.map_err(|status| Failure::of(&status)),
        Err(_) => Err(Failure::late(address)),
    };
    // It may also be the member that waited in vain, for the others.
    match &answer {
        Err(Failure::Unknown(_)) => members.is_late(address),
        _ => members.is_in_time(address),
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::Either;
    use roadstead_proto::rpc::{Connect, Connection, Dialer};

    use super::*;

    /// A network that nobody needs here: calls hang or are answered as the test has it.
    struct Nowhere;

    #[async_trait::async_trait]
    impl Connect for Nowhere {
        async fn connect(&self, _: &str) -> io::Result<Box<dyn Connection>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// A call of which the first so many attempts hang: whether it was answered, after how long, and how many there were.
    async fn hanging(first: usize, effects: Effects) -> (bool, Duration, usize) {
        let names = ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec();
        let members = Members::new(names, Dialer::through(Arc::new(Nowhere)));
        let (began, asked) = (Instant::now(), AtomicUsize::new(0));
        let ask = |_, _| match asked.fetch_add(1, Ordering::Relaxed) < first {
            true => Either::Left(pending()),
            false => Either::Right(std::future::ready(Ok(Response::new(())))),
        };
        let answer = call(&members, began + limits::META_LEADER_PATIENCE, effects, ask).await;
        assert!(matches!(answer, Ok(_) | Err(MetaError::Unavailable(_))), "{answer:?}");
        (answer.is_ok(), began.elapsed(), asked.into_inner())
    }

    /// The paused clock goes by milliseconds.
    const TICK: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn members_that_hang_cost_the_deadline_and_no_more() {
        for effects in [Effects::None, Effects::Repeatable, Effects::Once] {
            let (is_answered, took, _) = hanging(usize::MAX, effects).await;
            let patience = limits::META_LEADER_PATIENCE;
            assert!(!is_answered && (patience - TICK..patience + TICK).contains(&took), "{effects:?}: {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_is_asked_in_time_of_what_may_be_done_twice() {
        for effects in [Effects::None, Effects::Repeatable] {
            let (is_answered, took, asked) = hanging(1, effects).await;
            assert!(is_answered && took < limits::META_LEADER_PATIENCE / 2, "{effects:?}: {took:?}");
            assert_eq!(asked, 2);
        }
    }
}
