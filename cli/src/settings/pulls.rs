//! The settings in force for pulls: flags, else the configuration file, else the defaults. Everything that can be wrong with
//! them is found here, before anything is bound or written.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use roadstead_gateway::config::Prefetch;
use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_gateway::upstream::connection::{Certificates, PemError, Transport};
use roadstead_gateway::upstream::network::{Forbidden, NetworkPolicy};
use roadstead_gateway::upstream::proxy::{Proxies, ProxyError};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegistryId;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::upstream::{OnError, OnNotFound};

use super::connections::{self, ConnectionError, NamedConnection};
use super::file::{self, File, FileError};
use super::flags::PullFlags;
use super::named::{self, Defaults, NamedError, NamedUpstream};
use super::storage::{self, StorageSettings, StorageSettingsError};
use crate::written::{LogFormat, Network, Size, Span};

/// The environment variable with the admin token.
pub(crate) const ADMIN_TOKEN_VARIABLE: &str = "ROADSTEAD_ADMIN_TOKEN";
/// The environment variable with the secret key.
pub(crate) const SECRET_KEY_VARIABLE: &str = "ROADSTEAD_SECRET_KEY";

const LISTEN: &str = "127.0.0.1:8080";
const ADMIN_LISTEN: &str = "127.0.0.1:8081";
/// The one that the first start creates.
const MIRROR_REGISTRY: u64 = 1;
/// Where in it uploads to a bucket are remembered.
const UPLOADS: &str = "uploads";
/// A token is kept as a plain hash, which is enough for long random ones only; a shorter one is reported.
pub(crate) const TOKEN_LENGTH_ADVISED: usize = 20;
/// Far beyond any token; stops a file from becoming one by accident.
const TOKEN_LENGTH_MAX: usize = 512;

/// What a process that serves pulls runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where clients pull.
    pub(crate) listen: SocketAddr,
    /// Where metrics and health are.
    pub(crate) admin_listen: SocketAddr,
    /// Where it keeps what is its own.
    pub(crate) data_dir: PathBuf,
    /// The upstreams of the first start, first asked first.
    pub(crate) upstreams: Vec<NamedUpstream>,
    /// Whether somebody named them; the built-in ones are no wish that a later start could go against.
    pub(crate) upstreams_named: bool,
    /// The registry that names without a prefix mean.
    pub(crate) mirror_registry: Option<RegistryId>,
    /// Certificates to trust besides those of the system.
    pub(crate) upstream_ca: Option<CaFile>,
    /// Which addresses they may have.
    pub(crate) upstream_network: NetworkPolicy,
    /// How single hosts are connected to.
    pub(crate) upstream_connections: Vec<NamedConnection>,
    /// The way to the upstreams, as the environment names it.
    pub(crate) proxies: Proxies,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// How long new connections are still taken after the stop signal.
    pub(crate) drain_delay: Duration,
    /// How long running pulls may go on after that.
    pub(crate) drain_timeout: Duration,
    /// Where blobs are kept, and who is sent there.
    pub(crate) storage: StorageSettings,
    /// What stays free of the data directory's disk, in bytes.
    pub(crate) min_free_space: u64,
    /// Memory for blobs, in bytes.
    pub(crate) blob_memory: u64,
    /// Memory for manifests, in bytes.
    pub(crate) manifest_memory: u64,
    /// What is fetched before a client asks.
    pub(crate) prefetch: Option<Prefetch>,
    /// The admin token, where the environment has one.
    pub(crate) admin_token: Option<Secret>,
    /// The secret key in hexadecimal, where the environment has one.
    pub(crate) secret_key: Option<Secret>,
}

