//! A call to a node, and what its failure means.

use std::time::Duration;

use roadstead_proto::meta::MetaError;
use roadstead_proto::rpc::dial::DialError;
use roadstead_proto::rpc::status::{from_status, was_sent};
use roadstead_proto::rpc::{Dialer, Identity, Role};
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use roadstead_proto::wire::pb::admin::v1::{StatusRequest, StatusResponse};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::written::HostPort;

/// What needs no quorum is answered at once: a node asks the others for a second at most.
pub(super) const QUESTION: Duration = Duration::from_secs(10);
/// A change waits for an election at most, and a quorum.
pub(super) const CHANGE: Duration = Duration::from_secs(60);

/// A node as an administrator reaches it.
#[derive(Debug)]
pub(crate) struct Admin {
    node: HostPort,
    dialer: Dialer,
    has_identity: bool,
}

/// Why a node did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The address or the certificates.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// No connection came about.
    #[error("cannot {doing}: no node was reached at {node} ({reason}); {advice}")]
    Unreached {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// What the connection said.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The connection came about, and was no use.
    #[error("cannot {doing}: the call to {node} broke off ({reason}); it may have been done all the same; {advice}")]
    Broken {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// What the connection said.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The node took too long.
    #[error(
        "cannot {doing}: {node} gave no answer within {patience:?}; it may have been done all the same: see `roadstead cluster status`"
    )]
    Late {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The caller is not let in.
    #[error("cannot {doing}: {node} does not let this caller in: {reason}; {advice}")]
    Denied {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// What it said.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// The node refused, and nothing was done.
    #[error("cannot {doing}: {node} refuses: {reason}")]
    Refused {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// What it said.
        reason: String,
    },
    /// The node could not, or nobody knows.
    #[error("cannot {doing}: {node} says: {reason}; see `roadstead cluster status`, and try again")]
    Failed {
        /// What was asked for.
        doing: &'static str,
        /// Of whom.
        node: HostPort,
        /// What it said.
        reason: String,
    },
}

impl Admin {
    /// Reaches `node` with the certificates of `identity`, in plain text without.
    pub(super) fn new(node: HostPort, identity: Option<Identity>) -> Self {
        Self { node, has_identity: identity.is_some(), dialer: Dialer::new(identity) }
    }

    /// The node's address.
    pub(super) fn node(&self) -> &HostPort {
        &self.node
    }

    /// The way to it.
    pub(super) fn client(&self) -> Result<AdminClient<Channel>, CallError> {
        Ok(AdminClient::new(self.dialer.channel(&self.node.to_string(), Role::Node)?))
    }

    /// The answer of a call, waited for so long.
    pub(super) async fn answer<T>(
        &self,
        doing: &'static str,
        patience: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CallError> {
        match timeout(patience, call).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.failed(doing, &status)),
            Err(_) => Err(CallError::Late { doing, node: self.node.clone(), patience }),
        }
    }

    /// What a status means to whoever asked.
    pub(super) fn failed(&self, doing: &'static str, status: &Status) -> CallError {
        let node = self.node.clone();
        let told = status.message().to_owned();
        match status.code() {
            Code::PermissionDenied | Code::Unauthenticated => {
                let advice = if self.has_identity {
                    "give a certificate of the role admin: roadstead tls issue --role admin"
                } else {
                    "name a certificate by --tls-ca, --tls-cert and --tls-key"
                };
                CallError::Denied { doing, node, reason: told, advice }
            }
            Code::FailedPrecondition | Code::NotFound | Code::InvalidArgument | Code::AlreadyExists | Code::Aborted => {
                CallError::Refused { doing, node, reason: told }
            }
            _ if !was_sent(status) => {
                CallError::Unreached { doing, node, reason: reason(status), advice: self.advice() }
            }
            // A node's own words have no cause behind them.
            _ if std::error::Error::source(status).is_some() => {
                CallError::Broken { doing, node, reason: reason(status), advice: self.advice() }
            }
            _ => CallError::Failed { doing, node, reason: reason(status) },
        }
    }

    fn advice(&self) -> &'static str {
        if self.has_identity {
            "start the node, or name one that runs by --node; it must have a certificate of the role node, of the same authority"
        } else {
            "start the node, or name one that runs by --node; if it uses TLS, name --tls-ca, --tls-cert and --tls-key"
        }
    }

    /// What the whole cluster says of itself.
    pub(super) async fn status(&self) -> Result<StatusResponse, CallError> {
        let mut client = self.client()?;
        self.answer("show the cluster", QUESTION, client.status(StatusRequest { local: false })).await
    }
}

/// What was said, with what it came from.
fn reason(status: &Status) -> String {
    match from_status(status) {
        MetaError::Unavailable(reason) => reason,
        other => other.to_string(),
    }
}
