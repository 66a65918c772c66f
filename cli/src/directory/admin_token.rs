//! The admin token: from the environment, from its file, or made on the first start.

use std::io;
use std::path::{Path, PathBuf};

use roadstead_proto::domain::digest::encode_hex;
use roadstead_proto::domain::principal::TOKEN_PREFIX;
use roadstead_proto::domain::secret::Secret;

use super::private_file;
use crate::settings::{ADMIN_TOKEN_VARIABLE, TOKEN_LENGTH_ADVISED, is_token};
use crate::written::shell_word;

/// The admin token and where it is.
#[derive(Debug)]
pub(crate) struct AdminToken {
    /// The token.
    pub(crate) token: Secret,
    /// Where it came from.
    pub(crate) origin: Origin,
    /// What its owner should know.
    pub(crate) warnings: Vec<String>,
}

/// Where the admin token came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Made just now and written to this file.
    Made(PathBuf),
    /// Read from this file.
    File(PathBuf),
    /// The environment; the file, if there is one, counts for nothing.
    Environment {
        /// A file that is there all the same.
        unused: Option<PathBuf>,
    },
}

/// Why there is no admin token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminTokenError {
    /// The file could not be read or written.
    #[error("cannot use the admin token's file {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold a token; remove it, and a new token is made", path.display())]
    NoToken {
        /// Which file.
        path: PathBuf,
    },
}

/// Finds the admin token, or makes it.
pub(crate) fn obtain(path: &Path, environment: Option<&Secret>) -> Result<AdminToken, AdminTokenError> {
    if let Some(token) = environment {
        let unused = path.exists().then(|| path.to_owned());
        let short = (token.expose().len() < TOKEN_LENGTH_ADVISED)
            .then(|| format!("{ADMIN_TOKEN_VARIABLE} is short enough to be guessed; set it to a long random text"));
        return Ok(AdminToken {
            token: token.clone(),
            origin: Origin::Environment { unused },
            warnings: short.into_iter().collect(),
        });
    }
    let failed = |source| AdminTokenError::File { path: path.to_owned(), source };
    if let Some(found) = private_file::read(path).map_err(failed)? {
        if !is_token(&found.content) {
            return Err(AdminTokenError::NoToken { path: path.to_owned() });
        }
        let open = found.open_to_others.then(|| exposed(path));
        let origin = Origin::File(path.to_owned());
        return Ok(AdminToken { token: found.content, origin, warnings: open.into_iter().collect() });
    }
    let token = make().map_err(failed)?;
    private_file::create(path, &token).map_err(failed)?;
    Ok(AdminToken { token, origin: Origin::Made(path.to_owned()), warnings: Vec::new() })
}

/// What is said of a secret file that others may read.
pub(crate) fn exposed(path: &Path) -> String {
    format!("{} is open to other users of this machine; run: chmod 600 {}", path.display(), shell_word(path))
}

fn make() -> io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Secret::new(format!("{TOKEN_PREFIX}{}", encode_hex(&bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin-token");
        let made = obtain(&path, None).unwrap();
        assert_eq!(made.origin, Origin::Made(path.clone()));
        assert_eq!(made.token.expose().len(), TOKEN_PREFIX.len() + 64);
        let found = obtain(&path, None).unwrap();
        assert_eq!(found.origin, Origin::File(path.clone()));
        assert_eq!(found.token, made.token);
        assert_ne!(obtain(&directory.path().join("other"), None).unwrap().token, made.token);
    }

    #[test]
    fn the_environment_overrides_and_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin-token");
        let given = Secret::new("rst_from_the_environment");
        let token = obtain(&path, Some(&given)).unwrap();
        assert_eq!((token.token, token.origin), (given.clone(), Origin::Environment { unused: None }));
        assert!(!path.exists());

        std::fs::write(&path, "rst_other").unwrap();
        let token = obtain(&path, Some(&given)).unwrap();
        assert_eq!(token.origin, Origin::Environment { unused: Some(path.clone()) });
        assert!(token.warnings.is_empty());
        assert_eq!(std::fs::read(&path).unwrap(), b"rst_other");
        assert_eq!(obtain(&path, Some(&Secret::new("short"))).unwrap().warnings.len(), 1);
    }

    #[test]
    fn an_empty_file_is_not_an_empty_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin-token");
        std::fs::write(&path, "\n").unwrap();
        assert!(obtain(&path, None).unwrap_err().to_string().contains("does not hold a token"));
    }
}
