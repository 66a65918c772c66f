//! What the upstream has: repositories with tags, manifests and blobs.

use std::collections::{BTreeMap, HashMap};

use crate::image::{Blob, Manifest};
use crate::index::Bundle;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    repositories: BTreeMap<String, Repository>,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    tags: BTreeMap<String, String>,
    manifests: HashMap<String, Manifest>,
    blobs: HashMap<String, Blob>,
}

impl Catalog {
    pub(super) fn push(&mut self, repository: &str, tag: &str, bundle: Bundle) {
        let repository = self.repositories.entry(repository.to_owned()).or_default();
        repository.tags.insert(tag.to_owned(), bundle.top.digest().to_owned());
        for manifest in bundle.inner.into_iter().chain([bundle.top]) {
            repository.manifests.insert(manifest.digest().to_owned(), manifest);
        }
        for blob in bundle.blobs {
            repository.blobs.insert(blob.digest().to_owned(), blob);
        }
    }

    /// Whether the tag now leads to that manifest; it does not, if the repository has no such manifest.
    pub(super) fn retag(&mut self, repository: &str, tag: &str, digest: &str) -> bool {
        let Some(repository) = self.repositories.get_mut(repository) else {
            return false;
        };
        let known = repository.manifests.contains_key(digest);
        if known {
            repository.tags.insert(tag.to_owned(), digest.to_owned());
        }
        known
    }

    /// Whether there was such a tag, manifest or blob.
    pub(super) fn remove(&mut self, repository: &str, reference: &str) -> bool {
        let Some(repository) = self.repositories.get_mut(repository) else {
            return false;
        };
        let manifest = repository.manifests.remove(reference).is_some();
        let blob = repository.blobs.remove(reference).is_some();
        let before = repository.tags.len();
        repository.tags.retain(|tag, digest| tag != reference && (!manifest || digest != reference));
        manifest || blob || repository.tags.len() < before
    }

    pub(super) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(name)
    }

    /// A blob of any repository: the origin that redirects lead to knows no repositories.
    pub(super) fn any_blob(&self, digest: &str) -> Option<&Blob> {
        self.repositories.values().find_map(|repository| repository.blob(digest))
    }
}

impl Repository {
    pub(super) fn manifest(&self, reference: &str) -> Option<&Manifest> {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        self.manifests.get(digest)
    }

    pub(super) fn blob(&self, digest: &str) -> Option<&Blob> {
        self.blobs.get(digest)
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        self.tags.keys().map(String::as_str)
    }

    /// Sorted by digest, so that the answer is the same every time.
    pub(super) fn referrers(&self, subject: &str) -> Vec<&Manifest> {
        let mut found: Vec<&Manifest> =
            self.manifests.values().filter(|manifest| manifest.subject() == Some(subject)).collect();
        found.sort_by_key(|manifest| manifest.digest());
        found
    }
}
