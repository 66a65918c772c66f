//! The configuration file, as written: every flag and more, and nothing else.
//!
//! Paths in it are relative to the working directory, as on the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::storage::FileStorage;
use super::tls::FileTls;
use crate::written::{HostPort, LogFormat, Network, Size, Span};

/// The whole file. `deploy/config/serve.toml` and `gateway.toml` show every key with its default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// As `--listen`.
    pub(crate) listen: Option<SocketAddr>,
    /// As `--admin-listen`.
    pub(crate) admin_listen: Option<SocketAddr>,
    /// As `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// As `--mirror-registry`.
    pub(crate) mirror_registry: Option<u64>,
    /// As `--upstream-ca`.
    pub(crate) upstream_ca: Option<PathBuf>,
    /// As `--allow-upstream-network`.
    pub(crate) allow_upstream_networks: Option<Vec<Network>>,
    /// How single hosts are connected to.
    #[serde(default, rename = "upstream_connection")]
    pub(crate) upstream_connections: Vec<FileConnection>,
    /// As `--log-format`.
    pub(crate) log_format: Option<LogFormat>,
    /// How long new connections are still taken after the stop signal.
    pub(crate) drain_delay: Option<Span>,
    /// How long running pulls may go on after that.
    pub(crate) drain_timeout: Option<Span>,
    /// What stays free of the data directory's disk.
    pub(crate) min_free_space: Option<Size>,
    /// Memory for blobs.
    pub(crate) blob_memory: Option<Size>,
    /// Memory for manifests.
    pub(crate) manifest_memory: Option<Size>,
    /// Blobs that are fetched before a client asks, at the same time.
    pub(crate) prefetch: Option<usize>,
    /// As `--cache-validity`.
    pub(crate) cache_validity: Option<Span>,
    /// Where blobs are kept, and who is sent there.
    #[serde(default)]
    pub(crate) storage: FileStorage,
    /// As `--upstream`, in order.
    #[serde(default, rename = "upstream")]
    pub(crate) upstreams: Vec<FileUpstream>,
    /// The cluster that a gateway belongs to.
    pub(crate) cluster: Option<FileCluster>,
    /// What it proves itself with there.
    pub(crate) tls: Option<FileTls>,
}

/// `[cluster]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileCluster {
    /// As `--node`.
    #[serde(default)]
    pub(crate) nodes: Vec<HostPort>,
    /// As `--gateway-id`.
    pub(crate) gateway_id: Option<String>,
    /// As `--region`.
    pub(crate) region: Option<String>,
    /// As `--peer-listen`.
    pub(crate) peer_listen: Option<SocketAddr>,
    /// As `--peer-address`.
    pub(crate) peer_address: Option<HostPort>,
    /// As `--shared-directory`.
    pub(crate) shared_directory: Option<PathBuf>,
    /// As `--secret-key-file`.
    pub(crate) secret_key_file: Option<PathBuf>,
    /// As `--admin-token-file`.
    pub(crate) admin_token_file: Option<PathBuf>,
}

/// One `[[upstream]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileUpstream {
    /// How people call it.
    pub(crate) name: String,
    /// Its address.
    pub(crate) url: String,
    /// As whom it is asked.
    pub(crate) username: Option<String>,
    /// The file that holds the password.
    pub(crate) password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    pub(crate) password_env: Option<String>,
    /// Known only to be refused with a better answer than "unknown field".
    #[serde(default)]
    pub(crate) password: Option<IgnoredAny>,
    /// How long its tags are fresh.
    pub(crate) validity: Option<Span>,
    /// How long after that they are served while it fails.
    pub(crate) stale_if_error: Option<Span>,
    /// What its 404 means for a tag we hold.
    pub(crate) on_not_found: Option<OnNotFound>,
    /// What its faults mean for the walk down the list.
    pub(crate) on_error: Option<OnError>,
}

