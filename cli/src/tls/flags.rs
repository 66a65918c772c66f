//! The flags of `roadstead tls`, as typed.

use std::path::PathBuf;

use roadstead_proto::rpc::Role;

use crate::written::Span;

const DIRECTORY: &str = "./roadstead-tls";

/// What the manual begins with. Set where the command is listed: what is flattened into the flags would take its place.
pub(crate) const LONG_ABOUT: &str = "\
The authority of a cluster, and the certificates it signs.

Nodes, gateways and administrators prove to each other what they are by certificates of one authority. A certificate names a
role and no host, so that it stays right when addresses change. Another authority's tools may sign them as well: what counts is
the DNS name (subjectAltName) node.roadstead.internal, gateway.roadstead.internal or admin.roadstead.internal, and that a
certificate may be used by servers and clients.";

const AFTER_HELP: &str = "\
Examples:
  roadstead tls init
  roadstead tls issue --role node --name node-1
  roadstead tls issue --role admin --valid 30d";

/// The flags of `roadstead tls`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Make an authority: ca.pem and ca.key
    Init(Init),
    /// Make a certificate and its key, signed by the authority
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Where ca.pem and ca.key are written; created if it is not there
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,

    /// How long the authority is believed, such as `3650d`
    #[arg(long, value_name = "DURATION", default_value = "3650d")]
    pub(crate) valid: Span,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// What the certificate proves: node, gateway or admin
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Role,

    /// What it is called: its common name, and the name of its files [default: the role]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Where ca.pem and ca.key are, and the certificate and its key are written
    #[arg(long, value_name = "DIRECTORY", default_value = DIRECTORY)]
    pub(crate) dir: PathBuf,

    /// How long the certificate is valid
    #[arg(long, value_name = "DURATION", default_value = "365d")]
    pub(crate) valid: Span,
}
