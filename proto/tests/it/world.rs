//! Metadata without a host: rows, and commands that are applied to them one after the other.

use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::registry::{GroupId, LinkId, Registry, RegistryId, UpstreamId};
use roadstead_proto::domain::secret::SealedSecret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{CredentialId, Credentials, Upstream, UpstreamSettings};
use roadstead_proto::meta::memory::MemoryRows;
use roadstead_proto::state::apply;
use roadstead_proto::state::command::{Applied, Command, CreateRegistry, Outcome, Proposal, Refusal};
use roadstead_proto::state::read;

/// See the module's text. Time stands still unless a test moves it.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) rows: MemoryRows,
    pub(crate) revision: Revision,
    pub(crate) now: Timestamp,
}

/// Most of anything, where a test is not about that.
pub(crate) const MANY: usize = 100;

impl World {
    pub(crate) fn new() -> Self {
        Self { now: Timestamp(1_000), ..Self::default() }
    }

    pub(crate) fn apply(&mut self, command: Command) -> Applied {
        self.revision.0 += 1;
        apply(&mut self.rows, &Proposal { at: self.now, command }, self.revision).unwrap()
    }

    pub(crate) fn does(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.apply(command).outcome
    }

    /// Applies a command that is refused, and sees that it changes nothing.
    #[track_caller]
    pub(crate) fn refuses(&mut self, command: Command, refusal: Refusal) {
        let before = self.configuration();
        let applied = self.apply(command);
        assert_eq!(applied.outcome, Err(refusal));
        assert_eq!(applied.changes, [], "what is refused is not announced");
        assert_eq!(self.configuration(), Configuration { revision: self.revision, ..before });
    }

    pub(crate) fn configuration(&self) -> Configuration {
        read::configuration(&self.rows, self.revision).unwrap()
    }

    /// Creates a registry, and its group where that is unknown.
    pub(crate) fn registry(&mut self, group: &str, name: &str) -> RegistryId {
        match self.does(create_registry(group, name)) {
            Ok(Outcome::RegistryCreated { registry, .. }) => registry,
            other => panic!("expected a registry, got {other:?}"),
        }
    }

    /// Creates an anonymous upstream with this host.
    pub(crate) fn upstream(&mut self, registry: RegistryId, host: &str) -> UpstreamId {
        match self.does(create_upstream(registry, at(host))) {
            Ok(Outcome::UpstreamCreated { upstream, .. }) => upstream,
            other => panic!("expected an upstream, got {other:?}"),
        }
    }

    pub(crate) fn link(&mut self, registry: RegistryId, upstream: UpstreamId) -> LinkId {
        match self.does(Command::Link { registry, upstream, at_most: MANY }) {
            Ok(Outcome::Linked { link, .. }) => link,
            other => panic!("expected a link, got {other:?}"),
        }
    }

    pub(crate) fn row_of(&self, registry: RegistryId) -> Registry {
        self.configuration().registries.into_iter().find(|row| row.id == registry).unwrap()
    }

    pub(crate) fn upstream_row(&self, upstream: UpstreamId) -> Upstream {
        self.configuration().upstreams.into_iter().find(|row| row.id == upstream).unwrap()
    }

    /// The upstreams of a registry in order; panics where their places are not 1 to their number.
    #[track_caller]
    pub(crate) fn order(&self, registry: RegistryId) -> Vec<UpstreamId> {
        let links = self.configuration().links.into_iter().filter(|link| link.registry == registry);
        let (places, upstreams): (Vec<_>, Vec<_>) = links.map(|link| (link.position, link.upstream)).unzip();
        assert_eq!(places, (1..).take(places.len()).collect::<Vec<u32>>(), "no gaps");
        upstreams
    }

    pub(crate) fn link_of(&self, registry: RegistryId, upstream: UpstreamId) -> LinkId {
        let links = self.configuration().links;
        links.iter().find(|link| link.registry == registry && link.upstream == upstream).unwrap().id
    }
}

pub(crate) fn create_registry(group: &str, name: &str) -> Command {
    Command::CreateRegistry(CreateRegistry {
        group: group.parse().unwrap(),
        create_group: true,
        name: name.parse().unwrap(),
        description: None,
        at_most: MANY,
    })
}

pub(crate) fn create_upstream(registry: RegistryId, settings: UpstreamSettings) -> Command {
    Command::CreateUpstream { registry, settings, at_most: MANY }
}

/// An anonymous upstream.
pub(crate) fn at(host: &str) -> UpstreamSettings {
    UpstreamSettings::new(host, format!("https://{host}.example").parse().unwrap())
}

/// The same with credentials of this identity, sealed in a way of its own each time.
pub(crate) fn signed_in(host: &str, id: u8, sealing: u8) -> UpstreamSettings {
    let password = sealed(sealing);
    let credentials = Credentials { username: "user".to_owned(), password, id: CredentialId([id; 16]) };
    UpstreamSettings { credentials: Some(credentials), ..at(host) }
}

pub(crate) fn sealed(sealing: u8) -> SealedSecret {
    SealedSecret { key_id: [1; 8], nonce: [sealing; 12], ciphertext: vec![sealing; 20] }
}

pub(crate) const DEFAULT: GroupId = GroupId(1);