/// One `[[upstream_connection]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileConnection {
    /// Which host, `host` or `host:port`.
    pub(crate) host: String,
    /// The file with the authorities to trust for it.
    pub(crate) ca: Option<PathBuf>,
    /// The file with the certificate to present.
    pub(crate) client_certificate: Option<PathBuf>,
    /// The file with that certificate's private key.
    pub(crate) client_key: Option<PathBuf>,
    /// The version of HTTP.
    pub(crate) http: Option<Http>,
}

/// See [`roadstead_gateway::upstream::connection::HttpVersion`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Http {
    /// Blobs over HTTP/1.1, the rest as the server likes it.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "2")]
    Http2,
}

/// See [`roadstead_proto::domain::upstream::OnNotFound`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnNotFound {
    /// The cached copy is served on for a day.
    Stale,
    /// The cached copy is not served any more.
    Gone,
}

/// See [`roadstead_proto::domain::upstream::OnError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    /// The pull fails.
    Stop,
    /// The next upstream is asked.
    Next,
}

/// Why a configuration file is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what was expected.
    #[error("configuration file {}, line {line}: {message}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// What is wrong there. Never the line itself: somebody may have written a password into it.
        message: String,
    },
}

/// Reads a configuration file of any role.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|(line, message)| FileError::Content { path: path.to_owned(), line, message })
}

/// The content of a file, or the line and what is wrong with it.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        (before.matches('\n').count() + 1, error.message().trim().replace('\n', "; "))
    })
}

