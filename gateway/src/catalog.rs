//! What this gateway knows of the metadata's rows: read through on demand, kept in memory, never the truth.
//!
//! Keys carry the upstream's epoch, so that a change of its url or credentials, or a purge of its cache, makes
//! everything kept before unreachable in the same instant as the configuration snapshot is swapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{BlobLocation, ContentKind, Descriptor, ObjectKey, Right, TagEntry, TagKey};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::image::{Reference, RepositoryName, Tag};
use roadstead_proto::domain::lease::FencingToken;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::{RegionId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};
use roadstead_proto::state::read::ContentQuery;

use crate::meta::snapshot::{RegistryView, Scope, UpstreamView};
use crate::upstream::error::{Fault, NotHere};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ContentKey {
    upstream: UpstreamId,
    epoch: Epoch,
    repository: RepositoryName,
    digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ReferenceKey {
    upstream: UpstreamId,
    epoch: Epoch,
    repository: RepositoryName,
    reference: Reference,
}

/// Content that (upstream, repository) has earned the right to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The right.
    pub right: Right,
    /// Where the bytes lie, unless they are in memory only.
    pub location: Option<BlobLocation>,
}

/// A tag as it was last resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTag {
    /// The upstream that answered.
    pub upstream: UpstreamId,
    /// Its entry.
    pub entry: TagEntry,
    /// The registry's routing under which it was walked to.
    pub routing: Revision,
}

/// Content of which there are copies in other regions, and none in this one.
#[derive(Debug, Clone, Default)]
pub struct Elsewhere {
    /// The upstreams with the right to it.
    pub entitled: Vec<(Arc<UpstreamView>, Right)>,
    /// Where it lies.
    pub copies: Vec<(RegionId, BlobLocation)>,
}

/// What the metadata says of a digest for a registry.
#[derive(Debug, Default)]
pub struct LookedUp {
    /// The upstreams with the right to it, and its location.
    pub known: Vec<(Arc<UpstreamView>, Known)>,
    /// The upstreams whose manifests name it.
    pub named: Vec<(Arc<UpstreamView>, Descriptor)>,
    /// The upstreams without a right, of an origin that delivered it; it is stored.
    pub delivered: Vec<UpstreamId>,
    /// The size of what is stored, whoever may read it.
    pub stored_size: Option<u64>,
    /// The recorded object, where it is known to be missing or damaged: it is not among `known`.
    pub damaged: Option<FencingToken>,
    /// What may be copied from other regions.
    pub elsewhere: Elsewhere,
    /// The revision of this view.
    pub revision: Revision,
}

/// A tag as clients know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagName {
    /// Whose it is.
    pub scope: Scope,
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
}

/// The time between two purges, as this gateway hears of them: what was asked for in an earlier one may have been purged
/// before it came, and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Era(u64);

/// The last answer that was no content, and until when it is remembered.
#[derive(Debug, Clone)]
enum Setback {
    NotHere(NotHere, Timestamp),
    Fault(Fault, Timestamp),
}

/// See the module's text.
pub struct Catalog {
    meta: Arc<dyn MetaStore>,
    region: RegionId,
    content: Cache<ContentKey, Known>,
    descriptors: Cache<ContentKey, Descriptor>,
    tags: Cache<TagName, KnownTag>,
    setbacks: Cache<ReferenceKey, Setback>,
    /// Repositories of which some manifest is known: a tag new to us may name one that is here.
    repositories: Cache<(UpstreamId, Epoch, RepositoryName), ()>,
    era: AtomicU64,
    /// Objects found missing or damaged: what is recorded of them is not believed until others take their place.
    damaged: Cache<ObjectKey, ()>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog")
    }
}

fn content_key(view: &UpstreamView, repository: &RepositoryName, digest: &Digest) -> ContentKey {
    let (upstream, epoch) = (view.upstream.id, view.upstream.epoch);
    ContentKey { upstream, epoch, repository: repository.clone(), digest: *digest }
}

fn reference_key(view: &UpstreamView, repository: &RepositoryName, reference: &Reference) -> ReferenceKey {
    let (upstream, epoch) = (view.upstream.id, view.upstream.epoch);
    ReferenceKey { upstream, epoch, repository: repository.clone(), reference: reference.clone() }
}

impl Catalog {
    /// An empty catalog over the metadata.
    pub fn new(meta: Arc<dyn MetaStore>, region: RegionId) -> Self {
        fn rows<K, V>() -> Cache<K, V>
        where
            K: std::hash::Hash + Eq + Send + Sync + 'static,
            V: Clone + Send + Sync + 'static,
        {
            Cache::builder().max_capacity(limits::METADATA_ROWS_IN_MEMORY).build()
        }
        let setbacks = Cache::builder().max_capacity(limits::SETBACKS_IN_MEMORY).build();
        let damaged = Cache::builder().max_capacity(limits::TOKENS_IN_MEMORY).build();
        let repositories = Cache::builder().max_capacity(limits::TOKENS_IN_MEMORY).build();
        let era = AtomicU64::new(0);
        Self { meta, region, content: rows(), descriptors: rows(), tags: rows(), setbacks, repositories, era, damaged }
    }

