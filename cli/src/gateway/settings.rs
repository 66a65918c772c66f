//! What a gateway of a cluster runs with: the settings of pulls, and its place in the cluster.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::rpc::{Identity, Role};

use super::flags::Flags;
use crate::settings::file::{self, File, FileCluster, FileError};
use crate::settings::tls::{self, TlsError};
use crate::settings::{self, RoleDefaults, Settings, SettingsError};
use crate::written::HostPort;

const DATA_DIR: &str = "./roadstead-gateway";
const DEFAULTS: RoleDefaults = RoleDefaults { data_dir: DATA_DIR, drain_delay: limits::DRAIN_DELAY_DEFAULT };
const PEER_LISTEN: &str = "127.0.0.1:7100";

/// A gateway's place in the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The nodes, or names that stand for several.
    pub(crate) nodes: Vec<HostPort>,
    /// Its name, where the operator gave one.
    pub(crate) gateway: Option<GatewayId>,
    /// Its region.
    pub(crate) region: RegionId,
    /// Where other gateways are served.
    pub(crate) peer_listen: SocketAddr,
    /// How they reach it, where that is another address.
    pub(crate) peer_address: Option<HostPort>,
    /// A directory for blobs.
    pub(crate) shared_directory: Option<PathBuf>,
    /// The file with the secret key, where the operator named one.
    pub(crate) secret_key_file: Option<PathBuf>,
    /// The file with the admin token.
    pub(crate) admin_token_file: Option<PathBuf>,
    /// What it proves itself with.
    pub(crate) identity: Option<Identity>,
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is of pulls.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody to ask.
    #[error(
        "no node is named; name one or more by --node HOST:PORT or `nodes` of [cluster], or start `roadstead serve` to go without"
    )]
    NoNodes,
    /// Not a name.
    #[error("the gateway id `{0}` cannot be used; take 1 to 64 letters, digits, `-`, `_` and `.`")]
    GatewayId(String),
    /// Not a region.
    #[error("the region `{0}` cannot be used: {1}")]
    Region(String, String),
    /// Nobody could call it.
    #[error(
        "--peer-listen {0} is every address of this machine; say by --peer-address HOST:PORT which one other gateways reach it at"
    )]
    NoPeerAddress(SocketAddr),
    /// Nobody could call it there either.
    #[error(
        "--peer-address {0} is every address of a machine, and none that other gateways could call; name one of them"
    )]
    UnspecifiedPeer(HostPort),
    /// Only this machine could.
    #[error(
        "other gateways are to follow downloads at {0}, which leads each of them to its own machine, and the nodes are on others; \
         name by --peer-listen (and --peer-address) an address of this machine that other gateways reach"
    )]
    LoopbackPeer(String),
    /// Two listeners on one address.
    #[error("--peer-listen and {1} are both {0}; give each a port of its own")]
    SameAddress(SocketAddr, &'static str),
    /// Nothing to share.
    #[error(
        "no bucket is named; gateways share one: add [storage.s3], [storage.gcs] or [storage.azure] to the configuration file, or \
         name by --shared-directory a directory that all gateways see as the same one"
    )]
    NoBucket,
    /// Two places.
    #[error(
        "there is both a bucket in [storage] and --shared-directory; blobs are kept in one place, so leave one of them out"
    )]
    TwoPlaces,
    /// No TLS where strangers are.
    #[error(
        "{what} {address} is not on this machine, and there is no TLS: whoever reaches it could read and change everything; name \
         --tls-ca, --tls-cert and --tls-key (`roadstead tls` makes them), or say --insecure where nobody else can reach it"
    )]
    NoTls {
        /// What the address is of.
        what: &'static str,
        /// The address.
        address: String,
    },
}

