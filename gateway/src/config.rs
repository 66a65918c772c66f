//! Settings of one gateway, parsed and validated by whoever starts it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use roadstead_proto::domain::lease::GatewayId;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::{RegionId, RegistryId};

/// Settings of one gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its own name, stable over restarts.
    pub gateway: GatewayId,
    /// The region whose bucket it reads and writes.
    pub region: RegionId,
    /// Where other gateways reach this one, `host:port`; without, they wait for it instead of following.
    pub peer_address: Option<String>,
    /// Whether pulls need no token, whatever the registry says. For listeners on loopback.
    pub anonymous_pull: bool,
    /// The registry that is meant where a path names none: by Docker as a mirror, by containerd with `?ns=`.
    pub mirror_registry: Option<RegistryId>,
    /// Memory for manifests, in bytes.
    pub manifest_memory: u64,
    /// Folder for spools that outgrow memory; the files in it have no name.
    pub spool_dir: PathBuf,
    /// What stays free of that folder's disk, in bytes: below it downloads are passed on without being kept.
    pub min_free_bytes: u64,
    /// Who is sent to the object store for what; nobody without.
    pub redirects: Option<Redirects>,
    /// What is fetched before a client asks; nothing without.
    pub prefetch: Option<Prefetch>,
    /// How long new connections are still taken after the stop signal, while `/readyz` says no already: until load balancers
    /// have noticed.
    pub drain_delay: Duration,
    /// How long running streams may go on after that.
    pub drain_timeout: Duration,
    /// How long upstreams may take.
    pub timeouts: Timeouts,
}

/// How long upstreams may take, in real time. Silence inside a body is the transport's to
/// see, and has its setting there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From request to response headers, for what nothing is cached of.
    pub answer: Duration,
    /// The same where a stale copy is at hand.
    pub stale: Duration,
    /// After this a client's headers leave, where the size is known and the upstream has not answered.
    pub headers: Duration,
    /// How long an unbacked download waits for a reader at a standstill.
    pub standstill: Duration,
    /// First pause before a body that broke off is continued; doubles each time nothing came of it.
    pub resume_pause: Duration,
    /// Longest such pause, unless the upstream wants more.
    pub resume_pause_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            answer: limits::UPSTREAM_HEADER_TIMEOUT,
            stale: limits::UPSTREAM_STALE_DEADLINE,
            headers: limits::HEADER_DEADLINE,
            standstill: limits::SPOOL_STANDSTILL,
            resume_pause: limits::FILL_RESUME_BACKOFF,
            resume_pause_max: limits::FILL_RESUME_BACKOFF_MAX,
        }
    }
}

/// What is fetched before a client asks: configuration and layers of images whose manifest had to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// Blobs at the same time.
    pub at_once: NonZeroUsize,
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
