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
