//! The key that upstream passwords are sealed under: from the environment, from its file, or made where nothing is sealed.

use std::io;
use std::path::{Path, PathBuf};

use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::secret::Secret;

use super::admin_token::exposed;
use super::private_file;
use crate::settings::SECRET_KEY_VARIABLE;

/// The key, and what its owner should know.
#[derive(Debug)]
pub(crate) struct SecretKey {
    /// Seals and opens.
    pub(crate) keyring: Keyring,
    /// A file that others may read.
    pub(crate) warning: Option<String>,
}

/// Why there is no key to go on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretKeyError {
    /// The file could not be read or written.
    #[error("cannot use the secret key's file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no key: {source}; restore it from your copy", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
    /// The key is gone, and passwords are sealed under it.
    #[error(
        "the stored password of upstream `{upstream}` is sealed under a key that is not here; restore {} from your copy, \
         or set {SECRET_KEY_VARIABLE}",
        path.display()
    )]
    Lost {
        /// Which upstream's password.
        upstream: String,
        /// Which file.
        path: PathBuf,
    },
    /// The key does not open what is stored.
    #[error(
        "the stored password of upstream `{upstream}` cannot be opened with the key of {origin}: {source}; \
         start with the key that was used before"
    )]
    Wrong {
        /// Which upstream's password.
        upstream: String,
        /// Where the key came from.
        origin: String,
        /// Why.
        source: SealError,
    },
    /// No key could be made.
    #[error("cannot make a secret key")]
    Make(#[source] SealError),
}

/// Finds the key that opens what the configuration holds; makes one only where nothing is sealed yet.
pub(crate) fn obtain(
    path: &Path,
    environment: Option<&Secret>,
    stored: &Configuration,
) -> Result<SecretKey, SecretKeyError> {
    let failed = |source| SecretKeyError::File { path: path.to_owned(), source };
    let no_key = |source| SecretKeyError::NoKey { path: path.to_owned(), source };
    if let Some(key) = environment {
        let keyring = Keyring::from_hex(key.expose()).map_err(SecretKeyError::Make)?;
        prove(&keyring, stored, || SECRET_KEY_VARIABLE.to_owned())?;
        return Ok(SecretKey { keyring, warning: None });
    }
    if let Some(found) = private_file::read(path).map_err(failed)? {
        let keyring = Keyring::from_hex(found.content.expose()).map_err(no_key)?;
        prove(&keyring, stored, || path.display().to_string())?;
        return Ok(SecretKey { keyring, warning: found.open_to_others.then(|| exposed(path)) });
    }
    // A new key would only hide that the old one is lost.
    if let Some(upstream) = stored.upstreams.iter().find(|upstream| upstream.settings.credentials.is_some()) {
        return Err(SecretKeyError::Lost { upstream: upstream.settings.name.clone(), path: path.to_owned() });
    }
    let keyring = Keyring::generate().map_err(SecretKeyError::Make)?;
    private_file::create(path, &keyring.to_hex()).map_err(failed)?;
    Ok(SecretKey { keyring, warning: None })
}

/// Whether the key opens everything that is stored.
pub(crate) fn prove(
    keyring: &Keyring,
    stored: &Configuration,
    origin: impl Fn() -> String,
) -> Result<(), SecretKeyError> {
    for upstream in &stored.upstreams {
        if let Some(credentials) = &upstream.settings.credentials {
            keyring.open(&credentials.password).map_err(|source| SecretKeyError::Wrong {
                upstream: upstream.settings.name.clone(),
                origin: origin(),
                source,
            })?;
        }
    }
    Ok(())
}
