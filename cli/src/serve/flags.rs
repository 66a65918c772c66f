//! The flags of `roadstead serve`, as typed.

use std::path::PathBuf;

use crate::settings::PullFlags;

/// What the manual begins with. Set where the command is listed: what is flattened into the flags would take its place.
pub(crate) const LONG_ABOUT: &str = "\
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
#[command(after_long_help = AFTER_LONG_HELP)]
pub(crate) struct Flags {
    /// Where everything is kept; created if it is not there [default: ./roadstead-data]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Everything about pulls.
    #[command(flatten)]
    pub(crate) pulls: PullFlags,
}
