//! `roadstead node`: a member of the group that keeps the metadata.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` | what was typed |
//! | `settings.rs` | flags over file over defaults, checked |
//! | `probes.rs` | what it says of itself over HTTP |
//! | `banner.rs` | what a start prints; pure |

mod banner;
mod flags;
mod probes;
mod settings;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use roadstead_gateway::load::Load;
use roadstead_gateway::server;
use roadstead_gateway::telemetry::{Telemetry, TelemetryError};
use roadstead_node::{Compaction, Components, Config, Formation, Node, Timing, grpc};
use roadstead_proto::rpc::Dialer;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::startup::listen::{self, ListenError};
use crate::startup::process::{self, ProcessError};
use banner::Banner;
pub(crate) use flags::{Flags, LONG_ABOUT};
use probes::Probes;
pub(crate) use settings::{Settings, SettingsError};

/// How long a question about its health may go on that was asked before the end.
const LAST_QUESTION: Duration = Duration::from_secs(1);

/// Why it ended otherwise than in good order.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    /// The operating system refused what every process needs.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The member.
    #[error("the metadata cannot be opened")]
    Start(#[from] roadstead_node::StartError),
    /// The server.
    #[error("nodes and gateways cannot be served")]
    Serve(#[from] tonic::transport::Error),
    /// The member gave up by itself.
    #[error("node {node} stopped: {reason}")]
    Stopped {
        /// Which.
        node: u64,
        /// Why.
        reason: String,
    },
    /// Something could not be written at the end.
    #[error("the metadata was not closed in good order; nothing that was acknowledged is lost")]
    Close(#[source] io::Error),
}

/// Decides what is to be done; reads files and the environment, writes nothing.
pub(crate) fn plan(flags: Flags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings, SettingsError> {
    settings::resolve(flags, &variable)
}

/// Serves until a signal ends it.
pub(crate) fn run(settings: Settings) -> Result<(), NodeError> {
    process::run(settings.log_format, |shutdown| serve(settings, shutdown))
}

async fn serve(settings: Settings, shutdown: CancellationToken) -> Result<(), NodeError> {
    let (listener, listens_at) = listen::bind(settings.listen, "--listen").await?;
    let (admin, admin_at) = listen::bind(settings.admin_listen, "--admin-listen").await?;
    let address = settings.address.clone().unwrap_or_else(|| listens_at.into());
    let telemetry = Telemetry::new()?;
    let config = Config {
        data_dir: settings.data_dir.clone(),
        node_id: settings.node_id,
        address: address.to_string(),
        formation: Formation::Wait,
        timing: Timing::default(),
        compaction: Compaction::default(),
    };
    let components = Components { dialer: Dialer::new(settings.identity.clone()), ..Components::default() };
    let node = Arc::new(Node::start(config, components).await?);

    let probes = Probes::new(Arc::clone(&node), telemetry);
    let admin_stop = CancellationToken::new();
    let admin = tokio::spawn(server::serve(admin, probes.clone(), Load::default(), admin_stop.clone(), LAST_QUESTION));
    let banner = Banner {
        node: settings.node_id,
        listen: listens_at,
        address,
        admin: admin_at,
        // Absolute, for messages: a service's working directory is nothing that its operator knows.
        data_dir: settings.data_dir.canonicalize().unwrap_or(settings.data_dir),
        cluster: node.cluster().map(str::to_owned),
        tls: settings.identity.is_some(),
    };
    // Nobody may be reading, which is no reason to stop.
    let _ = write!(io::stdout(), "{banner}");
    tracing::info!(node = banner.node, listen = %banner.listen, address = %banner.address, "serving");

    let served = {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let serving = grpc::serve(Arc::clone(&node), incoming, settings.identity.as_ref(), shutdown.clone());
        tokio::pin!(serving);
        let ending = async {
            shutdown.cancelled().await;
            probes.end();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = &mut serving => served.map_err(NodeError::from),
            () = ending => Ok(()),
            reason = node.stopped() => {
                shutdown.cancel();
                // What went wrong first is what counts.
                let _ = serving.await;
                Err(NodeError::Stopped { node: banner.node, reason })
            }
        }
    };
    let closed = node.shutdown().await.map_err(NodeError::Close);
    admin_stop.cancel();
    // It has nothing to lose.
    let _ = admin.await;
    tracing::info!("ended");
    served.and(closed)
}
