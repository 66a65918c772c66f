//! The secrets that all gateways of a cluster share. Unlike those of `serve` they are never made up: another gateway's would
//! be another one.

use std::path::{Path, PathBuf};

use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_proto::domain::secret::Secret;

use crate::directory::admin_token;
use crate::directory::{AdminTokenError, Origin, private_file};
use crate::settings::{SECRET_KEY_VARIABLE, is_token};

/// The key and where it is from.
#[derive(Debug)]
pub(crate) struct SharedKey {
    /// Seals and opens.
    pub(crate) keyring: Keyring,
    /// In words.
    pub(crate) origin: String,
    /// A file that others may read.
    pub(crate) warning: Option<String>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SharedKeyError {
    /// Nobody has said where it is.
    #[error(
        "there is no secret key: all gateways of a cluster have the same one; make it once (openssl rand -hex 32), and set \
         {SECRET_KEY_VARIABLE}, or write it to {} or to a file that --secret-key-file names", .0.display()
    )]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("cannot read the secret key from {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{origin} holds no secret key: {source}; write 64 hexadecimal digits into it, the same on all gateways")]
    NoKey {
        /// Where it was.
        origin: String,
        /// Why.
        source: SealError,
    },
}

/// The key of the environment, of the file that is named, or of the data directory.
pub(crate) fn key(
    environment: Option<&Secret>,
    named: Option<&Path>,
    default: PathBuf,
) -> Result<SharedKey, SharedKeyError> {
    let (text, origin, warning) = match environment {
        Some(key) => (key.clone(), SECRET_KEY_VARIABLE.to_owned(), None),
        None => {
            let path = named.map_or(default, Path::to_owned);
            let found = private_file::read(&path);
            let found = found.map_err(|source| SharedKeyError::File { path: path.clone(), source })?;
            let found = found.ok_or_else(|| SharedKeyError::Missing(path.clone()))?;
            let warning = found.open_to_others.then(|| admin_token::exposed(&path));
            (found.content, path.display().to_string(), warning)
        }
    };
    match Keyring::from_hex(text.expose()) {
        Ok(keyring) => Ok(SharedKey { keyring, origin, warning }),
        Err(source) => Err(SharedKeyError::NoKey { origin, source }),
    }
}

/// The admin token of the environment or of the file that is named, where there is one.
pub(crate) fn admin_token(
    environment: Option<&Secret>,
    named: Option<&Path>,
) -> Result<Option<(Secret, Origin)>, AdminTokenError> {
    if let Some(token) = environment {
        return Ok(Some((token.clone(), Origin::Environment { unused: named.map(Path::to_owned) })));
    }
    let Some(path) = named else { return Ok(None) };
    let path = path.to_owned();
    match private_file::read(&path) {
        Ok(Some(found)) if is_token(&found.content) => Ok(Some((found.content, Origin::File(path)))),
        Ok(Some(_)) => Err(AdminTokenError::NoToken { path }),
        Ok(None) => Err(AdminTokenError::File { path, source: std::io::ErrorKind::NotFound.into() }),
        Err(source) => Err(AdminTokenError::File { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_key_is_found_and_never_made() {
        let directory = tempfile::tempdir().unwrap();
        let (default, named) = (directory.path().join("secret-key"), directory.path().join("named"));
        let missing = key(None, None, default.clone()).unwrap_err().to_string();
        assert!(missing.starts_with("there is no secret key") && !default.exists(), "{missing}");
        std::fs::write(&default, format!("{KEY}\n")).unwrap();
        assert_eq!(key(None, None, default.clone()).unwrap().origin, default.display().to_string());
        // What is named has to be there, also where another one is.
        let missing = key(None, Some(&named), default.clone()).unwrap_err().to_string();
        assert!(missing.contains(&named.display().to_string()), "{missing}");
        std::fs::write(&named, "hunter2").unwrap();
        let wrong = key(None, Some(&named), default.clone()).unwrap_err().to_string();
        assert!(wrong.contains("holds no secret key") && !wrong.contains("hunter2"), "{wrong}");
        let environment = Secret::new(KEY);
        assert_eq!(key(Some(&environment), Some(&named), default).unwrap().origin, SECRET_KEY_VARIABLE);
    }

    #[test]
    fn a_token_is_found_or_there_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert!(admin_token(None, None).unwrap().is_none());
        assert!(admin_token(None, Some(&path)).is_err());
        std::fs::write(&path, "rst_x\n").unwrap();
        assert_eq!(admin_token(None, Some(&path)).unwrap(), Some((Secret::new("rst_x"), Origin::File(path.clone()))));
        let given = Secret::new("rst_y");
        assert_eq!(admin_token(Some(&given), Some(&path)).unwrap().unwrap().0, given);
    }
}
