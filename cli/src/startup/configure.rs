//! Puts the first configuration and the admin token in force, through whatever metadata a role has.

use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::principal::{Role, Token, TokenHash};
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};
use roadstead_proto::state::command::{Command, PutToken};

use super::first_start::{self, StartOver};
use crate::settings::Settings;

/// Name of the token that a start puts in force.
const ADMIN_TOKEN_NAME: &str = "admin";

/// What the metadata holds once it is configured.
#[derive(Debug)]
pub(crate) struct Configured {
    /// All of it.
    pub(crate) configuration: Configuration,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigureError {
    /// The metadata gave no answer, or refused.
    #[error("the configuration cannot be read or written")]
    Metadata(#[from] MetaError),
    /// The metadata holds no registry although one was just created, or a group of another number.
    #[error("the metadata holds no registry; start with an empty --data-dir, or restore this one from a copy")]
    NoRegistry,
    /// A password could not be sealed.
    #[error("an upstream's password cannot be sealed")]
    Seal(#[from] SealError),
}

/// Makes the first configuration where there is none, and compares where there is one.
pub(crate) async fn configure(
    meta: &dyn MetaStore,
    stored: &Configuration,
    settings: &Settings,
    keyring: &Keyring,
    start_over: StartOver,
) -> Result<Configured, ConfigureError> {
    let mut warnings = Vec::new();
    match first_start::first_registry(stored) {
        None => drop(meta.propose(Command::Bootstrap(first_start::bootstrap(settings, keyring)?)).await?),
        Some((_, upstreams)) if settings.upstreams_named => {
            warnings.extend(first_start::difference(&settings.upstreams, &upstreams, keyring, start_over));
        }
        Some(_) => {}
    }
    let configuration = meta.configuration(Consistency::Linearizable).await?;
    warnings.extend(unknown_mirror(settings, &configuration));
    Ok(Configured { configuration, warnings })
}

/// What is to be said where names without a prefix lead nowhere.
pub(crate) fn unknown_mirror(settings: &Settings, configuration: &Configuration) -> Option<String> {
    let mirror = settings.mirror_registry.filter(|id| configuration.registries.iter().all(|known| known.id != *id));
    mirror.map(|id| {
        format!("mirror_registry is {id}, and there is no such registry: names without a prefix will not be found")
    })
}

/// The group that the first start made. It has the lowest number and stays; the first registry may be another one's by now, and
/// a token is found by its name within its group.
fn first_group(configuration: &Configuration) -> Option<GroupId> {
    configuration.groups.iter().map(|group| group.id).min()
}

/// Puts the admin token in force; an earlier one of the same name ends.
pub(crate) async fn put_admin_token(
    meta: &dyn MetaStore,
    configuration: &Configuration,
    token: &Secret,
) -> Result<(), ConfigureError> {
    let group = first_group(configuration).ok_or(ConfigureError::NoRegistry)?;
    let put = PutToken {
        name: ADMIN_TOKEN_NAME.to_owned(),
        hash: TokenHash::of(token.expose()),
        group,
        role: Role::Admin,
        expires_at: None,
    };
    meta.propose(Command::PutToken(put)).await?;
    Ok(())
}

/// Whether the stored admin token is another one.
pub(crate) fn replaces(configuration: &Configuration, token: &Secret) -> bool {
    let hash = TokenHash::of(token.expose());
    let is_it = |stored: &&Token| stored.name == ADMIN_TOKEN_NAME && Some(stored.group) == first_group(configuration);
    configuration.tokens.iter().filter(is_it).any(|stored| stored.hash != hash)
}
