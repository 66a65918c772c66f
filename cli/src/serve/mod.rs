//! `roadstead serve`: gateway, one-member node and local directory in one process.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` `file.rs` | what was typed: the command line, the configuration file |
//! | `span.rs` `size.rs` `log_format.rs` | durations, sizes and log formats as people write them |
//! | `named.rs` | upstreams as an operator names them, passwords included |
//! | `storage.rs` | where blobs are kept, as an operator says it |
//! | `connections.rs` | connections to single hosts, their certificates read and checked |
//! | `settings.rs` | flags over file over defaults, all checked; pure but for the files it reads |
//! | `listen.rs` | the listeners, bound before any state is touched |
//! | `directory.rs` `private_file.rs` | the data directory, its lock, its small secret files |
//! | `secret_key.rs` `admin_token.rs` | found or made, and proved against what is stored |
//! | `first_start.rs` | the first configuration, and how it differs from what is named later; pure |
//! | `start.rs` | the order in which everything is put together |
//! | `banner.rs` | what a start prints; pure |
//! | `signals.rs` | the first signal drains, the second ends |

mod admin_token;
mod banner;
mod connections;
mod directory;
mod file;
mod first_start;
mod flags;
mod listen;
mod log_format;
mod named;
mod private_file;
mod secret_key;
mod settings;
mod signals;
mod size;
mod span;
mod start;
mod storage;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use roadstead_gateway::upstream::ReqwestExchange;
use roadstead_gateway::upstream::transport::TransportError;
use tokio_util::sync::CancellationToken;

pub(crate) use flags::Flags;
use settings::{Settings, SettingsError};
use start::{StartError, Started};

/// How long work that nobody waits for any more may hold up the end of the process.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Everything that was decided before anything is done.
#[derive(Debug)]
pub(crate) struct Plan {
    settings: Settings,
    exchange: ReqwestExchange,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The transport to the upstreams, which the certificates are a part of.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Why it ended otherwise than in good order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The operating system refused what every process needs.
    #[error("the process cannot be set up")]
    Process(#[source] io::Error),
    /// An address.
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    /// The start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The node gave up by itself.
    #[error("the metadata node stopped: {0}; check the disk that the data directory is on, then start again")]
    Node(String),
    /// Something could not be written at the end.
    #[error("the metadata was not closed in good order; nothing that was acknowledged is lost")]
    Close(#[source] io::Error),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// Decides what is to be done; reads files and the environment, writes nothing.
pub(crate) fn plan(flags: Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Plan, PlanError> {
    let settings = settings::resolve(flags, variable)?;
    let exchange = ReqwestExchange::new(&settings.transport())?;
    Ok(Plan { settings, exchange })
}

/// Serves until a signal ends it.
pub(crate) fn run(plan: Plan) -> Result<(), ServeError> {
    roadstead_gateway::telemetry::init_tracing(plan.settings.log_format.into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Process)?;
    let ended = runtime.block_on(serve(plan));
    runtime.shutdown_timeout(LAST_WORK);
    ended
}

async fn serve(plan: Plan) -> Result<(), ServeError> {
    let shutdown = CancellationToken::new();
    signals::watch(shutdown.clone()).map_err(ServeError::Process)?;
    let listeners = listen::bind(&plan.settings).await?;
    let Started { node, gateway, banner, directory } = start::start(plan, &listeners).await?;
    // Nobody may be reading, which is no reason to stop.
    let _ = write!(io::stdout(), "{banner}");
    tracing::info!(listen = %banner.listen, admin_listen = %banner.admin, "serving");

    let served = {
        let serving = gateway.serve(listeners.pulls, listeners.admin, shutdown.clone());
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => Ok(()),
            reason = node.stopped() => {
                shutdown.cancel();
                serving.await;
                Err(ServeError::Node(reason))
            }
        }
    };
    let closed = node.shutdown().await.map_err(ServeError::Close);
    drop(directory);
    tracing::info!("ended");
    served.and(closed)
}