    /// Now, as far as purges go.
    pub fn era(&self) -> Era {
        Era(self.era.load(Ordering::SeqCst))
    }

    /// Content that is known without asking the metadata.
    pub fn known(&self, view: &UpstreamView, repository: &RepositoryName, digest: &Digest) -> Option<Known> {
        let known = self.content.get(&content_key(view, repository, digest))?;
        match known.location {
            Some(location) if self.damaged.contains_key(&location.key) => None,
            _ => Some(known),
        }
    }

    /// Keeps what was just earned or read.
    pub fn learn(&self, view: &UpstreamView, repository: &RepositoryName, digest: &Digest, known: Known) {
        if known.right.kind == ContentKind::Manifest {
            self.repositories.insert((view.upstream.id, view.upstream.epoch, repository.clone()), ());
        }
        self.content.insert(content_key(view, repository, digest), known);
    }

    /// Keeps what was asked for in `era`, unless there was a purge since.
    pub fn learn_of(&self, era: Era, view: &UpstreamView, repository: &RepositoryName, digest: &Digest, known: Known) {
        self.learn(view, repository, digest, known);
        // Looked at after, so that a purge in this moment is not missed.
        if era != self.era() {
            self.content.invalidate(&content_key(view, repository, digest));
        }
    }

    /// Whether any manifest of a repository is known.
    pub fn has_manifests(&self, view: &UpstreamView, repository: &RepositoryName) -> bool {
        self.repositories.contains_key(&(view.upstream.id, view.upstream.epoch, repository.clone()))
    }

    /// Remembers that an object is missing or damaged.
    pub fn distrust(&self, object: ObjectKey) {
        self.damaged.insert(object, ());
    }

    /// Drops what is known of an object that another one has taken the place of.
    pub fn forget_object(&self, object: ObjectKey) {
        let is_it = |known: &Known| known.location.is_some_and(|location| location.key == object);
        let keys = self.content.iter().filter(|(_, known)| is_it(known)).map(|(key, _)| key);
        // A scan of what is in memory: late results are rare, and those that are not wanted are rarer.
        for key in keys.collect::<Vec<_>>() {
            self.content.invalidate(&*key);
        }
    }

    /// Whether an object is known to be missing or damaged.
    pub fn is_distrusted(&self, object: &ObjectKey) -> bool {
        self.damaged.contains_key(object)
    }

    /// Keeps what a manifest names.
    pub fn learn_children(&self, view: &UpstreamView, repository: &RepositoryName, children: &[Descriptor]) {
        for child in children {
            self.descriptors.insert(content_key(view, repository, &child.digest), child.clone());
        }
    }