/// A file with certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) certificates: Certificates,
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file for another role.
    #[error("[cluster] and [tls] are for `roadstead gateway`; start that with this file, or leave them out")]
    Cluster,
    /// The upstreams.
    #[error(transparent)]
    Upstreams(#[from] NamedError),
    /// Where blobs are kept.
    #[error(transparent)]
    Storage(#[from] StorageSettingsError),
    /// Two listeners on one address.
    #[error("--listen and --admin-listen are both {0}; give --admin-listen another port, or 0 for a free one")]
    SameAddress(SocketAddr),
    /// No data directory.
    #[error("--data-dir is empty; name the directory that everything is to be kept in")]
    NoDataDir,
    /// Certificates that cannot be read.
    #[error("cannot read the certificates of --upstream-ca from {}", path.display())]
    UpstreamCa {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Certificates that are none.
    #[error("the certificates of --upstream-ca, {}: {source}", path.display())]
    UpstreamCaContent {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PemError,
    },
    /// An upstream where none may be.
    #[error("upstream `{name}` cannot be used: {source}")]
    UpstreamNetwork {
        /// Which.
        name: String,
        /// Why.
        source: Forbidden,
    },
    /// More than would ever run.
    #[error("prefetch is {0}; at most {max} blobs are fetched ahead at a time, and 0 turns it off", max = limits::PREFETCH_MAX)]
    Prefetch(usize),
    /// The connections.
    #[error(transparent)]
    Connections(#[from] ConnectionError),
    /// The proxies.
    #[error(transparent)]
    Proxies(#[from] ProxyError),
    /// An admin token that nobody could sign in with.
    #[error(
        "{ADMIN_TOKEN_VARIABLE} is not 1 to {TOKEN_LENGTH_MAX} printable ASCII characters without spaces; set it to a \
         long random text, or unset it to have one generated"
    )]
    AdminToken,
    /// A secret key that is none.
    #[error("{SECRET_KEY_VARIABLE} cannot be used: {0}; set it to such a key, or unset it to have one generated")]
    SecretKey(SealError),
}

/// What holds where nobody says anything, and is not the same for every role.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoleDefaults {
    /// Where it keeps what is its own.
    pub(crate) data_dir: &'static str,
    /// How long it takes new connections after the stop signal.
    pub(crate) drain_delay: Duration,
}

/// Puts the settings of a process without a cluster together.
pub(crate) fn resolve(
    flags: PullFlags,
    data_dir: Option<PathBuf>,
    role: RoleDefaults,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Settings, SettingsError> {
    let file: File = flags.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
    if file.cluster.is_some() || file.tls.is_some() {
        return Err(SettingsError::Cluster);
    }
    resolve_with(flags, file, data_dir, role, &variable)
}

/// Puts the settings together, with a file that was read already.
pub(crate) fn resolve_with(
    flags: PullFlags,
    file: File,
    data_dir: Option<PathBuf>,
    role: RoleDefaults,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Settings, SettingsError> {
    let File { upstreams: in_file, .. } = &file;

    let validity = flags.cache_validity.or(file.cache_validity).map_or(limits::TAG_VALIDITY_DEFAULT, |span| span.0);
    let defaults = Defaults { validity, variable };
    let named = named::choose(&flags.upstreams, in_file, &defaults)?;
    let upstreams_named = named.is_some();

    let data_dir = data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from(role.data_dir));
    let settings = Settings {
        storage: storage::resolve(file.storage, data_dir.join(UPLOADS), variable)?,
        listen: flags.listen.or(file.listen).unwrap_or_else(|| known_address(LISTEN)),
        admin_listen: flags.admin_listen.or(file.admin_listen).unwrap_or_else(|| known_address(ADMIN_LISTEN)),
        data_dir,
        upstreams: named.unwrap_or_else(|| named::built_in(validity)),
        upstreams_named,
        mirror_registry: Some(flags.mirror_registry.or(file.mirror_registry).unwrap_or(MIRROR_REGISTRY))
            .filter(|number| *number > 0)
            .map(RegistryId),
        upstream_ca: flags.upstream_ca.or(file.upstream_ca).map(read_certificates).transpose()?,
        upstream_network: network(flags.allow_upstream_networks, file.allow_upstream_networks),
        upstream_connections: connections::read(file.upstream_connections)?,
        proxies: Proxies::from_environment(variable)?,
        log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        drain_delay: file.drain_delay.map_or(role.drain_delay, |span| span.0),
        drain_timeout: file.drain_timeout.map_or(limits::DRAIN_TIMEOUT_DEFAULT, |span| span.0),
        min_free_space: file.min_free_space.map_or(limits::MIN_FREE_SPACE_DEFAULT, |size| size.0),
        blob_memory: file.blob_memory.map_or(limits::BLOB_MEMORY_DEFAULT, |size| size.0),
        manifest_memory: file.manifest_memory.map_or(limits::MANIFEST_MEMORY_DEFAULT, |size| size.0),
        prefetch: prefetch(file.prefetch.unwrap_or(limits::PREFETCH_DEFAULT))?,
        admin_token: variable(ADMIN_TOKEN_VARIABLE).map(admin_token).transpose()?,
        secret_key: variable(SECRET_KEY_VARIABLE).map(secret_key).transpose()?,
    };
    if settings.listen == settings.admin_listen && settings.listen.port() != 0 {
        return Err(SettingsError::SameAddress(settings.listen));
    }
    for NamedUpstream { name, url, .. } in &settings.upstreams {
        let checked = settings.upstream_network.check_url(&url.api(""));
        checked.map_err(|source| SettingsError::UpstreamNetwork { name: name.clone(), source })?;
    }
    if settings.data_dir.as_os_str().is_empty() {
        return Err(SettingsError::NoDataDir);
    }
    Ok(settings)
}

fn known_address(text: &str) -> SocketAddr {
    text.parse().expect("the defaults are addresses")
}

fn prefetch(at_once: usize) -> Result<Option<Prefetch>, SettingsError> {
    if at_once > limits::PREFETCH_MAX {
        return Err(SettingsError::Prefetch(at_once));
    }
    Ok(NonZeroUsize::new(at_once).map(|at_once| Prefetch { at_once }))
}

fn read_certificates(path: PathBuf) -> Result<CaFile, SettingsError> {
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(SettingsError::UpstreamCa { path, source }),
    };
    match Certificates::from_pem(&pem) {
        Ok(certificates) => Ok(CaFile { path, certificates }),
        Err(source) => Err(SettingsError::UpstreamCaContent { path, source }),
    }
}

fn admin_token(text: OsString) -> Result<Secret, SettingsError> {
    text.into_string().ok().map(Secret::new).filter(is_token).ok_or(SettingsError::AdminToken)
}

/// Whether a text can travel as a token.
pub(crate) fn is_token(token: &Secret) -> bool {
    let text = token.expose();
    (1..=TOKEN_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Any on the command line replace those of the file.
fn network(flags: Vec<Network>, file: Option<Vec<Network>>) -> NetworkPolicy {
    let networks = if flags.is_empty() { file.unwrap_or_default() } else { flags };
    NetworkPolicy::opening(networks.into_iter().map(|network| network.0).collect())
}

fn secret_key(text: OsString) -> Result<Secret, SettingsError> {
    let text = text.into_string().map_err(|_| SettingsError::SecretKey(SealError::Key))?;
    Keyring::from_hex(&text).map(|keyring| keyring.to_hex()).map_err(SettingsError::SecretKey)
}

impl Settings {
    /// How upstreams are connected to.
    pub(crate) fn transport(&self) -> Transport {
        Transport {
            authorities: self.upstream_ca.as_ref().map(|file| file.certificates.clone()),
            connections: self.upstream_connections.iter().map(|named| named.connection.clone()).collect(),
            network: self.upstream_network.clone(),
            ..Transport::default()
        }
    }
}

impl fmt::Display for Settings {
    /// What `--check-config` answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The configuration is valid.\n")?;
        writeln!(f, "  listen           {}", self.listen)?;
        writeln!(f, "  admin_listen     {}", self.admin_listen)?;
        writeln!(f, "  data_dir         {}", self.data_dir.display())?;
        let mirror = self.mirror_registry.map_or_else(|| "none".to_owned(), |registry| registry.to_string());
        writeln!(f, "  mirror_registry  {mirror}")?;
        if let Some(file) = &self.upstream_ca {
            writeln!(f, "  upstream_ca      {}", file.path.display())?;
        }
        write!(f, "{}", self.storage)?;
        let opened = self.upstream_network.opened().iter().map(|network| format!(", {network}"));
        writeln!(f, "  upstreams at     public addresses{}", opened.collect::<String>())?;
        for (scheme, proxy) in [("https", &self.proxies.https), ("http", &self.proxies.http)] {
            if let Some(proxy) = proxy {
                writeln!(f, "  {scheme:<5} through    {proxy}")?;
            }
        }
        if let Some(except) = &self.proxies.except {
            writeln!(f, "  but not to       {except} (NO_PROXY)")?;
        }
        writeln!(f, "  drain_delay      {}", Span(self.drain_delay))?;
        writeln!(f, "  drain_timeout    {}", Span(self.drain_timeout))?;
        writeln!(f, "  min_free_space   {}", Size(self.min_free_space))?;
        writeln!(f, "  blob_memory      {}", Size(self.blob_memory))?;
        writeln!(f, "  manifest_memory  {}", Size(self.manifest_memory))?;
        let prefetch =
            self.prefetch.map_or_else(|| "off".to_owned(), |prefetch| format!("{} at a time", prefetch.at_once));
        writeln!(f, "  prefetch         {prefetch}")?;
        if !self.upstream_connections.is_empty() {
            writeln!(f, "\nConnections:\n")?;
        }
        for connection in &self.upstream_connections {
            writeln!(f, "  {connection}")?;
        }
        writeln!(f, "\nUpstreams of the first start:\n")?;
        for (position, upstream) in (1..).zip(&self.upstreams) {
            writeln!(f, "  {position}. {upstream}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NamedUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}  {}", self.name, self.url, validity(self.validity))?;
        if let Some(sign_in) = &self.sign_in {
            write!(f, ", as {}", sign_in.username)?;
        }
        if self.on_not_found == OnNotFound::Gone {
            write!(f, ", on_not_found = gone")?;
        }
        if self.on_error == OnError::Next {
            write!(f, ", on_error = next")?;
        }
        Ok(())
    }
}

/// How long tags are fresh, in words.
pub(crate) fn validity(validity: Duration) -> String {
    if validity.is_zero() { "valid for ever".to_owned() } else { format!("valid for {}", Span(validity)) }
}

#[cfg(test)]
#[path = "pulls_tests.rs"]
mod tests;