/// Puts the settings together.
pub(crate) fn resolve(
    flags: Flags,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(Settings, Place), PlaceError> {
    let mut file: File = flags.pulls.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
    let (cluster, in_file) = (file.cluster.take().unwrap_or_default(), file.tls.take().unwrap_or_default());
    let FileCluster { gateway_id, region, peer_listen, peer_address, shared_directory, .. } = cluster;
    let identity = tls::identity(flags.tls, in_file, Role::Gateway, variable)?;
    let place = Place {
        nodes: if flags.nodes.is_empty() { cluster.nodes } else { flags.nodes },
        gateway: flags.gateway_id.or(gateway_id).map(self::gateway_id).transpose()?,
        region: flags.region.or(region).map_or_else(|| Ok(RegionId::default_region()), self::region)?,
        peer_listen: flags
            .peer_listen
            .or(peer_listen)
            .unwrap_or_else(|| PEER_LISTEN.parse().expect("the default is an address")),
        peer_address: flags.peer_address.or(peer_address),
        shared_directory: flags.shared_directory.or(shared_directory),
        secret_key_file: flags.secret_key_file.or(cluster.secret_key_file),
        admin_token_file: flags.admin_token_file.or(cluster.admin_token_file),
        identity,
    };
    let settings = settings::resolve_with(flags.pulls, file, flags.data_dir, DEFAULTS, variable)?;
    check(&settings, &place, flags.insecure)?;
    Ok((settings, place))
}

fn gateway_id(name: String) -> Result<GatewayId, PlaceError> {
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if valid { Ok(GatewayId(name)) } else { Err(PlaceError::GatewayId(name)) }
}

fn region(name: String) -> Result<RegionId, PlaceError> {
    name.parse().map_err(|error| PlaceError::Region(name, format!("{error}")))
}

fn check(settings: &Settings, place: &Place, insecure: bool) -> Result<(), PlaceError> {
    if place.nodes.is_empty() {
        return Err(PlaceError::NoNodes);
    }
    for (other, flag) in [(settings.listen, "--listen"), (settings.admin_listen, "--admin-listen")] {
        if other == place.peer_listen && other.port() != 0 {
            return Err(PlaceError::SameAddress(other, flag));
        }
    }
    match &place.peer_address {
        None if place.peer_listen.ip().is_unspecified() => return Err(PlaceError::NoPeerAddress(place.peer_listen)),
        Some(address) if address.is_unspecified() => return Err(PlaceError::UnspecifiedPeer(address.clone())),
        _ => {}
    }
    match (&settings.storage.bucket, &place.shared_directory) {
        (None, None) => return Err(PlaceError::NoBucket),
        (Some(_), Some(_)) => return Err(PlaceError::TwoPlaces),
        _ => {}
    }
    if place.identity.is_none() && !insecure {
        let no_tls = |what, address: String| Err(PlaceError::NoTls { what, address });
        if !place.peer_listen.ip().to_canonical().is_loopback() {
            return no_tls("--peer-listen", place.peer_listen.to_string());
        }
        if let Some(node) = place.nodes.iter().find(|node| !node.is_loopback()) {
            return no_tls("the node", node.to_string());
        }
    }
    let leads_nowhere = match &place.peer_address {
        Some(address) => address.is_loopback(),
        None => place.peer_listen.ip().to_canonical().is_loopback(),
    };
    if leads_nowhere && place.nodes.iter().any(|node| !node.is_loopback()) {
        let address = place.peer_address.as_ref().map_or_else(|| place.peer_listen.to_string(), ToString::to_string);
        return Err(PlaceError::LoopbackPeer(address));
    }
    Ok(())
}

/// What `--check-config` answers of it, behind the settings of pulls.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self.nodes.iter().map(ToString::to_string).collect();
        writeln!(f, "\nCluster:\n")?;
        writeln!(f, "  nodes            {}", nodes.join(", "))?;
        let gateway = self.gateway.as_ref().map_or("the one of the data directory", |gateway| gateway.0.as_str());
        writeln!(f, "  gateway_id       {gateway}")?;
        writeln!(f, "  region           {}", self.region)?;
        writeln!(f, "  peer_listen      {}", self.peer_listen)?;
        let address = self.peer_address.clone().unwrap_or_else(|| self.peer_listen.into());
        writeln!(f, "  peer_address     {address}")?;
        if let Some(directory) = &self.shared_directory {
            writeln!(f, "  shared_directory {}", directory.display())?;
        }
        writeln!(f, "  tls              {}", if self.identity.is_some() { "mutual" } else { "none" })
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
