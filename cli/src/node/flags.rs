//! The flags of `roadstead node`, as typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::settings::address;
use crate::settings::tls::TlsFlags;
use crate::written::{HostPort, LogFormat};

/// What the manual begins with. Set where the command is listed: what is flattened into the flags would take its place.
pub(crate) const LONG_ABOUT: &str = "\
Keep the metadata of a cluster, as one of its nodes. Three nodes bear the loss of one, five that of two.

A node with an empty data directory waits: `roadstead cluster init` founds a cluster with it, `roadstead cluster add` adds it to
one. From then on it belongs to that cluster, and goes on in it whenever it is started.

Nodes, gateways and administrators prove to each other what they are by certificates (`roadstead tls`). Without them a node
listens on loopback only.";

const AFTER_LONG_HELP: &str = "\
Environment:
  ROADSTEAD_TLS_CA, ROADSTEAD_TLS_CERT, ROADSTEAD_TLS_KEY  as --tls-ca, --tls-cert, --tls-key
  RUST_LOG               what is logged, such as `debug` or `info,roadstead_node=debug`

Signals:
  SIGTERM or SIGINT ends in good order: the leadership is handed over, calls may end, the files are closed, exit code 0. A
  second one ends at once.

Examples:
  roadstead node --node-id 1 --data-dir /var/lib/roadstead
  roadstead node --node-id 2 --listen 0.0.0.0:7000 --address node-b.example:7000 \\
      --tls-ca ca.pem --tls-cert node-b.pem --tls-key node-b.key
  roadstead node --config node.toml --check-config";

/// The flags of `roadstead node`.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub(crate) struct Flags {
    /// This node's number in its cluster, from 1; never given to another node again
    #[arg(long, value_name = "NUMBER")]
    pub(crate) node_id: Option<u64>,

    /// Where everything is kept; created if it is not there [default: ./roadstead-node]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Where nodes, gateways and administrators call: IP:PORT [default: 127.0.0.1:7000]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,

    /// How the other nodes reach that [default: the address of --listen]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: Option<HostPort>,

    /// Where /metrics, /livez and /readyz are: IP:PORT. It asks for no token; keep it away from strangers
    /// [default: 127.0.0.1:7001]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// Go without TLS between machines. Whoever reaches this node can then change everything
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Who this node is to the others.
    #[command(flatten)]
    pub(crate) tls: TlsFlags,

    /// A configuration file (TOML): all of these flags. Flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines on standard error look [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// Check flags, configuration file and everything they refer to, print what would be used, and exit
    #[arg(long)]
    pub(crate) check_config: bool,
}
