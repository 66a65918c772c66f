//! Waits for the cluster, and puts the first configuration in force there.

use std::time::Duration;

use roadstead_gateway::seal::Keyring;
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::directory::{SecretKeyError, secret_key};
use crate::settings::Settings;
use crate::startup::configure::{self, ConfigureError, Configured};
use crate::startup::first_start::{self, StartOver};

/// Pause before the nodes are asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often it is said that they are still waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Why a gateway does not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The key opens nothing.
    #[error(transparent)]
    SecretKey(#[from] SecretKeyError),
    /// The configuration.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
}

/// What this gateway brings along.
pub(crate) struct Brought<'a> {
    /// Where its settings differ from what is stored they are ignored.
    pub(crate) settings: &'a Settings,
    /// Has to open what is stored.
    pub(crate) keyring: &'a Keyring,
    /// Where that is from.
    pub(crate) key_origin: &'a str,
    /// Put in force, where there is one.
    pub(crate) token: Option<&'a Secret>,
}

/// Returns once a node has answered and there is a registry; `None` where `stop` comes first.
pub(crate) async fn join(
    meta: &dyn MetaStore,
    brought: &Brought<'_>,
    stop: &CancellationToken,
) -> Result<Option<Configured>, JoinError> {
    let mut told: Option<Instant> = None;
    loop {
        let Some(attempt) = stop.run_until_cancelled(attempt(meta, brought)).await else { return Ok(None) };
        let error = match attempt {
            Err(JoinError::Configure(ConfigureError::Metadata(
                error @ (MetaError::Unavailable(_) | MetaError::NotLeader { .. }),
            ))) => error,
            other => return other.map(Some),
        };
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(%error, "waiting for the nodes: not ready until one answers");
        }
        if stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return Ok(None);
        }
    }
}

async fn attempt(meta: &dyn MetaStore, brought: &Brought<'_>) -> Result<Configured, JoinError> {
    match meta.configuration(Consistency::Linearizable).await {
        Ok(stored) => with_quorum(meta, brought, stored).await,
        Err(error) => without_quorum(meta, brought, error).await,
    }
}

async fn with_quorum(
    meta: &dyn MetaStore,
    brought: &Brought<'_>,
    stored: Configuration,
) -> Result<Configured, JoinError> {
    secret_key::prove(brought.keyring, &stored, || brought.key_origin.to_owned())?;
    let mut configured =
        configure::configure(meta, &stored, brought.settings, brought.keyring, StartOver::NewCluster).await?;
    // Another gateway may have been the first one in between.
    secret_key::prove(brought.keyring, &configured.configuration, || brought.key_origin.to_owned())?;
    if let Some(token) = brought.token {
        if configure::replaces(&configured.configuration, token) {
            let warning = "the admin token of this gateway replaces the stored one: give all gateways the same";
            configured.warnings.push(warning.to_owned());
        }
        configure::put_admin_token(meta, &configured.configuration, token).await?;
    }
    Ok(configured)
}

/// What a member knows is enough to serve pulls by: a gateway that starts again while the quorum is away must not wait for it.
async fn without_quorum(
    meta: &dyn MetaStore,
    brought: &Brought<'_>,
    error: MetaError,
) -> Result<Configured, JoinError> {
    let local = meta.configuration(Consistency::Local).await;
    let Ok(configuration) = local else { return Err(ConfigureError::from(error).into()) };
    if first_start::first_registry(&configuration).is_none() {
        return Err(ConfigureError::from(error).into());
    }
    secret_key::prove(brought.keyring, &configuration, || brought.key_origin.to_owned())?;
    let mut warnings = vec![format!(
        "the nodes have no quorum ({error}): this gateway serves by what one of them knows, and changes nothing"
    )];
    warnings.extend(configure::unknown_mirror(brought.settings, &configuration));
    Ok(Configured { configuration, warnings })
}
