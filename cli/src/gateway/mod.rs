//! `roadstead gateway`: one of many gateways over nodes, with blobs in a bucket that all of them share.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` | what was typed |
//! | `settings.rs` | its place in the cluster, checked |
//! | `secrets.rs` | the key and the token that all gateways share |
//! | `cluster.rs` | waits for the nodes, and puts the first configuration in force |
//! | `start.rs` | the order in which everything is put together |

mod cluster;
mod flags;
mod secrets;
mod settings;
mod start;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};

use roadstead_gateway::upstream::ReqwestExchange;
use roadstead_gateway::upstream::transport::TransportError;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;
use crate::startup::process::{self, ProcessError};
pub(crate) use flags::{Flags, LONG_ABOUT};
use settings::{Place, PlaceError};
use start::{StartError, Started};

/// Everything that was decided before anything is done.
#[derive(Debug)]
pub(crate) struct Plan {
    settings: Settings,
    place: Place,
    exchange: ReqwestExchange,
}

/// Why nothing is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] PlaceError),
    /// The transport to the upstreams, which the certificates are a part of.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Why it ended otherwise than in good order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// The operating system refused what every process needs.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.settings, self.place)
    }
}

/// Decides what is to be done; reads files and the environment, writes nothing.
pub(crate) fn plan(flags: Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Plan, PlanError> {
    let (settings, place) = settings::resolve(flags, &variable)?;
    let exchange = ReqwestExchange::new(&settings.transport())?;
    Ok(Plan { settings, place, exchange })
}

/// Serves until a signal ends it.
pub(crate) fn run(plan: Plan) -> Result<(), GatewayError> {
    process::run(plan.settings.log_format, |shutdown| serve(plan, shutdown))
}

async fn serve(plan: Plan, shutdown: CancellationToken) -> Result<(), GatewayError> {
    let Some(Started { gateway, pulls, admin, banner, directory }) = start::start(plan, &shutdown).await? else {
        tracing::info!("ended while it waited for the nodes");
        return Ok(());
    };
    // Nobody may be reading, which is no reason to stop.
    let _ = write!(io::stdout(), "{banner}");
    tracing::info!(listen = %banner.listen, admin_listen = %banner.admin, "serving");
    gateway.serve(pulls, admin, shutdown).await;
    drop(directory);
    tracing::info!("ended");
    Ok(())
}
