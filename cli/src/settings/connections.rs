//! `[[upstream_connection]]`: how single hosts are connected to, with every file read and checked.

use std::fmt;
use std::path::{Path, PathBuf};

use roadstead_gateway::upstream::connection::{
    Certificates, ClientIdentity, Connection, ConnectionHost, ConnectionHostError, ConnectionSettings, HttpVersion,
    PemError,
};

use super::file::{self, FileConnection};

/// A connection as an operator named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedConnection {
    /// What it came to be.
    pub(crate) connection: Connection,
    ca: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
}

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// Not a host.
    #[error("host of [[upstream_connection]] number {number}: {source}")]
    Host {
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: ConnectionHostError,
    },
    /// The same host again.
    #[error(
        "two [[upstream_connection]] are for `{0}` (without a port, 443 and 80 are meant); put what both say into one"
    )]
    Twice(ConnectionHost),
    /// Nothing is set.
    #[error("[[upstream_connection]] `{0}` sets nothing; name ca, client_certificate with client_key, or http")]
    Nothing(ConnectionHost),
    /// A certificate without its key, or the other way round.
    #[error("[[upstream_connection]] `{host}` has {there} but no {missing}; name both, even if one file holds them")]
    Half {
        /// For which host.
        host: ConnectionHost,
        /// The key that is there.
        there: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// A file.
    #[error("cannot read {key} of [[upstream_connection]] `{host}` from {}", path.display())]
    Read {
        /// For which host.
        host: ConnectionHost,
        /// What names the file.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What is in a file.
    #[error("{key} of [[upstream_connection]] `{host}`, {}: {source}", path.display())]
    Content {
        /// For which host.
        host: ConnectionHost,
        /// What names the file.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
}

/// Reads everything that the list names.
pub(crate) fn read(list: Vec<FileConnection>) -> Result<Vec<NamedConnection>, ConnectionError> {
    let mut read: Vec<NamedConnection> = Vec::new();
    for (number, named) in (1..).zip(list) {
        let host = named.host.parse().map_err(|source| ConnectionError::Host { number, source })?;
        if read.iter().any(|known| known.connection.host.overlaps(&host)) {
            return Err(ConnectionError::Twice(host));
        }
        read.push(read_one(host, named)?);
    }
    Ok(read)
}

fn read_one(host: ConnectionHost, named: FileConnection) -> Result<NamedConnection, ConnectionError> {
    let FileConnection { host: _, ca, client_certificate, client_key, http } = named;
    if ca.is_none() && client_certificate.is_none() && client_key.is_none() && http.is_none() {
        return Err(ConnectionError::Nothing(host));
    }
    let authorities = match &ca {
        None => None,
        Some(path) => {
            let pem = content(&host, "ca", path)?;
            let parsed = Certificates::from_pem(&pem).map_err(|error| unusable(&host, "ca", path, error))?;
            Some(parsed)
        }
    };
    let identity = match (&client_certificate, &client_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(read_identity(&host, certificate, key)?),
        (Some(_), None) => {
            return Err(ConnectionError::Half { host, there: "client_certificate", missing: "client_key" });
        }
        (None, Some(_)) => {
            return Err(ConnectionError::Half { host, there: "client_key", missing: "client_certificate" });
        }
    };
    let http = match http {
        None | Some(file::Http::Auto) => HttpVersion::Auto,
        Some(file::Http::Http1) => HttpVersion::Http1,
        Some(file::Http::Http2) => HttpVersion::Http2,
    };
    let settings = ConnectionSettings { authorities, identity, http };
    Ok(NamedConnection { connection: Connection { host, settings }, ca, client_certificate })
}

fn read_identity(host: &ConnectionHost, certificate: &Path, key: &Path) -> Result<ClientIdentity, ConnectionError> {
    let (chain, secret) = (content(host, "client_certificate", certificate)?, content(host, "client_key", key)?);
    ClientIdentity::from_pem(&chain, &secret).map_err(|error| match error {
        PemError::NoCertificate | PemError::BadCertificate(_) => {
            unusable(host, "client_certificate", certificate, error)
        }
        _ => unusable(host, "client_key", key, error),
    })
}

fn content(host: &ConnectionHost, key: &'static str, path: &Path) -> Result<Vec<u8>, ConnectionError> {
    let failed = |source| ConnectionError::Read { host: host.clone(), key, path: path.to_owned(), source };
    std::fs::read(path).map_err(failed)
}

fn unusable(host: &ConnectionHost, key: &'static str, path: &Path, source: PemError) -> ConnectionError {
    ConnectionError::Content { host: host.clone(), key, path: path.to_owned(), source }
}

impl fmt::Display for NamedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.connection.host)?;
        let mut before = "  ";
        for (key, path) in [("ca", &self.ca), ("client_certificate", &self.client_certificate)] {
            if let Some(path) = path {
                write!(f, "{before}{key} = {}", path.display())?;
                before = ", ";
            }
        }
        match self.connection.settings.http {
            HttpVersion::Auto => Ok(()),
            HttpVersion::Http1 => write!(f, "{before}http = 1.1"),
            HttpVersion::Http2 => write!(f, "{before}http = 2"),
        }
    }
}
