//! The flags of `roadstead serve`, as typed.
//!
//! Every flag is optional here: what is not said on the command line may be said in the configuration file, and the
//! defaults come last. `settings.rs` does that.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::log_format::LogFormat;
use super::span::Span;

const LONG_ABOUT: &str = "\
Serve pulls: gateway, metadata and blobs in one process.

The first start creates group `default` (1) and registry 1 with the upstreams named by --upstream or [[upstream]], or with
Docker Hub, MCR and Quay if none is named. From then on the stored configuration is the truth: upstreams named later are
compared with it, and a difference is reported.

Pulls go to <listen>/virtual_registries/container/1/<repository>. They need no token while --listen is a loopback address,
and the admin token otherwise: `docker login` with any user name and the token as password.";

const AFTER_LONG_HELP: &str = "\
Environment:
  ROADSTEAD_ADMIN_TOKEN  the admin token; overrides <data-dir>/admin-token, which is then neither read nor written
  ROADSTEAD_SECRET_KEY   the key that seals upstream passwords, 64 hexadecimal digits; overrides <data-dir>/secret-key
  RUST_LOG               what is logged, such as `debug` or `info,roadstead_gateway=debug`
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY  the way to the upstreams

Files in the data directory:
  node/        metadata: the raft log and the state it leads to
  blobs/       what was pulled, by digest
  uploads/     with a bucket: uploads that are under way, a file each
  spool/       downloads on their way to a bucket; may be empty at any time
  admin-token  the admin token (mode 0600)
  secret-key   the key that seals upstream passwords (mode 0600); keep a copy elsewhere
  gateway-id   this gateway's name
  lock         held while a process uses the directory

Signals:
  SIGTERM or SIGINT ends in good order: no new pulls, running ones may end (drain_timeout), exit code 0. A second one ends
  at once.

Examples:
  roadstead serve
  roadstead serve --listen 0.0.0.0:8080 --data-dir /var/lib/roadstead
  roadstead serve --upstream hub=https://registry-1.docker.io --upstream quay=https://quay.io
  roadstead serve --config serve.toml --check-config";

/// The flags of `roadstead serve`.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(long_about = LONG_ABOUT, after_long_help = AFTER_LONG_HELP)]
pub(crate) struct Flags {
    /// Where clients pull: IP:PORT. Port 0 takes a free one, which is printed [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) listen: Option<SocketAddr>,

    /// Where /metrics, /livez and /readyz are: IP:PORT. It asks for no token; keep it away from strangers
    /// [default: 127.0.0.1:8081]
    #[arg(long, value_name = "IP:PORT", value_parser = address)]
    pub(crate) admin_listen: Option<SocketAddr>,

    /// Where everything is kept; created if it is not there [default: ./roadstead-data]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,

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
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for every address of this \
         machine"
            .to_owned()
    })
}
