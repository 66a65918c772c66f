//! How an upstream behaves, as data.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use serde::Deserialize;

use super::{Fault, RateLimit, Tls};

/// Everything an upstream is started with; what a test does not care about stays at its default.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the registry listens. Default: a free port of the loopback address.
    pub listen: SocketAddr,
    /// Where blobs are redirected to: another port, hence another origin. Default: a free port of the loopback address.
    pub cdn_listen: SocketAddr,
    /// Where `/_stage/` is answered besides the registry's own port: here it stays reachable while the upstream is down.
    /// Default: nowhere.
    pub stage_listen: Option<SocketAddr>,
    /// TLS, on both ports of the upstream; `None` is plain HTTP/1.1.
    pub tls: Option<Tls>,
    /// Who may pull.
    pub auth: Auth,
    /// Whether blobs are answered with a redirect to the other origin.
    pub redirect: Option<Redirect>,
    /// How fast bodies are sent.
    pub bandwidth: Bandwidth,
    /// How much may be asked.
    pub rates: Vec<RateLimit>,
    /// Ways of this registry, written as faults; what goes wrong besides comes and goes without them.
    pub quirks: Vec<Fault>,
    /// The project that all repositories are in: clients have to ask for `<project>/<repository>`.
    pub project: Option<String>,
    /// Whether manifests that the upstream is told to make by itself leave out their `mediaType`.
    pub untyped_manifests: bool,
    /// What goes wrong from the start.
    pub faults: Vec<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: free_port,
            cdn_listen: free_port,
            stage_listen: None,
            tls: None,
            auth: Auth::None,
            redirect: None,
            bandwidth: Bandwidth::default(),
            rates: Vec::new(),
            quirks: Vec::new(),
            project: None,
            untyped_manifests: false,
            faults: Vec::new(),
        }
    }
}

/// Who may pull.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenAuth {
    /// What the token endpoint accepts; without any it knows nobody but the anonymous user.
    pub credentials: Option<Credentials>,
    /// Whether tokens are issued without credentials (for repositories that are not private).
    pub anonymous: bool,
    /// Repositories that need credentials even when `anonymous` is set.
    pub private: BTreeSet<String>,
    /// What the answer says about the lifetime in seconds; `None` says nothing, and a token then lives 60 seconds.
    pub expires_in: Option<u64>,
    /// The path of the token endpoint.
    pub realm: String,
    /// The host that the challenge places the token endpoint at, without its port, when that is not the host which the
    /// client called the registry by.
    pub realm_host: Option<String>,
    /// The service that the challenge names and the token endpoint insists on.
    pub service: String,
    /// A scope that the challenge states in place of the true one; some registries answer a placeholder.
    pub challenge_scope: Option<String>,
    /// How the answer spells the token.
    pub field: TokenField,
    /// How a scope is refused that the user may not have.
    pub refusal: TokenRefusal,
    /// Whether a repository that does not exist is refused like one that the user may not have.
    pub missing_is_private: bool,
    /// The status for a token that was never issued here, such as a password sent as one; `None` is 401 like for one that
    /// has expired.
    pub foreign_token: Option<u16>,
    /// The status with which the token endpoint refuses `POST`; `None` understands the form.
    pub post: Option<u16>,
}

impl Default for TokenAuth {
    fn default() -> Self {
        Self {
            credentials: None,
            anonymous: true,
            private: BTreeSet::new(),
            expires_in: Some(300),
            realm: "/token".into(),
            realm_host: None,
            service: "synthetic".into(),
            challenge_scope: None,
            field: TokenField::default(),
            refusal: TokenRefusal::default(),
            missing_is_private: false,
            foreign_token: None,
            post: Some(405),
        }
    }
}

/// How the token endpoint's answer spells the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
