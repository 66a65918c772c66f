//! Who may pull what: a pure decision over the snapshot that yields a permit.
//!
//! Everything that touches bytes or upstreams takes a [`Permit`], and only [`decide`] makes one: a forgotten check does
//! not compile.

use std::sync::Arc;

use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::principal::Role;
use roadstead_proto::domain::registry::RegistryId;

use crate::auth::Principal;
use crate::meta::snapshot::{RegistryView, Snapshot, UpstreamView};
use crate::namespace::Namespace;

/// The right to pull one repository of one virtual registry.
#[derive(Debug, Clone)]
pub struct Permit {
    registry: Arc<RegistryView>,
    repository: RepositoryName,
    namespace: Option<Namespace>,
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The registry does not exist, or is another group's: the two look alike from outside.
    UnknownRegistry,
    /// A token is needed.
    SignIn,
    /// No upstream of the registry answers to this namespace.
    UnknownNamespace,
}

impl Permit {
    /// The registry, with its upstreams in order.
    pub fn registry(&self) -> &RegistryView {
        &self.registry
    }

    /// The namespace that the client named, where it did.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// The same repository at one of the registry's upstreams, and nowhere else.
    #[must_use]
    pub fn at(&self, upstream: &Arc<UpstreamView>) -> Self {
        let registry = Arc::new(RegistryView::narrowed(&self.registry.registry, upstream));
        Self { registry, repository: self.repository.clone(), namespace: self.namespace.clone() }
    }

    /// The repository, as the client named it.
    pub fn repository(&self) -> &RepositoryName {
        &self.repository
    }
}

/// What is to be pulled, as far as a decision needs to know it.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The virtual registry.
    pub registry: RegistryId,
    /// The registry that the client means, where it says so.
    pub namespace: Option<&'a Namespace>,
    /// The repository.
    pub repository: RepositoryName,
}

/// Decides on a pull. `anonymous_pull` is the gateway's own setting, for listeners on loopback.
pub fn decide(
    snapshot: &Snapshot,
    principal: &Principal,
    wanted: Wanted<'_>,
    anonymous_pull: bool,
) -> Result<Permit, Denied> {
    let Wanted { registry, namespace, repository } = wanted;
    let view = snapshot.registries.get(&registry);
    match (principal, view) {
        (Principal::Anonymous, Some(view)) if anonymous_pull || view.registry.anonymous_pull => {}
        // Whether a registry exists is not for strangers.
        (Principal::Anonymous, _) if !anonymous_pull => return Err(Denied::SignIn),
        (Principal::Token(token), Some(view)) if token.role == Role::Admin || token.group == view.registry.group => {}
        _ => return Err(Denied::UnknownRegistry),
    }
    let view = view.ok_or(Denied::UnknownRegistry)?;
    let registry = match namespace {
        None => view,
        Some(namespace) => view.namespaces.get(namespace).ok_or(Denied::UnknownNamespace)?,
    };
    Ok(Permit { registry: Arc::clone(registry), repository, namespace: namespace.cloned() })
}

#[cfg(test)]
mod tests {
    use roadstead_proto::domain::epoch::Revision;
    use roadstead_proto::domain::principal::{Token, TokenHash};
    use roadstead_proto::domain::registry::{GroupId, Registry, TokenId};
    use roadstead_proto::domain::time::Timestamp;

    use super::*;

    fn snapshot(open: bool) -> Snapshot {
        let registry = Registry {
            id: RegistryId(1),
            group: GroupId(1),
            name: "default".into(),
            description: None,
            anonymous_pull: open,
            routing: Revision(1),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        };
        let view = RegistryView::new(registry, vec![]);
        Snapshot { registries: [(RegistryId(1), Arc::new(view))].into(), ..Snapshot::default() }
    }

    fn token(group: u64, role: Role) -> Principal {
        Principal::Token(Token {
            id: TokenId(1),
            name: "t".into(),
            hash: TokenHash([0; 32]),
            group: GroupId(group),
            role,
            created_at: Timestamp(0),
            expires_at: None,
        })
    }

    #[test]
    fn who_may_pull() {
        use Denied::{SignIn, UnknownRegistry};
        let anonymous = Principal::Anonymous;
        for (principal, registry, open_registry, open_gateway, expected) in [
            (&anonymous, 1, false, true, None),
            (&anonymous, 1, true, false, None),
            (&anonymous, 1, false, false, Some(SignIn)),
            (&anonymous, 2, false, false, Some(SignIn)),
            (&anonymous, 2, false, true, Some(UnknownRegistry)),
            (&token(1, Role::Reader), 1, false, false, None),
            (&token(2, Role::Maintainer), 1, false, false, Some(UnknownRegistry)),
            (&token(2, Role::Admin), 1, false, false, None),
            (&token(1, Role::Admin), 2, false, false, Some(UnknownRegistry)),
        ] {
            let (registry, repository) = (RegistryId(registry), "library/x".parse().unwrap());
            let wanted = Wanted { registry, namespace: None, repository };
            let decided = decide(&snapshot(open_registry), principal, wanted, open_gateway);
            assert_eq!(decided.err(), expected, "{principal:?} on {registry}");
        }
    }
}
