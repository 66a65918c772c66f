//! The flags of every role that serves pulls, as typed.
//!
//! Every flag is optional here: what is not said on the command line may be said in the configuration file, and the
//! defaults come last. `pulls.rs` does that.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::written::{LogFormat, Network, Span};

// What is said of pulls on the command line.
// No doc comment: clap would show it in place of the text of the command that this is a part of.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct PullFlags {
    /// Where clients pull: IP:PORT. Port 0 takes a free one, which is printed [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where /metrics, /livez and /readyz are: IP:PORT. It asks for no token; keep it away from strangers
    /// [default: 127.0.0.1:8081]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// An upstream, such as `quay=https://quay.io`. May be repeated; the first is asked first. Replaces the `[[upstream]]`
    /// list of the configuration file. Counts on the first start only [default: Docker Hub, MCR and Quay]
    #[arg(long = "upstream", value_name = "NAME=URL")]
    pub(crate) upstreams: Vec<String>,

    /// How long a tag is served without asking its upstream again, such as `30m`, `24h` or `7d`; 0 is for ever. For the
    /// upstreams that name no validity of their own. Counts on the first start only [default: 24h]
    #[arg(long, value_name = "DURATION")]
    pub(crate) cache_validity: Option<Span>,

    /// The registry that is meant by names without a prefix, as Docker asks a mirror and containerd with `?ns=`: its number,
    /// or 0 for none [default: 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) mirror_registry: Option<u64>,

    /// Certificates (PEM) to trust besides those of the system when connecting to upstreams
    #[arg(long, value_name = "FILE")]
    pub(crate) upstream_ca: Option<PathBuf>,

    /// A network whose addresses upstreams may have besides public ones, such as `10.0.0.0/8` or `192.168.1.7`. May be repeated.
    /// Everything else that is not public is closed to them, redirects and token realms included
    #[arg(long = "allow-upstream-network", value_name = "CIDR")]
    pub(crate) allow_upstream_networks: Vec<Network>,

    /// A configuration file (TOML): all of these flags, and more. Flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How log lines on standard error look [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// Check flags, configuration file and everything they refer to, print what would be used, and exit
    #[arg(long)]
    pub(crate) check_config: bool,
}

/// An address to listen on, with an answer that helps.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every address of this \
         machine"
            .to_owned()
    })
}
