//! Incoming connections: the server's settings, and who may call what.

use rustls_pki_types::{DnsName, ServerName};
use tonic::transport::Server;
use tonic::{Request, Status};
use webpki::EndEntityCert;

use super::identity::{Identity, Role};
use crate::domain::limits;

/// A server with our settings; by mutual TLS with `identity`, in plain text without one.
///
/// # Errors
/// Where the certificates cannot be used.
pub fn server(identity: Option<&Identity>) -> Result<Server, tonic::transport::Error> {
    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(limits::RPC_PING_EVERY))
        .http2_keepalive_timeout(Some(limits::RPC_PING_TIMEOUT))
        .initial_stream_window_size(limits::RPC_STREAM_WINDOW)
        .initial_connection_window_size(limits::RPC_CONNECTION_WINDOW);
    match identity {
        Some(identity) => server.tls_config(identity.server()),
        None => Ok(server),
    }
}

/// Who may call: checks the role in a caller's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    checks: bool,
}

impl Guard {
    /// Checks callers where this process has an identity of its own: without, there is no TLS and nothing to check.
    pub fn of(identity: Option<&Identity>) -> Self {
        Self { checks: identity.is_some() }
    }

    /// Lets a call through if its caller proves one of `roles`.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`, with what would be needed.
    pub fn admit<T>(self, request: &Request<T>, roles: &[Role]) -> Result<(), Status> {
        if !self.checks {
            return Ok(());
        }
        let certificates = request.peer_certs().unwrap_or_default();
        let admitted = certificates.first().is_some_and(|certificate| {
            EndEntityCert::try_from(certificate)
                .is_ok_and(|certificate| roles.iter().any(|role| proves(&certificate, *role)))
        });
        if admitted {
            return Ok(());
        }
        let needed: Vec<_> = roles.iter().map(|role| role.name()).collect();
        Err(Status::permission_denied(format!("this call needs the certificate of a {}", needed.join(" or "))))
    }
}

fn proves(certificate: &EndEntityCert<'_>, role: Role) -> bool {
    DnsName::try_from(role.host())
        .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&ServerName::DnsName(name)).is_ok())
}
