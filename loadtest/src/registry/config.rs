//! How an upstream behaves, as data.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use super::{Fault, Tls};

/// Everything an upstream is started with; what a test does not care about stays at its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the registry listens. Default: a free port of the loopback address.
    pub listen: SocketAddr,
    /// Where blobs are redirected to: another port, hence another origin. Default: a free port of the loopback address.
    pub cdn_listen: SocketAddr,
    /// TLS, on both ports; `None` is plain HTTP/1.1.
    pub tls: Option<Tls>,
    /// Who may pull.
    pub auth: Auth,
    /// Whether blobs are answered with a redirect to the other origin.
    pub redirect: Option<Redirect>,
    /// How fast bodies are sent.
    pub bandwidth: Bandwidth,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: free_port,
            cdn_listen: free_port,
            tls: None,
            auth: Auth::None,
            redirect: None,
            bandwidth: Bandwidth::default(),
            faults: Vec::new(),
        }
    }
}

/// Who may pull.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody, without a word.
    #[default]
    None,
    /// Whoever sends this user name and password with every request.
    Basic(Credentials),
    /// Whoever brings a token of the token endpoint.
    Token(TokenAuth),
}

/// A user name and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Credentials {
    /// A user name and password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

/// The token flow: a challenge that names the token endpoint, which is on the same server.
#[derive(Clone, Debug)]
pub struct TokenAuth {
    /// What the token endpoint accepts; without any it knows nobody but the anonymous user.
    pub credentials: Option<Credentials>,
    /// Whether tokens are issued without credentials (for repositories that are not private).
    pub anonymous: bool,
    /// Repositories that need credentials even when `anonymous` is set.
    pub private: BTreeSet<String>,
    /// What the answer says about the lifetime in seconds; `None` says nothing, and a token then lives 60 seconds.
    pub expires_in: Option<u64>,
    /// The service that the challenge names and the token endpoint insists on.
    pub service: String,
    /// A scope that the challenge states in place of the true one; some registries answer a placeholder.
    pub challenge_scope: Option<String>,
    /// How the answer spells the token.
    pub field: TokenField,
    /// How a scope is refused that the user may not have.
    pub refusal: TokenRefusal,
}

impl Default for TokenAuth {
    fn default() -> Self {
        Self {
            credentials: None,
            anonymous: true,
            private: BTreeSet::new(),
            expires_in: Some(300),
            service: "synthetic".into(),
            challenge_scope: None,
            field: TokenField::default(),
            refusal: TokenRefusal::default(),
        }
    }
}

/// How the token endpoint's answer spells the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenField {
    /// `token` and `access_token`, with equal values.
    #[default]
    Both,
    /// `token` only.
    Token,
    /// `access_token` only.
    AccessToken,
}

/// What becomes of a scope that the user may not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The token is issued without it; the registry then answers 401 `insufficient_scope`.
    #[default]
    Later,
    /// The token endpoint answers 401.
    Unauthorized,
    /// The token endpoint answers 403.
    Forbidden,
}

/// Blobs are answered with a redirect to the other origin, whose addresses carry a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Whether HEAD is redirected too; the other origin refuses it, for the signature covers GET only.
    pub heads: bool,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { status: 307, heads: false }
    }
}

/// Limits in bytes per second; `None` is as fast as the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// For all connections together, redirected downloads included.
    pub total: Option<u64>,
    /// For each connection.
    pub per_connection: Option<u64>,
}

impl Bandwidth {
    /// A limit for all connections together.
    pub fn total(bytes_per_second: u64) -> Self {
        Self { total: Some(bytes_per_second), per_connection: None }
    }
}
