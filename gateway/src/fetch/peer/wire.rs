//! What is said between gateways: domain ↔ protobuf.

use std::time::Duration;

use http::StatusCode;
use roadstead_proto::domain::entry::{BlobLocation, Right};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::wire::pb::peer::v1 as pb;
use roadstead_proto::wire::{DecodeError, Record};

use super::follow::{Event, OnBehalf};
use crate::catalog::Known;
use crate::fetch::error::FillFailure;
use crate::upstream::error::{Fault, NotHere};

fn field(message: &'static str, field: &'static str) -> DecodeError {
    DecodeError::Field { message, field }
}

fn on_behalf(upstream: u64, repository: &str) -> Result<OnBehalf, DecodeError> {
    let repository: RepositoryName = repository.parse().map_err(|_| field("FollowEvent", "repository"))?;
    Ok((UpstreamId(upstream), repository))
}

pub(super) fn not_here_to(not_here: NotHere, (upstream, repository): &OnBehalf) -> pb::NotHere {
    let (upstream, repository) = (upstream.0, repository.as_str().to_owned());
    pb::NotHere { reason: not_here.reason().to_owned(), upstream, repository }
}

fn not_here_from(m: &pb::NotHere) -> Result<Event, DecodeError> {
    let all = [NotHere::NotFound, NotHere::Denied, NotHere::TokenDenied];
    let not_here = all.into_iter().find(|not_here| not_here.reason() == m.reason);
    let not_here = not_here.ok_or(field("NotHere", "reason"))?;
    Ok(Event::NotHere(not_here, on_behalf(m.upstream, &m.repository)?))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A failure that is the source's. `None` for what is this gateway's own trouble: others try themselves.
pub(super) fn failure_to(failure: &FillFailure) -> Option<pb::Failed> {
    let bad_answer = |message: String| pb::Failed {
        reason: Fault::BadAnswer(String::new()).reason().to_owned(),
        message,
        status: None,
        retry_after_ms: None,
    };
    match failure {
        FillFailure::Upstream { fault, .. } => Some(fault_to(fault)),
        FillFailure::Corrupt(_) | FillFailure::TooLarge(_) | FillFailure::SizeChanged { .. } => {
            Some(bad_answer(failure.to_string()))
        }
        FillFailure::Spool(_) | FillFailure::Elsewhere | FillFailure::Abandoned => None,
    }
}

fn fault_to(fault: &Fault) -> pb::Failed {
    let status = match fault {
        Fault::Status { status, .. } | Fault::CredentialsRefused(status) | Fault::RedirectTarget(status) => {
            Some(u32::from(status.as_u16()))
        }
        _ => None,
    };
    let message = match fault {
        Fault::Connection(text)
        | Fault::ForbiddenAddress(text)
        | Fault::CredentialsSealed(text)
        | Fault::ForeignRealm(text)
        | Fault::Redirect(text)
        | Fault::BadAnswer(text) => text.clone(),
        Fault::LeftAlone { fault, .. } => fault.reason().to_owned(),
        other => other.to_string(),
    };
    let wait = match fault {
        Fault::Timeout(waited) => Some(*waited),
        other => other.retry_after(),
    };
    pb::Failed { reason: fault.reason().to_owned(), message, status, retry_after_ms: wait.map(millis) }
}

/// A failure as it is known here. What a later version calls by a name of its own is a bad answer.
fn fault_from(m: pb::Failed) -> Fault {
    let wait = m.retry_after_ms.map(Duration::from_millis);
    let status = m.status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    match (m.reason.as_str(), status) {
        ("connection", _) => Fault::Connection(m.message),
        ("forbidden_address", _) => Fault::ForbiddenAddress(m.message),
        ("timeout", _) => Fault::Timeout(wait.unwrap_or_default()),
        ("rate_limited", _) => Fault::RateLimited { retry_after: wait },
        ("server_error" | "unauthorized" | "forbidden" | "status", Some(status)) => {
            Fault::Status { status, retry_after: wait }
        }
        ("credentials_refused", Some(status)) => Fault::CredentialsRefused(status),
        ("credentials_sealed", _) => Fault::CredentialsSealed(m.message),
        ("foreign_realm", _) => Fault::ForeignRealm(m.message),
        ("redirect_target", Some(status)) => Fault::RedirectTarget(status),
        ("redirect", _) => Fault::Redirect(m.message),
        (reason, _) if reason.starts_with("breaker_") => {
            let fault = match m.message.as_str() {
                "rate_limited" => Fault::RateLimited { retry_after: wait },
                "timeout" => Fault::Timeout(Duration::ZERO),
                "connection" => Fault::Connection("it failed a moment ago".to_owned()),
                _ => Fault::Status { status: StatusCode::BAD_GATEWAY, retry_after: wait },
            };
            Fault::LeftAlone { fault: Box::new(fault), retry_in: wait.unwrap_or_default() }
        }
        _ => Fault::BadAnswer(m.message),
    }
}

pub(super) fn event_from(m: pb::FollowEvent) -> Result<Event, DecodeError> {
    use pb::follow_event::Event as Pb;
    Ok(match m.event.ok_or(field("FollowEvent", "event"))? {
        Pb::Opened(opened) => Event::Opened {
            size: opened.size,
            who: on_behalf(opened.upstream, &opened.repository)?,
            began: opened.began.map(Revision),
        },
        Pb::Data(bytes) => Event::Data(bytes),
        Pb::Verified(verified) => Event::Verified(verified.size),
        Pb::Recorded(recorded) => Event::Recorded(recorded.location.map(BlobLocation::from_message).transpose()?),
        Pb::NotHere(not_here) => not_here_from(&not_here)?,
        Pb::Failed(failed) => Event::Failed(fault_from(failed)),
        Pb::Gone(pb::Gone {}) => Event::Gone,
        Pb::Stored(stored) => {
            let location = stored.location.ok_or(field("StoredContent", "location"))?;
            let right = stored.right.ok_or(field("StoredContent", "right"))?;
            let location = Some(BlobLocation::from_message(location)?);
            Event::Stored(Box::new(Known { right: Right::from_message(right)?, location }))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_mean_the_same_at_the_other_end() {
        let wait = Duration::from_secs(7);
        for fault in [
            Fault::Connection("reset".to_owned()),
            Fault::ForbiddenAddress("127.0.0.1 is closed".to_owned()),
            Fault::Timeout(wait),
            Fault::RateLimited { retry_after: Some(wait) },
            Fault::RateLimited { retry_after: None },
            Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, retry_after: Some(wait) },
            Fault::Status { status: StatusCode::FORBIDDEN, retry_after: None },
            Fault::CredentialsRefused(StatusCode::UNAUTHORIZED),
            Fault::CredentialsSealed("the key".to_owned()),
            Fault::ForeignRealm("https://elsewhere".to_owned()),
            Fault::RedirectTarget(StatusCode::GONE),
            Fault::Redirect("to ftp".to_owned()),
            Fault::BadAnswer("nonsense".to_owned()),
        ] {
            assert_eq!(fault_from(fault_to(&fault)), fault);
        }
        let left = Fault::LeftAlone { fault: Box::new(Fault::RateLimited { retry_after: Some(wait) }), retry_in: wait };
        assert_eq!(fault_from(fault_to(&left)), left);
    }

    #[test]
    fn our_own_trouble_is_nobody_elses() {
        assert!(failure_to(&FillFailure::Abandoned).is_none());
        assert!(failure_to(&FillFailure::TooLarge(7)).is_some());
    }
}
