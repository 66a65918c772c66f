//! Settings of one gateway, parsed and validated by whoever starts it.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::registry::{RegionId, RegistryId};

/// Settings of one gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its own name, stable over restarts.
    pub gateway: GatewayId,
    /// The region whose bucket it reads and writes.
    pub region: RegionId,
    /// Whether pulls need no token, whatever the registry says. For listeners on loopback.
    pub anonymous_pull: bool,
    /// The registry that is meant where a path names none: by Docker as a mirror, by containerd with `?ns=`.
    pub mirror_registry: Option<RegistryId>,
    /// Memory for manifests, in bytes.
    pub manifest_memory: u64,
    /// Folder for spools that outgrow memory; the files in it have no name.
    pub spool_dir: PathBuf,
    /// Who is sent to the object store for what; nobody without.
    pub redirects: Option<Redirects>,
    /// How long running streams may go on after the stop signal.
    pub drain_timeout: Duration,
}

/// Who is sent to the object store for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirects {
    /// Smallest blob.
    pub min_size: u64,
    /// Clients in these networks only: those that reach the object store.
    pub networks: Vec<IpNet>,
    /// How long a URL works.
    pub expiry: Duration,
}
