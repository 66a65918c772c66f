//! Where authority and certificates lie: written once, never over another one.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use roadstead_proto::domain::secret::Secret;

use crate::directory::private_file;

/// A folder with an authority and what it has signed.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    /// Another authority.
    #[error(
        "{} is there already, and is not overwritten: what it has signed would be worth nothing; use it, or name another --dir",
        .0.display()
    )]
    Authority(PathBuf),
    /// Another certificate.
    #[error("{} is there already, and is not overwritten; choose another --name, or move it away", .0.display())]
    Issued(PathBuf),
    /// No authority.
    #[error("there is no authority in {}: {} is missing; make one with `roadstead tls init`, or name its --dir", folder.display(), missing.display())]
    NoAuthority {
        /// Where.
        folder: PathBuf,
        /// What is not there.
        missing: PathBuf,
    },
    /// The file could not be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Files {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The authority's key.
    pub(crate) fn authority_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    /// A certificate it has signed.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// The key of that.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// Refuses where an authority is.
    pub(crate) fn refuse_authority(&self) -> Result<(), FilesError> {
        refuse([self.authority_key(), self.authority()], FilesError::Authority)
    }

    /// Refuses where a certificate of this name is.
    pub(crate) fn refuse_issued(&self, name: &str) -> Result<(), FilesError> {
        refuse([self.key(name), self.certificate(name)], FilesError::Issued)
    }

    pub(crate) fn write_authority(&self, certificate: &str, key: &Secret) -> Result<(), FilesError> {
        if !self.0.is_dir() {
            let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
            created.map_err(|source| FilesError::Io { path: self.0.clone(), source })?;
        }
        write(&self.authority(), certificate, &self.authority_key(), key, FilesError::Authority)
    }

    pub(crate) fn write_issued(&self, name: &str, certificate: &str, key: &Secret) -> Result<(), FilesError> {
        write(&self.certificate(name), certificate, &self.key(name), key, FilesError::Issued)
    }

    /// The authority's certificate and key.
    pub(crate) fn read_authority(&self) -> Result<(String, Secret), FilesError> {
        let read = |path: PathBuf| match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                Err(FilesError::NoAuthority { folder: self.0.clone(), missing: path })
            }
            Err(source) => Err(FilesError::Io { path, source }),
        };
        Ok((read(self.authority())?, read(self.authority_key()).map(Secret::new)?))
    }
}

fn refuse(paths: [PathBuf; 2], there: fn(PathBuf) -> FilesError) -> Result<(), FilesError> {
    match paths.into_iter().find(|path| path.exists()) {
        Some(path) => Err(there(path)),
        None => Ok(()),
    }
}

/// The key first: a certificate without its key would look like something that can be used.
fn write(
    certificate_path: &Path,
    certificate: &str,
    key_path: &Path,
    key: &Secret,
    there: fn(PathBuf) -> FilesError,
) -> Result<(), FilesError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => there(path),
            _ => FilesError::Io { path, source },
        }
    };
    private_file::create(key_path, key).map_err(failed(key_path))?;
    private_file::create_public(certificate_path, certificate).map_err(failed(certificate_path))
}
