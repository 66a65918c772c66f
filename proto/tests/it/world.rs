//! Metadata without a host: rows, and commands that are applied to them one after the other.

use std::time::Duration;

use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, EntryRef, ObjectKey};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::fleet::Registration;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::lease::{
    AcquireRequest, Acquired, Completion, Delivered, GatewayId, LeaseKey, SessionId, TagVerdict,
};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::{LinkId, RegionId, Registry, RegistryId, UpstreamId};
use roadstead_proto::domain::secret::SealedSecret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{CredentialId, Credentials, Upstream, UpstreamSettings};
use roadstead_proto::meta::memory::MemoryRows;
use roadstead_proto::state::apply;
use roadstead_proto::state::command::{Applied, Command, CreateRegistry, Outcome, Proposal, Recorded, Refusal};
use roadstead_proto::state::read::{self, EntryPage, EntryQuery};

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

/// What a gateway does.
impl World {
    fn session(&mut self) -> SessionId {
        if let Some((session, _)) = read::sessions(&self.rows).unwrap().first() {
            return *session;
        }
        let registration = Registration {
            gateway: GatewayId("gateway".to_owned()),
            region: RegionId::default_region(),
            address: String::new(),
            version: String::new(),
        };
        match self.does(Command::OpenSession(registration)) {
            Ok(Outcome::SessionOpened(session)) => session,
            other => panic!("expected a session, got {other:?}"),
        }
    }

    /// Fetches an entry from its upstream and records it. A tag names the manifest of this content.
    pub(crate) fn pull(&mut self, entry: &EntryRef, content: &[u8], kind: ContentKind) {
        let session = self.session();
        let (key, upstream_epoch) = (LeaseKey::Manifest(entry.clone()), self.upstream_row(entry.upstream).epoch);
        let region = RegionId::default_region();
        let asks = Command::Acquire(AcquireRequest {
            session,
            key: key.clone(),
            entry: entry.clone(),
            upstream_epoch,
            region: region.clone(),
            distrusts: None,
        });
        let token = match self.does(asks) {
            Ok(Outcome::Acquired(Acquired::Granted(token))) => token,
            Ok(Outcome::Acquired(Acquired::Stored { .. })) => return,
            other => panic!("expected a grant, got {other:?}"),
        };
        let digest = Digest::sha256(content);
        let tag = entry.reference.digest().is_none().then(|| TagVerdict::Names {
            digest,
            upstream_etag: Some("etag".to_owned()),
            registry: None,
            not_here: vec![],
            routing: Revision(1),
            age: Duration::ZERO,
        });
        let delivered = Some(Delivered {
            object: ObjectKey { digest, token },
            region,
            size: content.len() as u64,
            media_type: MediaType::octet_stream(),
            kind,
            sha1: Some([1; 20]),
            children: vec![],
            replaces: None,
            copied: false,
        });
        let completion = Completion { key, token, began: self.revision, entry: entry.clone(), delivered, tag };
        let recorded = self.does(Command::Complete(completion));
        assert!(matches!(recorded, Ok(Outcome::Completed(Recorded::Live(Some(_))))), "{recorded:?}");
    }

    /// Brings everything into the index.
    pub(crate) fn index(&mut self) {
        while self.does(Command::IndexEntries) != Ok(Outcome::EntriesIndexed { complete: true }) {}
    }

    /// A page of the list of an upstream.
    pub(crate) fn page(&self, upstream: UpstreamId, search: Option<&str>, page: u64, per_page: usize) -> EntryPage {
        let search = search.map(str::to_owned);
        read::entries(&self.rows, &EntryQuery { upstream, search, page, per_page }).unwrap()
    }

    /// The paths of the first hundred.
    pub(crate) fn paths(&self, upstream: UpstreamId, search: Option<&str>) -> Vec<String> {
        let page = self.page(upstream, search, 1, 100);
        page.entries.iter().map(|row| row.entry.relative_path(row.kind)).collect()
    }
}

pub(crate) fn tag(upstream: UpstreamId, repository: &str, tag: &str) -> EntryRef {
    let reference = Reference::Tag(tag.parse().unwrap());
    EntryRef { upstream, repository: repository.parse().unwrap(), reference }
}

/// The entry of this content under its digest.
pub(crate) fn by_digest(upstream: UpstreamId, repository: &str, content: &[u8]) -> EntryRef {
    let reference = Reference::Digest(Digest::sha256(content));
    EntryRef { upstream, repository: repository.parse().unwrap(), reference }
}
