//! What an error looks like on the wire: a gRPC status, with the kind of error in the metadata.
//!
//! A status without that metadata is the transport's own word. What it says about a call that may have been executed is in
//! [`was_sent`].

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::meta::MetaError;
use crate::state::command::{Outcome, Refusal};
use crate::wire::Record;

/// The kind of error.
pub const ERROR_HEADER: &str = "roadstead-error";
/// Where the leader is, `host:port`, in answers of members that do not lead.
pub const LEADER_HEADER: &str = "roadstead-leader";

const NOT_LEADER: &str = "not-leader";
const UNAVAILABLE: &str = "unavailable";
const COMPACTED: &str = "compacted";
const DAMAGED: &str = "damaged";
const REFUSED: &str = "refused";

/// To the wire.
pub fn to_status(error: &MetaError) -> Status {
    let (code, kind) = match error {
        MetaError::Refused(_) => (Code::FailedPrecondition, REFUSED),
        MetaError::NotLeader { .. } => (Code::Unavailable, NOT_LEADER),
        MetaError::Unavailable(_) => (Code::Unavailable, UNAVAILABLE),
        MetaError::Compacted => (Code::OutOfRange, COMPACTED),
        MetaError::Damaged(_) => (Code::DataLoss, DAMAGED),
    };
    let message = match error {
        MetaError::Unavailable(reason) | MetaError::Damaged(reason) => reason.clone(),
        other => other.to_string(),
    };
    let mut status = match error {
        MetaError::Refused(refusal) => {
            let refused: Result<Outcome, Refusal> = Err(*refusal);
            Status::with_details(code, message, refused.encode().into())
        }
        _ => Status::new(code, message),
    };
    status.metadata_mut().insert(ERROR_HEADER, MetadataValue::from_static(kind));
    if let MetaError::NotLeader { leader: Some(leader) } = error
        && let Ok(leader) = leader.parse()
    {
        status.metadata_mut().insert(LEADER_HEADER, leader);
    }
    status
}

/// From the wire.
pub fn from_status(status: &Status) -> MetaError {
    let text = |header: &str| status.metadata().get(header).and_then(|value| value.to_str().ok());
    match text(ERROR_HEADER) {
        Some(NOT_LEADER) => MetaError::NotLeader { leader: text(LEADER_HEADER).map(str::to_owned) },
        Some(COMPACTED) => MetaError::Compacted,
        Some(DAMAGED) => MetaError::Damaged(status.message().to_owned()),
        Some(REFUSED) => match Result::<Outcome, Refusal>::decode(status.details()) {
            Ok(Err(refusal)) => MetaError::Refused(refusal),
            _ => MetaError::Damaged("a refusal that this version does not know".to_owned()),
        },
        _ => MetaError::Unavailable(described(status)),
    }
}

/// A status in words: the transport's own say little without their causes.
fn described(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// Whether a call that ended so may have reached the other side: not where no connection came about.
pub fn was_sent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return false;
        }
        cause = error.source();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::registry::UpstreamId;

    #[test]
    fn errors_arrive_as_they_were() {
        for error in [
            MetaError::NotLeader { leader: Some("10.0.0.1:7000".to_owned()) },
            MetaError::NotLeader { leader: None },
            MetaError::Unavailable("no quorum".to_owned()),
            MetaError::Compacted,
            MetaError::Damaged("a row".to_owned()),
            MetaError::Refused(Refusal::NoSession),
            MetaError::Refused(Refusal::NoUpstream(UpstreamId(7))),
            MetaError::Refused(Refusal::TooManyUpstreams(20)),
        ] {
            assert_eq!(from_status(&to_status(&error)), error);
        }
    }

    #[test]
    fn what_the_transport_says_is_no_answer() {
        let status = Status::deadline_exceeded("late");
        assert_eq!(from_status(&status), MetaError::Unavailable("late".to_owned()));
        assert!(was_sent(&status));
    }
}
