//! Settings of storage, as plain values. Where they come from is the binary's business.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path;
use object_store::signer::Url;
use roadstead_proto::domain::limits::{BLOB_MEMORY_DEFAULT, CHUNK_BYTES, MIN_FREE_SPACE_DEFAULT};
use roadstead_proto::domain::secret::Secret;

/// Memory for what readers hold beyond the memory tier. Serves some 500 clients at a standstill with a
/// block each, or a dozen long cold reads at full speed, and stays below what an operator calls small.
const READER_MEMORY_DEFAULT: u64 = 128 * 1024 * 1024;
/// With less, not even one chunk could be loaded, held and handed out.
const READER_MEMORY_MIN: u64 = 4 * CHUNK_BYTES;
/// Memory for checksums that is never gone without. Speaks for 32 GiB.
pub(crate) const CHECKSUM_MEMORY_MIN: u64 = 1024 * 1024;
/// Memory for parts on their way to the store: eight cloud uploads at once, or dozens of local ones.
const UPLOAD_MEMORY_DEFAULT: u64 = 64 * 1024 * 1024;

/// Settings of storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where objects are kept.
    pub backend: Backend,
    /// Memory for chunks and checksums that are kept. Zero keeps no chunk, and 1 MiB of checksums.
    pub memory_bytes: u64,
    /// Memory for everything else that reads need, whatever the number of readers.
    pub reader_bytes: u64,
    /// Memory for parts of uploads, whatever the number of uploads.
    pub upload_bytes: u64,
    /// What stays free of a directory's disk. Below it nothing more is stored, and what is stored is read on.
    pub min_free_bytes: u64,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// A directory on this machine.
    Local {
        /// Created if it is not there.
        path: PathBuf,
    },
    /// A bucket.
    Cloud(Box<Cloud>),
}

/// A bucket, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloud {
    /// Whose bucket.
    pub service: Service,
    /// What the names of all objects begin with; empty for the whole bucket.
    pub prefix: String,
    /// Where requests go; by default where the service has its public address.
    pub endpoint: Option<String>,
    /// Where signed URLs lead; by default to `endpoint`.
    pub public_endpoint: Option<String>,
    /// Whether an endpoint may be without TLS.
    pub allow_http: bool,
    /// Certificates (PEM) to trust besides those of the system.
    pub certificates: Option<Vec<u8>>,
    /// A directory of this process alone, for what it has to remember of uploads under way.
    pub uploads: PathBuf,
}

/// A service that has buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Amazon S3, and what speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Gcs(Gcs),
    /// Azure Blob Storage.
    Azure(Azure),
}

/// A bucket of S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// Its region; by default what the environment says, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the path names the bucket, or the host name does; by default the path where an endpoint is given.
    pub path_style: Option<bool>,
    /// Who is asking; by default whoever the environment, a web identity or the instance says.
    pub credentials: Option<S3Credentials>,
    /// What each object is sent with for the service to check.
    pub checksum: Option<Checksum>,
}

/// A bucket of Google Cloud Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gcs {
    /// The bucket.
    pub bucket: String,
    /// The file with a service account's key; by default whoever the environment or the instance says.
    pub credentials_file: Option<PathBuf>,
}

/// A container of Azure Blob Storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// The storage account.
    pub account: String,
    /// The container: what others call a bucket.
    pub container: String,
    /// The account's key; by default whoever the environment, a workload identity or the instance says.
    pub account_key: Option<Secret>,
}

/// Credentials that do not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Credentials {
    /// Who.
    pub access_key_id: String,
    /// The proof.
    pub secret_access_key: Secret,
}

/// Checksums that S3 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256.
    Sha256,
    /// CRC-64/NVME, at memory speed.
    Crc64Nvme,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too little memory for readers.
    #[error("storage needs at least {READER_MEMORY_MIN} bytes for its readers, not {0}")]
    ReaderBytes(u64),
    /// No path was given.
    #[error("the storage directory has an empty path")]
    EmptyPath,
    /// No bucket was given, or no account.
    #[error("{0} of the object store is empty")]
    Empty(&'static str),
    /// An endpoint that is none. Its text is not repeated: it may hold credentials.
    #[error("{0} of the object store is not http://host[:port] or https://host[:port] (Azure: with a path)")]
    Endpoint(&'static str),
    /// An endpoint without TLS that nobody has allowed.
    #[error(
        "{0} of the object store is http://: everything would travel in the clear; use https://, or set allow_http"
    )]
    Http(&'static str),
    /// A prefix that object names cannot begin with.
    #[error(
        "the prefix {0:?} of the object store is not of the form a/b; leave out slashes at its ends and empty parts"
    )]
    Prefix(String),
}

impl Config {
    /// A local directory, everything else by default.
    pub fn local(path: impl Into<PathBuf>) -> Self {
        Self {
            backend: Backend::Local { path: path.into() },
            memory_bytes: BLOB_MEMORY_DEFAULT,
            reader_bytes: READER_MEMORY_DEFAULT,
            upload_bytes: UPLOAD_MEMORY_DEFAULT,
            min_free_bytes: MIN_FREE_SPACE_DEFAULT,
        }
    }

