//! What members tell each other, to and from protobuf. The parts of it that also lie on disk are in [`codec`](super::codec).

use std::io;

use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderError, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use roadstead_proto::wire::pb::raft::v1 as pb;

use super::codec::{Stored, missing};
use super::{Entry, LogId, Types, Vote};

fn vote(message: Option<pb::Vote>) -> io::Result<Vote> {
    Vote::from_message(message.ok_or_else(|| missing("a vote"))?)
}

fn log_id(message: Option<pb::LogId>) -> io::Result<Option<LogId>> {
    message.map(LogId::from_message).transpose()
}

/// An answer that makes no sense: the other side is not what it should be, and asking again will not change that soon.
pub(super) fn nonsense(error: &io::Error) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(error))
}

pub(super) fn append_request(envelope: pb::Envelope, rpc: &AppendEntriesRequest<Types>) -> pb::AppendRequest {
    pb::AppendRequest {
        envelope: Some(envelope),
        vote: Some(rpc.vote.to_message()),
        previous: rpc.prev_log_id.map(|id| id.to_message()),
        entries: rpc.entries.iter().map(Stored::to_message).collect(),
        committed: rpc.leader_commit.map(|id| id.to_message()),
    }
}

pub(crate) fn append_request_from(message: pb::AppendRequest) -> io::Result<AppendEntriesRequest<Types>> {
    Ok(AppendEntriesRequest {
        vote: vote(message.vote)?,
        prev_log_id: log_id(message.previous)?,
        entries: message.entries.into_iter().map(Entry::from_message).collect::<io::Result<_>>()?,
        leader_commit: log_id(message.committed)?,
    })
}

pub(crate) fn append_response(answer: AppendEntriesResponse<Types>) -> pb::AppendResponse {
    use pb::append_response::Answer;
    let answer = match answer {
        AppendEntriesResponse::Success => Answer::Accepted(pb::Accepted {}),
        AppendEntriesResponse::PartialSuccess(last) => {
            Answer::Partial(pb::Partial { last: last.map(|id| id.to_message()) })
        }
        AppendEntriesResponse::Conflict => Answer::Conflict(pb::Conflict {}),
        AppendEntriesResponse::HigherVote(vote) => Answer::HigherVote(vote.to_message()),
    };
    pb::AppendResponse { answer: Some(answer) }
}

pub(super) fn append_response_from(message: pb::AppendResponse) -> io::Result<AppendEntriesResponse<Types>> {
    use pb::append_response::Answer;
    Ok(match message.answer.ok_or_else(|| missing("the answer to an append"))? {
        Answer::Accepted(pb::Accepted {}) => AppendEntriesResponse::Success,
        Answer::Partial(partial) => AppendEntriesResponse::PartialSuccess(log_id(partial.last)?),
        Answer::Conflict(pb::Conflict {}) => AppendEntriesResponse::Conflict,
        Answer::HigherVote(vote) => AppendEntriesResponse::HigherVote(Vote::from_message(vote)?),
    })
}

pub(super) fn vote_request(envelope: pb::Envelope, rpc: &VoteRequest<Types>) -> pb::VoteRequest {
    pb::VoteRequest {
        envelope: Some(envelope),
        vote: Some(rpc.vote.to_message()),
        last_log: rpc.last_log_id.map(|id| id.to_message()),
        transfer: rpc.leadership_transfer,
    }
}

pub(crate) fn vote_request_from(message: pb::VoteRequest) -> io::Result<VoteRequest<Types>> {
    let mut request = VoteRequest::new(vote(message.vote)?, log_id(message.last_log)?);
    request.leadership_transfer = message.transfer;
    Ok(request)
}

pub(crate) fn vote_response(answer: &VoteResponse<Types>) -> pb::VoteResponse {
    pb::VoteResponse {
        vote: Some(answer.vote.to_message()),
        granted: answer.vote_granted,
        last_log: answer.last_log_id.map(|id| id.to_message()),
    }
}

pub(super) fn vote_response_from(message: pb::VoteResponse) -> io::Result<VoteResponse<Types>> {
    Ok(VoteResponse::new(vote(message.vote)?, log_id(message.last_log)?, message.granted))
}

pub(super) fn transfer_request(
    envelope: pb::Envelope,
    request: &TransferLeaderRequest<Types>,
) -> pb::TransferLeaderRequest {
    pb::TransferLeaderRequest {
        envelope: Some(envelope),
        leader: Some(request.from_leader().to_message()),
        next: *request.to_node_id(),
        last_log: request.last_log_id().map(Stored::to_message),
    }
}

pub(crate) fn transfer_request_from(message: pb::TransferLeaderRequest) -> io::Result<TransferLeaderRequest<Types>> {
    Ok(TransferLeaderRequest::new(vote(message.leader)?, message.next, log_id(message.last_log)?))
}

pub(crate) fn transfer_response(answer: &TransferLeaderResponse<Types>) -> pb::TransferLeaderResponse {
    use pb::transfer_leader_response::Refusal;
    let refusal = answer.as_ref().err().map(|error| match error {
        TransferLeaderError::VoteChanged { actual, .. } => Refusal::OtherVote(actual.to_message()),
        TransferLeaderError::LogNotFlushed { actual, .. } => {
            Refusal::NotFlushed(pb::NotFlushed { last_log: actual.map(|id| id.to_message()) })
        }
    });
    pb::TransferLeaderResponse { refusal }
}

pub(super) fn transfer_response_from(
    message: pb::TransferLeaderResponse,
    request: &TransferLeaderRequest<Types>,
) -> io::Result<TransferLeaderResponse<Types>> {
    use pb::transfer_leader_response::Refusal;
    Ok(match message.refusal {
        None => Ok(()),
        Some(Refusal::OtherVote(actual)) => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: Vote::from_message(actual)?,
        }),
        Some(Refusal::NotFlushed(not_flushed)) => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: log_id(not_flushed.last_log)?,
        }),
    })
}

pub(crate) fn snapshot_vote(message: Option<pb::Vote>) -> io::Result<Vote> {
    vote(message)
}

pub(crate) fn snapshot_response(answer: &SnapshotResponse<Types>) -> pb::SnapshotResponse {
    pb::SnapshotResponse { vote: Some(answer.vote.to_message()) }
}

pub(super) fn snapshot_response_from(message: pb::SnapshotResponse) -> io::Result<SnapshotResponse<Types>> {
    Ok(SnapshotResponse::new(vote(message.vote)?))
}