#[cfg(test)]
#[path = "file_property_tests.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::storage::{FileAzure, FileGcs, FileRedirect, FileS3};

    /// The examples that operators copy.
    const SERVE: &str = include_str!("../../../deploy/config/serve.toml");
    const GATEWAY: &str = include_str!("../../../deploy/config/gateway.toml");

    #[test]
    fn mistakes_are_named_with_their_line_and_without_its_content() {
        for (text, line, part) in [
            ("lisen = 1", 1, "unknown field `lisen`, expected one of `listen`"),
            ("\nlisten = \"here\"", 2, "invalid socket address"),
            ("drain_timeout = \"soon\"", 1, "`soon` is not a duration"),
            ("blob_memory = \"a lot\"", 1, "`a lot` is not a size"),
            ("log_format = \"xml\"", 1, "expected `text` or `json`"),
            ("\n\n[[upstream]]\nname = \"a\"", 3, "missing field `url`"),
            ("[[upstream]]\nname=\"a\"\nurl=\"b\"\npasword = \"hunter2\"", 4, "unknown field `pasword`"),
            ("[[upstream]]\nname=\"a\"\nurl=\"b\"\non_error = \"go\"", 4, "expected `stop` or `next`"),
            ("[[upstream_connection]]\nhost=\"a\"\nhttp = \"3\"", 3, "expected one of `auto`, `1.1`, `2`"),
            ("listen = ", 1, ""),
        ] {
            let (found, message) = parse::<File>(text).unwrap_err();
            assert_eq!(found, line, "{text}: {message}");
            assert!(message.contains(part), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn the_examples_show_every_key() {
        let (cluster, tls) = shows_every_key_of_pulls(SERVE);
        assert!(cluster.is_none() && tls.is_none());
        let (cluster, tls) = shows_every_key_of_pulls(GATEWAY);
        let Some(FileCluster {
            nodes,
            gateway_id: Some(_),
            region: Some(_),
            peer_listen: Some(_),
            peer_address: Some(_),
            shared_directory: Some(_),
            secret_key_file: Some(_),
            admin_token_file: Some(_),
        }) = cluster
        else {
            panic!("a key is missing in the example's cluster: {cluster:?}");
        };
        assert_eq!(nodes.len(), 3);
        assert!(matches!(tls, Some(FileTls { ca: Some(_), cert: Some(_), key: Some(_) })), "{tls:?}");
    }

    /// Every key stands in an example: the pattern names each, so that a new one has to be added here and there.
    fn shows_every_key_of_pulls(example: &str) -> (Option<FileCluster>, Option<FileTls>) {
        let shown: String = example.lines().map(|line| uncommented(line).to_owned() + "\n").collect();
        let mut file: File = parse(&shown).unwrap_or_else(|(line, message)| panic!("line {line}: {message}"));
        let first = file.upstreams.swap_remove(0);
        let connection = file.upstream_connections.swap_remove(0);
        let File {
            listen: Some(_),
            admin_listen: Some(_),
            data_dir: Some(_),
            mirror_registry: Some(_),
            upstream_ca: Some(_),
            allow_upstream_networks: Some(_),
            upstream_connections: _,
            log_format: Some(_),
            drain_delay: Some(_),
            drain_timeout: Some(_),
            min_free_space: Some(_),
            blob_memory: Some(_),
            manifest_memory: Some(_),
            prefetch: Some(_),
            cache_validity: Some(_),
            storage,
            upstreams: _,
            cluster,
            tls,
        } = file
        else {
            panic!("a key is missing in the example: {file:?}");
        };
        shows_every_key_of_storage(storage);
        let FileUpstream {
            name: _,
            url: _,
            username: Some(_),
            password_file: Some(_),
            password_env: Some(_),
            password: None,
            validity: Some(_),
            stale_if_error: Some(_),
            on_not_found: Some(_),
            on_error: Some(_),
        } = first
        else {
            panic!("a key is missing in the example's first upstream: {first:?}");
        };
        let FileConnection { host: _, ca: Some(_), client_certificate: Some(_), client_key: Some(_), http: Some(_) } =
            connection
        else {
            panic!("a key is missing in the example's connection: {connection:?}");
        };
        (cluster, tls)
    }

    fn shows_every_key_of_storage(storage: FileStorage) {
        let FileStorage { s3: Some(s3), gcs: Some(gcs), azure: Some(azure), redirect: Some(redirect), regions } =
            storage
        else {
            panic!("a table is missing in the example: {storage:?}");
        };
        assert!(regions.values().any(|region| region.s3.is_some()), "a region is missing in the example");
        let FileS3 {
            bucket: _,
            prefix: Some(_),
            region: Some(_),
            endpoint: Some(_),
            path_style: Some(_),
            allow_http: Some(_),
            ca: Some(_),
            access_key_id: Some(_),
            secret_access_key_file: Some(_),
            secret_access_key_env: Some(_),
            secret_access_key: None,
            checksum: Some(_),
        } = s3
        else {
            panic!("a key is missing in the example: {s3:?}");
        };
        let FileGcs {
            bucket: _,
            prefix: Some(_),
            endpoint: Some(_),
            allow_http: Some(_),
            ca: Some(_),
            credentials_file: Some(_),
        } = gcs
        else {
            panic!("a key is missing in the example: {gcs:?}");
        };
        let FileAzure {
            account: _,
            container: _,
            prefix: Some(_),
            endpoint: Some(_),
            allow_http: Some(_),
            ca: Some(_),
            account_key_file: Some(_),
            account_key_env: Some(_),
            account_key: None,
        } = azure
        else {
            panic!("a key is missing in the example: {azure:?}");
        };
        let FileRedirect { mode: Some(_), networks: Some(_), min_size: Some(_), expiry: Some(_), endpoint: Some(_) } =
            redirect
        else {
            panic!("a key is missing in the example: {redirect:?}");
        };
    }

    /// `# key = value`, `# [table]` and `# [[table]]` are commented out; every other comment is prose.
    fn uncommented(line: &str) -> &str {
        let is_table = |rest: &str| rest.starts_with('[') && rest.ends_with(']');
        let is_setting = |rest: &str| rest.split_once(" = ").is_some_and(|(key, _)| is_key(key));
        match line.strip_prefix("# ").filter(|rest| is_table(rest) || is_setting(rest)) {
            Some(rest) => rest,
            None => line,
        }
    }

    fn is_key(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    }
}
