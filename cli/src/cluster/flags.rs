//! The flags of `roadstead cluster`, as typed.

use std::path::PathBuf;

use crate::settings::tls::TlsFlags;
use crate::written::HostPort;

/// What the manual begins with. Set where the command is listed: what is flattened into the flags would take its place.
pub(crate) const LONG_ABOUT: &str = "\
Administration of a cluster: found it, add and remove nodes, see how it is, copy its metadata.

Every command asks one node, and any node will do: what needs the leader is passed on to it. Where nodes have certificates so
has whoever asks: one of role `admin`, named by --tls-ca, --tls-cert and --tls-key or by the environment.";

const AFTER_HELP: &str = "\
Environment:
  ROADSTEAD_NODE      the node to ask, HOST:PORT
  ROADSTEAD_TLS_CA    as --tls-ca
  ROADSTEAD_TLS_CERT  as --tls-cert
  ROADSTEAD_TLS_KEY   as --tls-key

Examples:
  roadstead cluster init --node 10.0.0.1:7000
  roadstead cluster add --node 10.0.0.1:7000 --id 2 --address 10.0.0.2:7000
  roadstead cluster status
  roadstead cluster snapshot --out metadata.snapshot";

/// The flags of `roadstead cluster`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Found a cluster with a waiting node as its first member
    Init(Access),
    /// Show nodes and gateways
    Status(Status),
    /// Add a waiting node
    Add(Add),
    /// Remove a node, also one that is dead
    Remove(Remove),
    /// Let another node lead
    Transfer(Transfer),
    /// Copy the whole metadata into a file
    Snapshot(Snapshot),
    /// Make the data directory of a new cluster's first node from such a file; asks no node
    Restore(Restore),
}

// Which node is asked, and as whom.
// No doc comment: clap would show it in place of the text of the command that this is a part of.
#[derive(Debug, clap::Args)]
pub(crate) struct Access {
    /// The node to ask [default: 127.0.0.1:7000] [environment: ROADSTEAD_NODE]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) node: Option<HostPort>,

    /// The certificates.
    #[command(flatten)]
    pub(crate) tls: TlsFlags,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) access: Access,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) access: Access,

    /// The number of the new node, as its --node-id says
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) id: u64,

    /// Where the other nodes reach it, as its --address says
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: HostPort,

    /// Give it no vote: it receives everything, and serves reads where it is
    #[arg(long)]
    pub(crate) learner: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) access: Access,

    /// Which node
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) id: u64,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Transfer {
    #[command(flatten)]
    pub(crate) access: Access,

    /// The node that is to lead [default: the one that is most up to date]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Snapshot {
    #[command(flatten)]
    pub(crate) access: Access,

    /// The file to write; one that is there is replaced once the new one is whole
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,

    /// Take what the asked node has, also where it is cut off from the others; it may be old
    #[arg(long)]
    pub(crate) local: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The file that `roadstead cluster snapshot` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: PathBuf,

    /// The data directory to make; it must not be there yet, or be empty
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) data_dir: PathBuf,

    /// The number of the node that will use it
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) node_id: u64,

    /// Where that node will be reached
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: HostPort,
}
