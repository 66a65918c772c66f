//! `roadstead cluster`: administration of a cluster over the service of its nodes.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` | what was typed |
//! | `call.rs` | a call to a node, and what its failure means |
//! | `members.rs` | init, add, remove, transfer |
//! | `status.rs` | what the cluster says of itself, as a table and as JSON; pure |
//! | `backup.rs` | the whole metadata into a file, and from a file into a new directory |
//!
//! Every command does one thing and ends. What it was asked for goes to standard output, what it is doing to standard error.

mod backup;
mod call;
mod flags;
mod members;
mod status;

use std::ffi::OsString;
use std::io::Write as _;

use roadstead_proto::rpc::Role;

use crate::settings::tls::{self, TlsError};
use crate::startup::process::ProcessError;
use crate::written::HostPort;
use backup::BackupError;
use call::{Admin, CallError};
use flags::{Access, Add, Command, Restore};
pub(crate) use flags::{Flags, LONG_ABOUT};

/// The variable with a node's address.
const NODE_VARIABLE: &str = "ROADSTEAD_NODE";
/// Where `roadstead node` listens by default.
const NODE: &str = "127.0.0.1:7000";

/// What is to be done, and by which node.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Of a node that runs.
    Call(Admin, Request),
    /// Of none.
    Restore(Restore),
}

/// What is asked of a node.
#[derive(Debug)]
pub(crate) enum Request {
    Init,
    Status { json: bool },
    Add { node: u64, address: HostPort, voter: bool },
    Remove { node: u64 },
    Transfer { to: Option<u64> },
    Snapshot { out: std::path::PathBuf, local: bool },
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The node of the environment.
    #[error(
        "{NODE_VARIABLE} cannot be used: it is not HOST:PORT; set it to one such as 10.0.0.1:7000, or name a --node"
    )]
    Variable,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The operating system refused what every process needs.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The node.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The file.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Decides what is to be done; reads the certificates.
pub(crate) fn plan(flags: Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Plan, PlanError> {
    let (access, request) = match flags.command {
        Command::Init(access) => (access, Request::Init),
        Command::Status(status) => (status.access, Request::Status { json: status.json }),
        Command::Add(Add { access, id, address, learner }) => {
            (access, Request::Add { node: id, address, voter: !learner })
        }
        Command::Remove(remove) => (remove.access, Request::Remove { node: remove.id }),
        Command::Transfer(transfer) => (transfer.access, Request::Transfer { to: transfer.to }),
        Command::Restore(restore) => return Ok(Plan::Restore(restore)),
        Command::Snapshot(snapshot) => {
            (snapshot.access, Request::Snapshot { out: snapshot.out, local: snapshot.local })
        }
    };
    let Access { node, tls } = access;
    let node = match (node, variable(NODE_VARIABLE)) {
        (Some(node), _) => node,
        (None, Some(text)) if !text.is_empty() => {
            text.into_string().ok().and_then(|text| text.parse().ok()).ok_or(PlanError::Variable)?
        }
        (None, _) => NODE.parse().expect("the default is an address"),
    };
    let identity = tls::identity(tls, tls::FileTls::default(), Role::Admin, &variable)?;
    Ok(Plan::Call(Admin::new(node, identity), request))
}

/// Does it, and says what came of it.
pub(crate) fn run(plan: Plan) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProcessError::from)?;
    let said = match plan {
        Plan::Call(admin, request) => runtime.block_on(perform(&admin, request))?,
        Plan::Restore(restore) => backup::restore(&restore)?,
    };
    // Nobody may be reading, which is no failure.
    let _ = std::io::stdout().write_all(said.as_bytes());
    Ok(())
}

async fn perform(admin: &Admin, request: Request) -> Result<String, ClusterError> {
    Ok(match request {
        Request::Init => members::init(admin).await?,
        Request::Status { json: false } => status::table(&admin.status().await?),
        Request::Status { json: true } => status::json(&admin.status().await?),
        Request::Add { node, address, voter } => members::add(admin, node, &address, voter).await?,
        Request::Remove { node } => members::remove(admin, node).await?,
        Request::Transfer { to } => members::transfer(admin, to).await?,
        Request::Snapshot { out, local } => backup::snapshot(admin, &out, local).await?,
    })
}

/// Says on standard error what is going on.
fn progress(text: std::fmt::Arguments<'_>) {
    // Nobody may be reading.
    let _ = writeln!(std::io::stderr(), "{text}");
}
