//! Roles, and the certificates that prove them.

use std::fmt;
use std::str::FromStr;

use tonic::transport::{Certificate, ClientTlsConfig, ServerTlsConfig};

use crate::domain::secret::Secret;

/// What a process is to the others. A certificate proves it by a DNS name of its own, whatever the host is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A member of the raft group.
    Node,
    /// A gateway.
    Gateway,
    /// A person with the CLI.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Node, Self::Gateway, Self::Admin];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Gateway => "gateway",
            Self::Admin => "admin",
        }
    }

    /// The DNS name (subjectAltName) that proves it.
    pub fn host(self) -> &'static str {
        match self {
            Self::Node => "node.roadstead.internal",
            Self::Gateway => "gateway.roadstead.internal",
            Self::Admin => "admin.roadstead.internal",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role; it is node, gateway or admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// What a process proves itself with, and whom it believes. PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The authority that signs everybody's certificate.
    pub authority: String,
    /// This process's certificate, and what leads to the authority.
    pub certificate: String,
    /// Its key.
    pub key: Secret,
}

impl Identity {
    fn pair(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.certificate, self.key.expose())
    }

    pub(super) fn client(&self, of: Role) -> ClientTlsConfig {
        let authority = Certificate::from_pem(&self.authority);
        ClientTlsConfig::new().ca_certificate(authority).identity(self.pair()).domain_name(of.host())
    }

    pub(super) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.pair()).client_ca_root(Certificate::from_pem(&self.authority))
    }
}
