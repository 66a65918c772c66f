//! How an origin is connected to: whom to trust, as whom to come, in which version of HTTP. Values, all checked.
//!
//! These are settings of the process and by origin, not by upstream: a redirect or a token realm leads to origins that no
//! upstream names, and what one origin is shown (a client certificate above all) is never shown to another.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::network::NetworkPolicy;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roadstead_proto::domain::limits;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use url::Url;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// Authorities to trust besides those of the system, wherever we connect to.
    pub authorities: Option<Certificates>,
    /// What holds for single origins.
    pub connections: Vec<Connection>,
    /// Which addresses may be connected to.
    pub network: NetworkPolicy,
    /// Longest silence before an answer and inside a body.
    pub idle_timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            authorities: None,
            connections: Vec::new(),
            network: NetworkPolicy::default(),
            idle_timeout: limits::UPSTREAM_IDLE_TIMEOUT,
        }
    }
}

/// What holds for one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Which.
    pub host: ConnectionHost,
    /// The rest.
    pub settings: ConnectionSettings,
}

/// What can be set for an origin. Two origins with equal settings share a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Authorities to trust for it, besides those for all.
    pub authorities: Option<Certificates>,
    /// As whom we come, where it asks.
    pub identity: Option<ClientIdentity>,
    /// The version of HTTP.
    pub http: HttpVersion,
}

/// The version of HTTP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// Blobs over HTTP/1.1, so that each has a connection and thereby a TCP window of its own; everything else, small and
    /// frequent as it is, over HTTP/2 on one connection where the server offers it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 for everything.
    Http1,
    /// HTTP/2 for everything, without a question: the server has to speak it, also where the URL is `http://`.
    Http2,
}

/// A host, and a port or the ports that URLs without one have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionHost {
    /// As URLs write it: in lower case, an IPv6 address in brackets.
    name: String,
    port: Option<u16>,
}

/// A text is no host with an optional port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a host or host:port without scheme and path, such as registry.internal:5000")]
pub struct ConnectionHostError;

impl ConnectionHost {
    /// The host as it stands in URLs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ports that are meant: without one, those of URLs without one.
    pub fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        let (named, usual) = match self.port {
            Some(port) => (Some(port), &[][..]),
            None => (None, &[443, 80][..]),
        };
        named.into_iter().chain(usual.iter().copied())
    }

    /// Whether both mean the same origin.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.name == other.name && self.ports().any(|port| other.ports().any(|others| port == others))
    }
}

impl FromStr for ConnectionHost {
    type Err = ConnectionHostError;

    fn from_str(text: &str) -> Result<Self, ConnectionHostError> {
        // Parsed as URLs are, so that it is written as theirs will be when they are compared. With `http` a port 443 is
        // kept, with `https` a port 80: one of the two says what was written.
        // The URL standard takes them away without a word: `ho\nst`, `/host`, `\host` and `@host` would all be `host`.
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '\\' | '@')) {
            return Err(ConnectionHostError);
        }
        let (http, https) = (Url::parse(&format!("http://{text}/")), Url::parse(&format!("https://{text}/")));
        let (Ok(http), Ok(https)) = (http, https) else { return Err(ConnectionHostError) };
        let bare = http.path() == "/" && http.username().is_empty() && http.password().is_none();
        let exact = bare && http.query().is_none() && http.fragment().is_none();
        match http.host_str() {
            Some(name) if exact => Ok(Self { name: name.to_owned(), port: http.port().or(https.port()) }),
            _ => Err(ConnectionHostError),
        }
    }
}

impl fmt::Display for ConnectionHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why PEM text is not what it should be. Nothing of the text is repeated: it may be a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// No certificates.
    #[error("it holds no readable PEM certificate (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// Something that says it is a certificate.
    #[error("its certificate number {0} cannot be parsed")]
    BadCertificate(usize),
    /// No private key.
    #[error("it holds no readable PEM private key (`-----BEGIN PRIVATE KEY-----`, or `RSA` or `EC` before `PRIVATE`)")]
    NoKey,
    /// A private key that needs a password.
    #[error("its private key is encrypted; decrypt it with `openssl pkey` and protect the file by its mode")]
    EncryptedKey,
    /// A kind of key that TLS cannot sign with here.
    #[error("its private key is of a kind that is not supported; use ECDSA P-256 or P-384, Ed25519 or RSA")]
    UnusableKey,
    /// The key of another certificate.
    #[error("the private key does not belong to the certificate, which has to be the first in its file")]
    OtherKey,
}

/// Certificates of authorities.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificates(Vec<CertificateDer<'static>>);

impl Certificates {
    /// All certificates of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, PemError> {
        let certificates = certificates(pem)?;
        let mut roots = RootCertStore::empty();
        for (number, certificate) in (1..).zip(&certificates) {
            roots.add(certificate.clone()).map_err(|_| PemError::BadCertificate(number))?;
        }
        Ok(Self(certificates))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// A client certificate with the rest of its chain, and its private key.
#[derive(PartialEq, Eq)]
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// A certificate, with intermediate ones after it if there are any, and the private key that belongs to it.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, PemError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            let encrypted = key.windows(9).any(|word| word == b"ENCRYPTED");
            if encrypted { PemError::EncryptedKey } else { PemError::NoKey }
        })?;
        let provider = rustls::crypto::ring::default_provider();
        let signing = provider.key_provider.load_private_key(key.clone_key()).map_err(|_| PemError::UnusableKey)?;
        match CertifiedKey::new(chain.clone(), signing).keys_match() {
            Ok(()) => Ok(Self { chain, key }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(PemError::OtherKey),
            Err(_) => Err(PemError::BadCertificate(1)),
        }
    }

    /// Both as the HTTP client takes them: one text, of nothing else, whatever else stood in the files.
    pub(super) fn to_pem(&self) -> String {
        let kind = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut pem = section(kind, self.key.secret_der());
        for certificate in &self.chain {
            pem.push_str(&section("CERTIFICATE", certificate));
        }
        pem
    }
}

impl Clone for ClientIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

fn section(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or(PemError::NoCertificate)
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