    /// Asks the metadata about a digest, for every upstream of a registry at once.
    pub async fn look_up(
        &self,
        registry: &RegistryView,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<LookedUp, MetaError> {
        self.look_up_among(&registry.upstreams, repository, digest, Consistency::Local).await
    }

    /// The same for some upstreams, in their order. What another gateway did before a lease came to us is sure to be seen by
    /// a linearizable read only.
    pub async fn look_up_among(
        &self,
        views: &[Arc<UpstreamView>],
        repository: &RepositoryName,
        digest: &Digest,
        consistency: Consistency,
    ) -> Result<LookedUp, MetaError> {
        let query = ContentQuery {
            upstreams: views.iter().map(|view| view.upstream.id).collect(),
            repository: repository.clone(),
            digest: *digest,
            region: self.region.clone(),
        };
        let era = self.era();
        let found = self.meta.content(&query, consistency).await?;
        let damaged = found.location.filter(|location| self.damaged.contains_key(&location.key));
        let damaged = damaged.map(|location| location.key.token);
        let stored_size = found.location.map(|location| location.size);
        let mut looked_up = LookedUp { revision: found.revision, damaged, stored_size, ..LookedUp::default() };
        for at in found.upstreams {
            let Some(view) = views.iter().find(|view| view.upstream.id == at.upstream) else { continue };
            let right = at.right.filter(|right| right.upstream_epoch == view.upstream.epoch);
            if let (Some(right), false) = (&right, found.elsewhere.is_empty()) {
                looked_up.elsewhere.entitled.push((Arc::clone(view), right.clone()));
            }
            if let (Some(right), Some(location)) = (right, found.location)
                && damaged.is_none()
            {
                let known = Known { right, location: Some(location) };
                self.learn_of(era, view, repository, digest, known.clone());
                looked_up.known.push((Arc::clone(view), known));
            } else if at.delivered && found.location.is_some() && damaged.is_none() {
                looked_up.delivered.push(at.upstream);
            }
            if let Some(descriptor) = at.descriptor {
                looked_up.named.push((Arc::clone(view), descriptor));
            }
        }
        looked_up.elsewhere.copies = found.elsewhere;
        Ok(looked_up)
    }

    /// Asks the metadata about a digest at one upstream.
    pub async fn look_up_at(
        &self,
        view: &Arc<UpstreamView>,
        repository: &RepositoryName,
        digest: &Digest,
        consistency: Consistency,
    ) -> Result<Option<Known>, MetaError> {
        let query = ContentQuery {
            upstreams: vec![view.upstream.id],
            repository: repository.clone(),
            digest: *digest,
            region: self.region.clone(),
        };
        let era = self.era();
        let found = self.meta.content(&query, consistency).await?;
        let right = found.upstreams.into_iter().find_map(|at| at.right);
        let right = right.filter(|right| right.upstream_epoch == view.upstream.epoch);
        let Some((right, location)) = right.zip(found.location) else { return Ok(None) };
        if self.damaged.contains_key(&location.key) {
            return Ok(None);
        }
        let known = Known { right, location: Some(location) };
        self.learn_of(era, view, repository, digest, known.clone());
        Ok(Some(known))
    }

    /// The upstreams whose manifests, seen by this gateway, name a digest.
    pub fn named(
        &self,
        registry: &RegistryView,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Vec<(Arc<UpstreamView>, Descriptor)> {
        let mut named = Vec::new();
        for view in &registry.upstreams {
            if let Some(descriptor) = self.descriptors.get(&content_key(view, repository, digest)) {
                named.push((Arc::clone(view), descriptor));
            }
        }
        named
    }

    /// A tag that is known without asking the metadata.
    pub fn known_tag(&self, name: &TagName) -> Option<KnownTag> {
        self.tags.get(name)
    }

    /// Keeps what a tag was resolved to by a question of `era`, unless there was a purge since.
    pub fn learn_tag(&self, era: Era, name: &TagName, known: KnownTag) {
        self.tags.insert(name.clone(), known);
        if era != self.era() {
            self.tags.invalidate(name);
        }
    }

    /// Asks the metadata about a tag; what is in memory counts where the metadata is away or behind.
    pub async fn look_up_tag(&self, registry: &RegistryView, name: &TagName) -> Option<KnownTag> {
        let era = self.era();
        let in_memory = self.known_tag(name);
        let stored = self.stored_tag(registry, name).await;
        match (in_memory, stored) {
            (Some(ours), Some(theirs)) if ours.entry.checked_at >= theirs.entry.checked_at => Some(ours),
            (_, Some(theirs)) => {
                self.learn_tag(era, name, theirs.clone());
                Some(theirs)
            }
            (ours, None) => ours,
        }
    }

    async fn stored_tag(&self, registry: &RegistryView, name: &TagName) -> Option<KnownTag> {
        let TagName { scope, repository, tag } = name;
        match *scope {
            Scope::Registry(id) => {
                let key = TagKey { registry: id, repository: repository.clone(), tag: tag.clone() };
                let view = self.meta.tag(&key, Consistency::Local).await.ok()?;
                let (route, entry) = view.route.zip(view.entry)?;
                Some(KnownTag { upstream: route.upstream, entry, routing: route.routing })
            }
            Scope::Upstream(id) => {
                let entry = self.tag_entry(registry.upstream(id)?, repository, tag, Consistency::Local).await?;
                Some(KnownTag { upstream: id, entry, routing: registry.registry.routing })
            }
        }
    }

    /// A tag of one upstream, whichever registry it was pulled through.
    pub async fn tag_entry(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        tag: &Tag,
        consistency: Consistency,
    ) -> Option<TagEntry> {
        let entry = self.meta.tag_entry(view.upstream.id, repository, tag, consistency).await.ok()??;
        (entry.upstream_epoch == view.upstream.epoch).then_some(entry)
    }

    /// Remembers that an upstream said "not here".
    pub fn remember_not_here(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        not_here: NotHere,
        now: Timestamp,
    ) {
        let until = now.after(limits::NOT_HERE_MEMORY);
        self.setbacks.insert(reference_key(view, repository, reference), Setback::NotHere(not_here, until));
    }

    /// Remembers that an upstream could not say.
    pub fn remember_fault(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        fault: Fault,
        now: Timestamp,
    ) {
        let until = now.after(limits::FAULT_MEMORY);
        self.setbacks.insert(reference_key(view, repository, reference), Setback::Fault(fault, until));
    }

    /// A "not here" that still counts.
    pub fn not_here(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Option<NotHere> {
        match self.setbacks.get(&reference_key(view, repository, reference)) {
            Some(Setback::NotHere(not_here, until)) if now < until => Some(not_here),
            _ => None,
        }
    }

    /// A fault so recent that whoever has a stale copy need not wait for another.
    pub fn recent_fault(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        reference: &Reference,
        now: Timestamp,
    ) -> Option<Fault> {
        match self.setbacks.get(&reference_key(view, repository, reference)) {
            Some(Setback::Fault(fault, until)) if now < until => Some(fault),
            _ => None,
        }
    }

    /// Drops what a purge or missed changes made doubtful: all of it, since purges are rare and a row costs one read.
    pub fn forget(&self) {
        self.era.fetch_add(1, Ordering::SeqCst);
        self.content.invalidate_all();
        self.descriptors.invalidate_all();
        self.tags.invalidate_all();
        self.setbacks.invalidate_all();
    }
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
