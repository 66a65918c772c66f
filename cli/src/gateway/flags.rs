//! The flags of `roadstead gateway`, as typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::settings::tls::TlsFlags;
use crate::settings::{PullFlags, address};
use crate::written::HostPort;

/// What the manual begins with. Set where the command is listed: what is flattened into the flags would take its place.
pub(crate) const LONG_ABOUT: &str = "\
Serve pulls as one of many gateways: metadata from nodes, blobs in a bucket that all gateways share.

A gateway keeps nothing that it cannot lose. It finds the cluster by --node, waits for it where no node answers yet, and
creates the first registry where there is none, with the upstreams named by --upstream or [[upstream]]. From then on the stored
configuration is the truth: upstreams named later are compared with it, and a difference is reported.

All gateways of a cluster have the same secret key, in ROADSTEAD_SECRET_KEY or in a file. Make one once, and keep a copy:

  openssl rand -hex 32 > secret-key";

const AFTER_LONG_HELP: &str = "\
Environment:
  ROADSTEAD_SECRET_KEY   the key that seals upstream passwords, 64 hexadecimal digits, the same on all gateways
  ROADSTEAD_ADMIN_TOKEN  the admin token, the same on all gateways that have one; without, the stored one counts
  ROADSTEAD_TLS_CA, ROADSTEAD_TLS_CERT, ROADSTEAD_TLS_KEY  as --tls-ca, --tls-cert, --tls-key
  RUST_LOG               what is logged, such as `debug` or `info,roadstead_gateway=debug`
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY  the way to the upstreams

Files in the data directory, none of which is missed:
  spool/       downloads under way; may be empty at any time
  uploads/     uploads to the bucket that are under way, a file each
  gateway-id   this gateway's name, where --gateway-id gives none
  secret-key   the secret key, where neither the environment nor --secret-key-file has it
  lock         held while a process uses the directory

Signals:
  SIGTERM or SIGINT ends in good order: no new pulls, running ones may end (drain_timeout), downloads are handed over, exit
  code 0. A second one ends at once.

Examples:
  roadstead gateway --config gateway.toml
  roadstead gateway --config gateway.toml --check-config
  roadstead gateway --node nodes.example:7000 --shared-directory /mnt/blobs --listen 0.0.0.0:8080 \\
      --peer-listen 0.0.0.0:7100 --peer-address gw-a.example:7100 \\
      --tls-ca ca.pem --tls-cert gw-a.pem --tls-key gw-a.key";

/// The flags of `roadstead gateway`.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub(crate) struct Flags {
    /// A node of the cluster, or a DNS name that stands for several. May be repeated. Replaces `nodes` of the configuration
    /// file
    #[arg(long = "node", value_name = "HOST:PORT")]
    pub(crate) nodes: Vec<HostPort>,

    /// This gateway's name in the cluster, its own and always the same [default: made up, and kept in the data directory]
    #[arg(long, value_name = "NAME")]
    pub(crate) gateway_id: Option<String>,

    /// The region that this gateway is in: lower-case letters, digits and `-` [default: default]
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,

    /// Where other gateways follow this one's downloads: IP:PORT [default: 127.0.0.1:7100]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) peer_listen: Option<SocketAddr>,

    /// How other gateways reach that [default: the address of --peer-listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) peer_address: Option<HostPort>,

    /// A directory for blobs in place of a bucket, which all gateways see as the same one: a network file system, or gateways
    /// on one machine
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) shared_directory: Option<PathBuf>,

    /// The file with the secret key [default: secret-key in the data directory]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_key_file: Option<PathBuf>,

    /// A file with the admin token
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// Go without TLS between machines. Whoever reaches a node can then change everything
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Who this gateway is to nodes and gateways.
    #[command(flatten)]
    pub(crate) tls: TlsFlags,

    /// Where this gateway keeps what is its own; created if it is not there [default: ./roadstead-gateway]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Everything about pulls.
    #[command(flatten)]
    pub(crate) pulls: PullFlags,
}
