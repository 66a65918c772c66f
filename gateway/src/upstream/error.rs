//! What an upstream's answer means when it is not the content.
//!
//! The two are never mixed: "not here" lets the walk go on to the next upstream, a fault stops it, because a lower
//! upstream could serve another image of the same name (architecture §5).

use std::time::Duration;

use http::StatusCode;
use roadstead_proto::error::ErrorCode;

/// The upstream was understood, and says that it does not have the thing for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotHere {
    /// 404.
    NotFound,
    /// The token endpoint accepted us (or anonymous access was tried), and the registry says 401 or 403 all the same.
    Denied,
    /// The token endpoint refused an anonymous pull of this repository.
    TokenDenied,
}

impl NotHere {
    /// For metrics and logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::TokenDenied => "token_denied",
        }
    }
}

/// The upstream cannot say. Nothing may be concluded about the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection, or it broke.
    #[error("no connection: {0}")]
    Connection(String),
    /// It is at an address that upstreams may not have, or leads to one.
    #[error("{0}")]
    ForbiddenAddress(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// 429.
    #[error("too many requests")]
    RateLimited {
        /// What `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// 5xx, or a status that makes no sense here.
    #[error("answered {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// What `Retry-After` says.
        retry_after: Option<Duration>,
    },
    /// Our stored credentials were refused.
    #[error("refused the stored credentials ({0})")]
    CredentialsRefused(StatusCode),
    /// Our stored credentials cannot be opened.
    #[error("credentials: {0}")]
    CredentialsSealed(String),
    /// The token realm is on a host that must not see our credentials.
    #[error("names the token realm {0}, on another domain: credentials were not sent")]
    ForeignRealm(String),
    /// Where the upstream redirected to did not have it: a link that expired, or a defect there. The registry itself
    /// has just said that it has the thing.
    #[error("the redirect's target answered {0}")]
    RedirectTarget(StatusCode),
    /// A redirect we do not follow.
    #[error("redirect not followed: {0}")]
    Redirect(String),
    /// The answer is not what the protocol says.
    #[error("bad answer: {0}")]
    BadAnswer(String),
    /// Not asked: it failed a moment ago, and is left alone for a while.
    #[error("left alone for {retry_in:?} more, after: {fault}")]
    LeftAlone {
        /// What it did.
        fault: Box<Fault>,
        /// How much longer.
        retry_in: Duration,
    },
}

impl Fault {
    /// The code that callers decide on.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::LeftAlone { fault, .. } => fault.code(),
            Self::Timeout(_) => ErrorCode::DeadlineExceeded,
            Self::RateLimited { .. } => ErrorCode::ResourceExhausted,
            Self::Status { status, .. } if *status == StatusCode::GATEWAY_TIMEOUT => ErrorCode::DeadlineExceeded,
            Self::Connection(_)
            | Self::ForbiddenAddress(_)
            | Self::Status { .. }
            | Self::CredentialsRefused(_)
            | Self::CredentialsSealed(_)
            | Self::ForeignRealm(_)
            | Self::RedirectTarget(_)
            | Self::Redirect(_)
            | Self::BadAnswer(_) => ErrorCode::Unavailable,
        }
    }

    /// When the upstream wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Status { retry_after, .. } => *retry_after,
            Self::LeftAlone { retry_in, .. } => Some(*retry_in),
            _ => None,
        }
    }

    /// For metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connection(_) => "connection",
            Self::ForbiddenAddress(_) => "forbidden_address",
            Self::Timeout(_) => "timeout",
            Self::RateLimited { .. } => "rate_limited",
            Self::Status { status, .. } if status.is_server_error() => "server_error",
            Self::Status { status: StatusCode::UNAUTHORIZED, .. } => "unauthorized",
            Self::Status { status: StatusCode::FORBIDDEN, .. } => "forbidden",
            Self::Status { .. } => "status",
            Self::CredentialsRefused(_) => "credentials_refused",
            Self::CredentialsSealed(_) => "credentials_sealed",
            Self::ForeignRealm(_) => "foreign_realm",
            Self::RedirectTarget(_) => "redirect_target",
            Self::Redirect(_) => "redirect",
            Self::BadAnswer(_) => "bad_answer",
            Self::LeftAlone { fault, .. } => match **fault {
                Self::RateLimited { .. } => "breaker_rate_limited",
                Self::Timeout(_) => "breaker_timeout",
                Self::Connection(_) => "breaker_connection",
                _ => "breaker_server_error",
            },
        }
    }
}

/// An understood answer.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// The thing.
    Here(T),
    /// It is not here for us.
    NotHere(NotHere),
}
