//! The certificates between nodes, gateways and this program, read and checked.
//!
//! They come as three files: by flags, else by the environment, else by the configuration file. All three or none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::{Identity, Role};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde::Deserialize;

/// `[tls]`.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileTls {
    /// As `--tls-ca`.
    pub(crate) ca: Option<PathBuf>,
    /// As `--tls-cert`.
    pub(crate) cert: Option<PathBuf>,
    /// As `--tls-key`.
    pub(crate) key: Option<PathBuf>,
}

// Who this process is to nodes and gateways, as typed.
// No doc comment: clap would show it in place of the text of the command that this is a part of.
#[derive(Debug, Default, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct TlsFlags {
    /// The authority (PEM) that signs the certificates of nodes, gateways and administrators, as `roadstead tls init` makes it
    /// [environment: ROADSTEAD_TLS_CA]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,

    /// The certificate (PEM) of this process, as `roadstead tls issue` makes it [environment: ROADSTEAD_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key (PEM) of that certificate [environment: ROADSTEAD_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// Some of the three files.
    #[error("{missing} is missing; TLS takes three files, --tls-ca, --tls-cert and --tls-key, or none of them")]
    Incomplete {
        /// Which flag.
        missing: &'static str,
    },
    /// A file.
    #[error("cannot read {flag} from {}", path.display())]
    Read {
        /// Which flag.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a certificate.
    #[error("{flag}, {}, holds no readable PEM certificate", path.display())]
    NoCertificate {
        /// Which flag.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// The certificate does not do what it is for.
    #[error(
        "the certificate {} does not prove the role {role}: {reason}; make one with: roadstead tls issue --role {role}",
        path.display()
    )]
    Unfit {
        /// Which file.
        path: PathBuf,
        /// What it should prove.
        role: Role,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key are no pair.
    #[error("--tls-cert and --tls-key, {}, are no pair: {reason}", path.display())]
    NoPair {
        /// The key's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// Reads and checks the three files; `None` where none is named.
pub(crate) fn identity(
    flags: TlsFlags,
    file: FileTls,
    role: Role,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Identity>, TlsError> {
    // An empty variable is how a shell unsets one for a single command.
    let of = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let ca = flags.tls_ca.or_else(|| of("ROADSTEAD_TLS_CA")).or(file.ca);
    let cert = flags.tls_cert.or_else(|| of("ROADSTEAD_TLS_CERT")).or(file.cert);
    let key = flags.tls_key.or_else(|| of("ROADSTEAD_TLS_KEY")).or(file.key);
    if ca.is_none() && cert.is_none() && key.is_none() {
        return Ok(None);
    }
    let named = |path: Option<PathBuf>, missing| path.ok_or(TlsError::Incomplete { missing });
    let (ca, cert, key) = (named(ca, "--tls-ca")?, named(cert, "--tls-cert")?, named(key, "--tls-key")?);
    let identity = Identity {
        authority: read("--tls-ca", &ca)?,
        certificate: read("--tls-cert", &cert)?,
        key: Secret::new(read("--tls-key", &key)?),
    };
    certificates("--tls-ca", &ca, &identity.authority)?;
    certificates("--tls-cert", &cert, &identity.certificate)?;
    verify(&identity.authority, &identity.certificate, role).map_err(|reason| TlsError::Unfit {
        path: cert,
        role,
        reason,
    })?;
    roadstead_proto::rpc::listen::server(Some(&identity))
        .map_err(|error| TlsError::NoPair { path: key, reason: crate::exit::sentence(&error) })?;
    Ok(Some(identity))
}

fn read(flag: &'static str, path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|source| TlsError::Read { flag, path: path.to_owned(), source })
}

fn certificates(flag: &'static str, path: &Path, pem: &str) -> Result<(), TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => Err(TlsError::NoCertificate { flag, path: path.to_owned() }),
    }
}

/// Whether a certificate (with what leads to the authority behind it) proves `role` to whoever believes `authority`, today.
pub(crate) fn verify(authority: &str, certificate: &str, role: Role) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let root = root.map_err(|error| format!("the authority cannot be read: {error}"))?;
        roots.add(root).map_err(|error| format!("the authority cannot be used: {error}"))?;
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| format!("it cannot be read: {error}"))?;
    let (leaf, between) = chain.split_first().ok_or("it is empty")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| format!("the authority cannot be used: {error}"))?;
    let name = ServerName::try_from(role.host()).expect("the names of roles are DNS names");
    verifier.verify_server_cert(leaf, between, &name, &[], UnixTime::now()).map(drop).map_err(|error| match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "the authority of --tls-ca has not signed it".to_owned()
        }
        other => other.to_string(),
    })
}
