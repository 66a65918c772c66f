//! `roadstead serve`: gateway, one-member node and local directory in one process.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` | what was typed |
//! | `start.rs` | the order in which everything is put together |
//!
//! Settings, the data directory and the steps of a start are those of every role: see `settings/`, `directory/`, `startup/`.

mod flags;
mod start;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::time::Duration;

use roadstead_gateway::upstream::ReqwestExchange;
use roadstead_gateway::upstream::transport::TransportError;
use tokio_util::sync::CancellationToken;

use crate::settings::{self, RoleDefaults, Settings, SettingsError};
use crate::startup::listen::{ListenError, Listeners};
use crate::startup::process::{self, ProcessError};
pub(crate) use flags::{Flags, LONG_ABOUT};
use start::{StartError, Started};

// Nobody would have to notice that it is about to stop.
const DEFAULTS: RoleDefaults = RoleDefaults { data_dir: "./roadstead-data", drain_delay: Duration::ZERO };

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
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
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
    let Flags { data_dir, pulls } = flags;
    let settings = settings::resolve(pulls, data_dir, DEFAULTS, variable)?;
    let exchange = ReqwestExchange::new(&settings.transport())?;
    Ok(Plan { settings, exchange })
}

/// Serves until a signal ends it.
pub(crate) fn run(plan: Plan) -> Result<(), ServeError> {
    process::run(plan.settings.log_format, |shutdown| serve(plan, shutdown))
}

async fn serve(plan: Plan, shutdown: CancellationToken) -> Result<(), ServeError> {
    let listeners = Listeners::bind(&plan.settings).await?;
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
