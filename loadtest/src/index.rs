//! An index over images of several platforms, and the bundle: all that one push puts into a repository.

use serde_json::{Value, json};

use crate::image::{Blob, Form, Image, Manifest};

/// One name for the images of several platforms.
#[derive(Clone, Debug)]
pub struct Index {
    manifest: Manifest,
    images: Vec<Image>,
}

impl Index {
    /// An index over the given images.
    pub fn new(form: Form, images: Vec<Image>) -> Self {
        let entries: Vec<Value> = images
            .iter()
            .map(|image| {
                let (os, architecture) = image.platform();
                let mut entry = image.manifest().descriptor().to_json();
                entry["platform"] = json!({ "os": os, "architecture": architecture });
                entry
            })
            .collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": form.index(), "manifests": entries });
        Self { manifest: Manifest::from_json(form.index(), &manifest), images }
    }

    /// An OCI index with one image per platform (`os`, `architecture`), each with layers of the given sizes.
    pub fn of_platforms(seed: u64, platforms: &[(&str, &str)], layers: &[u64]) -> Self {
        let image = |(index, (os, architecture)): (usize, &(&str, &str))| {
            // Far apart, so that `of_platforms(1)` and `of_platforms(2)` have nothing in common.
            let seed = (seed << 16) + index as u64;
            Image::builder(seed).layers(layers).platform(os, architecture).build()
        };
        Self::new(Form::Oci, platforms.iter().enumerate().map(image).collect())
    }

    /// Digest of the index.
    pub fn digest(&self) -> &str {
        self.manifest.digest()
    }

    /// The index itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The images, in the order of the index.
    pub fn images(&self) -> &[Image] {
        &self.images
    }
}

/// A manifest with everything it refers to.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub(crate) top: Manifest,
    pub(crate) inner: Vec<Manifest>,
    pub(crate) blobs: Vec<Blob>,
}

impl From<&Image> for Bundle {
    fn from(image: &Image) -> Self {
        Self { top: image.manifest().clone(), inner: Vec::new(), blobs: image.blobs().cloned().collect() }
    }
}

impl From<&Index> for Bundle {
    fn from(index: &Index) -> Self {
        Self {
            top: index.manifest.clone(),
            inner: index.images.iter().map(|image| image.manifest().clone()).collect(),
            blobs: index.images.iter().flat_map(Image::blobs).cloned().collect(),
        }
    }
}

/// A manifest alone, as of [`Manifest::raw`]: what it refers to is missing.
impl From<&Manifest> for Bundle {
    fn from(manifest: &Manifest) -> Self {
        Self { top: manifest.clone(), inner: Vec::new(), blobs: Vec::new() }
    }
}
