//! The runtime and the log: a role from its first line to its last.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::signals;
use crate::written::LogFormat;

/// How long work that nobody waits for any more may hold up the end of the process.
const LAST_WORK: Duration = Duration::from_secs(2);

/// The operating system refused what every process needs.
#[derive(Debug, thiserror::Error)]
#[error("the process cannot be set up")]
pub(crate) struct ProcessError(#[from] io::Error);

/// Runs a role until it ends; what it is given is cancelled by the first signal.
pub(crate) fn run<F, E>(log_format: LogFormat, role: impl FnOnce(CancellationToken) -> F) -> Result<(), E>
where
    F: Future<Output = Result<(), E>>,
    E: From<ProcessError>,
{
    roadstead_gateway::telemetry::init_tracing(log_format.into());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ProcessError::from)?;
    let ended = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        signals::watch(shutdown.clone()).map_err(ProcessError::from)?;
        role(shutdown).await
    });
    runtime.shutdown_timeout(LAST_WORK);
    ended
}
