//! The first configuration: made on the first start, compared with on every later one.

use roadstead_gateway::seal::{Keyring, SealError};
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::registry::{Registry, RegistryId};
use roadstead_proto::domain::upstream::{Credentials, Upstream, UpstreamSettings};
use roadstead_proto::state::command::Bootstrap;

use crate::settings::named::NamedUpstream;
use crate::settings::{Settings, validity};

/// Path of the first group.
const GROUP_PATH: &str = "default";
/// Name of the first registry.
const REGISTRY_NAME: &str = "default";

/// The configuration of a data directory that has none.
pub(crate) fn bootstrap(settings: &Settings, keyring: &Keyring) -> Result<Bootstrap, SealError> {
    let upstreams = settings.upstreams.iter().map(|upstream| sealed(upstream, keyring)).collect::<Result<_, _>>()?;
    Ok(Bootstrap { group_path: GROUP_PATH.to_owned(), registry_name: REGISTRY_NAME.to_owned(), upstreams })
}

/// An upstream as the metadata holds it: the password goes no further than this.
fn sealed(upstream: &NamedUpstream, keyring: &Keyring) -> Result<UpstreamSettings, SealError> {
    let credentials = match &upstream.sign_in {
        None => None,
        Some(sign_in) => Some(Credentials {
            username: sign_in.username.clone(),
            password: keyring.seal(&sign_in.password)?,
            id: keyring.credential_id(&sign_in.username, &sign_in.password),
        }),
    };
    Ok(UpstreamSettings {
        credentials,
        validity: upstream.validity,
        stale_if_error: upstream.stale_if_error,
        on_not_found: upstream.on_not_found,
        on_error: upstream.on_error,
        ..UpstreamSettings::new(&*upstream.name, upstream.url.clone())
    })
}

/// The first registry and its upstreams, first asked first.
pub(crate) fn first_registry(configuration: &Configuration) -> Option<(&Registry, Vec<&Upstream>)> {
    let registry = configuration.registries.iter().min_by_key(|registry| registry.id)?;
    Some((registry, upstreams_of(configuration, registry.id)))
}

fn upstreams_of(configuration: &Configuration, registry: RegistryId) -> Vec<&Upstream> {
    let mut links: Vec<_> = configuration.links.iter().filter(|link| link.registry == registry).collect();
    links.sort_by_key(|link| link.position);
    let find = |id| configuration.upstreams.iter().find(|upstream| upstream.id == id);
    links.into_iter().filter_map(|link| find(link.upstream)).collect()
}

/// How a role is started with another first configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartOver {
    /// It has the metadata in its data directory.
    NewDirectory,
    /// The metadata is that of a cluster.
    NewCluster,
}

/// What is to be said where the upstreams named now are not the stored ones.
pub(crate) fn difference(
    named: &[NamedUpstream],
    stored: &[&Upstream],
    keyring: &Keyring,
    start_over: StartOver,
) -> Option<String> {
    let same = named.len() == stored.len()
        && named.iter().zip(stored).all(|(named, stored)| is_same(named, &stored.settings, keyring));
    if same {
        return None;
    }
    let list: Vec<String> = stored.iter().map(|upstream| described(&upstream.settings)).collect();
    let others = match start_over {
        StartOver::NewDirectory => "use a new --data-dir",
        StartOver::NewCluster => "found a new cluster",
    };
    Some(format!(
        "the upstreams named now differ from the stored ones and are ignored: --upstream, --cache-validity and [[upstream]] \
         apply on the first start only. Stored: {}. To start with others, {others}",
        if list.is_empty() { "none".to_owned() } else { list.join("; ") }
    ))
}

fn is_same(named: &NamedUpstream, stored: &UpstreamSettings, keyring: &Keyring) -> bool {
    let credential = named.sign_in.as_ref().map(|sign_in| keyring.credential_id(&sign_in.username, &sign_in.password));
    named.name == stored.name
        && named.url == stored.url
        && credential == stored.credentials.as_ref().map(|credentials| credentials.id)
        && named.validity == stored.validity
        && named.stale_if_error == stored.stale_if_error
        && named.on_not_found == stored.on_not_found
        && named.on_error == stored.on_error
}

fn described(settings: &UpstreamSettings) -> String {
    let sign_in =
        settings.credentials.as_ref().map(|credentials| format!(", as {}", credentials.username)).unwrap_or_default();
    format!("{}={} ({}{sign_in})", settings.name, settings.url, validity(settings.validity))
}

#[cfg(test)]
#[path = "first_start_tests.rs"]
mod tests;