    /// Whether these settings can be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.reader_bytes < READER_MEMORY_MIN {
            return Err(ConfigError::ReaderBytes(self.reader_bytes));
        }
        match &self.backend {
            Backend::Local { path } if path.as_os_str().is_empty() => Err(ConfigError::EmptyPath),
            Backend::Local { .. } => Ok(()),
            Backend::Cloud(cloud) => cloud.validate(),
        }
    }

    /// One sixteenth of memory is for checksums: one byte of them speaks for 32 KiB of content, so this
    /// covers 2,000 times the memory tier. Some there are always: without, reads in parts cost too much.
    pub(crate) fn checksum_bytes(&self) -> u64 {
        (self.memory_bytes / 16).max(CHECKSUM_MEMORY_MIN)
    }

    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.checksum_bytes())
    }
}

impl Cloud {
    fn validate(&self) -> Result<(), ConfigError> {
        let named = match &self.service {
            Service::S3(S3 { bucket, .. }) | Service::Gcs(Gcs { bucket, .. }) => [("the bucket", bucket); 2],
            Service::Azure(Azure { account, container, .. }) => {
                [("the account", account), ("the container", container)]
            }
        };
        if let Some((what, _)) = named.into_iter().find(|(_, name)| name.is_empty()) {
            return Err(ConfigError::Empty(what));
        }
        for (what, endpoint) in [("the endpoint", &self.endpoint), ("the public endpoint", &self.public_endpoint)] {
            if let Some(endpoint) = endpoint {
                self.validate_endpoint(what, endpoint)?;
            }
        }
        let usable = Path::parse(&self.prefix).is_ok_and(|path| path.as_ref() == self.prefix);
        if usable { Ok(()) } else { Err(ConfigError::Prefix(self.prefix.clone())) }
    }

    fn validate_endpoint(&self, what: &'static str, endpoint: &str) -> Result<(), ConfigError> {
        let url: Url = endpoint.parse().map_err(|_| ConfigError::Endpoint(what))?;
        let path_may_be = matches!(self.service, Service::Azure(_));
        let plain = url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
            && (path_may_be || url.path() == "/");
        match url.scheme() {
            "https" if plain => Ok(()),
            "http" if plain && self.allow_http => Ok(()),
            "http" if plain => Err(ConfigError::Http(what)),
            _ => Err(ConfigError::Endpoint(what)),
        }
    }
}

/// How operators call it, without anything that is secret.
impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Service::S3(S3 { bucket, .. }) => write!(f, "s3://{bucket}")?,
            Service::Gcs(Gcs { bucket, .. }) => write!(f, "gs://{bucket}")?,
            Service::Azure(Azure { account, container, .. }) => write!(f, "az://{account}/{container}")?,
        }
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3() -> Cloud {
        Cloud {
            service: Service::S3(S3 {
                bucket: "images".to_owned(),
                region: None,
                path_style: None,
                credentials: Some(S3Credentials {
                    access_key_id: "AKID".to_owned(),
                    secret_access_key: Secret::new("hunter2"),
                }),
                checksum: None,
            }),
            prefix: "cache/eu".to_owned(),
            endpoint: Some("http://127.0.0.1:9000".to_owned()),
            public_endpoint: None,
            allow_http: true,
            certificates: None,
            uploads: PathBuf::from("uploads"),
        }
    }

    fn refusal(cloud: Cloud) -> String {
        let config = Config { backend: Backend::Cloud(Box::new(cloud)), ..Config::local("unused") };
        config.validate().map_or_else(|error| error.to_string(), |()| "valid".to_owned())
    }

    #[test]
    fn what_cannot_be_is_refused_without_repeating_what_may_be_secret() {
        assert_eq!(refusal(s3()), "valid");
        assert_eq!(refusal(Cloud { prefix: String::new(), ..s3() }), "valid");
        let table = [
            (Cloud { allow_http: false, ..s3() }, "the endpoint of the object store is http://"),
            (
                Cloud { endpoint: Some("https://u:hunter2@host".into()), ..s3() },
                "the endpoint of the object store is not",
            ),
            (Cloud { endpoint: Some("https://host/path".into()), ..s3() }, "the endpoint of the object store is not"),
            (Cloud { endpoint: Some("ftp://host".into()), ..s3() }, "the endpoint of the object store is not"),
            (
                Cloud { public_endpoint: Some("host:80".into()), ..s3() },
                "the public endpoint of the object store is not",
            ),
            (Cloud { prefix: "/a".into(), ..s3() }, "the prefix \"/a\""),
            (Cloud { prefix: "a//b".into(), ..s3() }, "the prefix \"a//b\""),
            (Cloud { prefix: "a/../b".into(), ..s3() }, "the prefix \"a/../b\""),
            (Cloud { service: gcs(""), ..s3() }, "the bucket of the object store is empty"),
            (Cloud { service: azure("acc", ""), ..s3() }, "the container of the object store is empty"),
            (Cloud { service: azure("", "con"), ..s3() }, "the account of the object store is empty"),
        ];
        for (cloud, begins) in table {
            let refusal = refusal(cloud);
            assert!(refusal.starts_with(begins), "{refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    fn gcs(bucket: &str) -> Service {
        Service::Gcs(Gcs { bucket: bucket.to_owned(), credentials_file: None })
    }

    fn azure(account: &str, container: &str) -> Service {
        Service::Azure(Azure { account: account.to_owned(), container: container.to_owned(), account_key: None })
    }

    #[test]
    fn it_is_called_as_operators_call_it() {
        assert_eq!(s3().to_string(), "s3://images/cache/eu at http://127.0.0.1:9000");
        let bare = |service| Cloud { service, prefix: String::new(), endpoint: None, ..s3() }.to_string();
        assert_eq!(bare(gcs("images")), "gs://images");
        assert_eq!(bare(azure("acc", "con")), "az://acc/con");
        assert!(!format!("{:?}", s3()).contains("hunter2"));
    }
}
