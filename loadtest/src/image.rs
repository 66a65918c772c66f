//! Synthetic images and artifacts: the same seed gives the same digests on every machine.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::content::{Content, digest_of, mix};

pub use crate::form::{Form, Layers};

/// What a manifest says about another object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type of the object.
    pub media_type: String,
    /// `sha256:<hex>` of the object.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Descriptor {
    pub(crate) fn to_json(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.size })
    }
}

/// A manifest or index as it travels: opaque bytes with a media type.
#[derive(Clone, Debug)]
pub struct Manifest {
    media_type: String,
    digest: String,
    bytes: Bytes,
    subject: Option<String>,
    artifact_type: Option<String>,
}

impl Manifest {
    /// Any bytes under any media type; nothing is checked.
    pub fn raw(media_type: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        Self { media_type: media_type.into(), digest, bytes, subject: None, artifact_type: None }
    }

    pub(crate) fn from_json(media_type: &str, value: &Value) -> Self {
        let field = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (subject, artifact_type) = (field("/subject/digest"), field("/artifactType"));
        let manifest = Self::raw(media_type, value.to_string());
        Self { subject, artifact_type, ..manifest }
    }

    /// The same manifest under its SHA-512 digest.
    #[must_use]
    pub fn by_sha512(self) -> Self {
        Self { digest: Content::literal(self.bytes.clone()).sha512(), ..self }
    }

    /// Its media type.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// `<algorithm>:<hex>` of its bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The digest it refers to as its subject, if any.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Its artifact type, if it has one.
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// What others say about it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor { media_type: self.media_type.clone(), digest: self.digest.clone(), size: self.bytes.len() as u64 }
    }
}

/// A configuration or layer.
#[derive(Clone, Debug)]
pub struct Blob {
    media_type: String,
    digest: String,
    content: Content,
}

impl Blob {
    /// A blob of the given content; its digest is computed here, by streaming.
    pub fn new(media_type: impl Into<String>, content: Content) -> Self {
        Self { media_type: media_type.into(), digest: content.digest(), content }
    }

    /// The same blob under its SHA-512 digest.
    #[must_use]
    pub fn by_sha512(self) -> Self {
        Self { digest: self.content.sha512(), ..self }
    }

    /// The media type its manifest gives it.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// `<algorithm>:<hex>` of its bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.content.len()
    }

    /// Its bytes.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// What a manifest says about it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor { media_type: self.media_type.clone(), digest: self.digest.clone(), size: self.size() }
    }
}

/// An image (or artifact): manifest, configuration, layers.
#[derive(Clone, Debug)]
pub struct Image {
    manifest: Manifest,
    config: Blob,
    layers: Vec<Blob>,
    platform: (String, String),
}

impl Image {
    /// Starts an image; without further words it has one layer of 64 KiB and runs on linux/amd64.
    pub fn builder(seed: u64) -> ImageBuilder {
        ImageBuilder {
            seed,
            base: Vec::new(),
            sizes: vec![64 * 1024],
            form: Form::Oci,
            layers: Layers::Opaque,
            platform: ("linux".into(), "amd64".into()),
            sha512: false,
            untyped: false,
        }
    }

    /// An artifact (signature, SBOM …) of `size` bytes that refers to `subject`.
    pub fn artifact(seed: u64, artifact_type: &str, subject: &Manifest, size: u64) -> Self {
        let config = Blob::new("application/vnd.oci.empty.v1+json", Content::literal("{}"));
        let payload = Blob::new(artifact_type, Content::noise(layer_seed(seed, 0), size));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": Form::Oci.manifest(),
            "artifactType": artifact_type,
            "config": config.descriptor().to_json(),
            "layers": [payload.descriptor().to_json()],
            "subject": subject.descriptor().to_json(),
        });
        Self {
            manifest: Manifest::from_json(Form::Oci.manifest(), &manifest),
            config,
            layers: vec![payload],
            platform: ("unknown".into(), "unknown".into()),
        }
    }

    /// Digest of the manifest.
    pub fn digest(&self) -> &str {
        self.manifest.digest()
    }

    /// What an engine calls the image id: the digest of the configuration.
    pub fn id(&self) -> &str {
        self.config.digest()
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The configuration.
    pub fn config(&self) -> &Blob {
        &self.config
    }

    /// The layers, base first.
    pub fn layers(&self) -> &[Blob] {
        &self.layers
    }

    /// Configuration and layers: everything a client fetches as a blob.
    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }

    /// Operating system and architecture.
    pub fn platform(&self) -> (&str, &str) {
        (&self.platform.0, &self.platform.1)
    }
}

/// Collects what an [`Image`] is made of.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    seed: u64,
    base: Vec<Blob>,
    sizes: Vec<u64>,
    form: Form,
    layers: Layers,
    platform: (String, String),
    sha512: bool,
    untyped: bool,
}

impl ImageBuilder {
    /// One layer per size, in bytes.
    pub fn layers(mut self, sizes: &[u64]) -> Self {
        self.sizes = sizes.to_vec();
        self
    }

    /// Puts the layers of `image` below its own, as an image built `FROM` it has them.
    pub fn base(mut self, image: &Image) -> Self {
        self.base = image.layers.clone();
        self
    }

    /// Chooses the family of media types.
    pub fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Makes every layer a tar archive that can be unpacked.
    pub fn tar(mut self) -> Self {
        self.layers = Layers::Tar;
        self
    }

    /// Addresses everything by SHA-512.
    pub fn sha512(mut self) -> Self {
        self.sha512 = true;
        self
    }

    /// Leaves `mediaType` out of the manifest, which only the header then tells.
    pub fn untyped(mut self) -> Self {
        self.untyped = true;
        self
    }

    /// Sets operating system and architecture.
    pub fn platform(mut self, os: &str, architecture: &str) -> Self {
        self.platform = (os.into(), architecture.into());
        self
    }

    /// Hashes the layers and writes configuration and manifest.
    pub fn build(self) -> Image {
        let own = self.sizes.iter().enumerate().map(|(index, size)| {
            let seed = layer_seed(self.seed, index as u64);
            let content = match self.layers {
                Layers::Opaque => Content::noise(seed, *size),
                Layers::Tar => Content::tar(&format!("layer-{index}.bin"), seed, *size),
            };
            self.addressed(Blob::new(self.form.layer(self.layers), content))
        });
        let layers: Vec<Blob> = self.base.iter().cloned().chain(own).collect();
        let config = json!({
            "architecture": self.platform.1,
            "os": self.platform.0,
            // Two images may differ in nothing but their seed.
            "author": format!("seed {}", self.seed),
            "config": {},
            "rootfs": {
                "type": "layers",
                // Layers are not compressed, so that a layer's digest is also its diff id.
                "diff_ids": layers.iter().map(Blob::digest).collect::<Vec<_>>(),
            },
        });
        let config = self.addressed(Blob::new(self.form.config(), Content::literal(config.to_string())));
        let mut manifest = json!({
            "schemaVersion": 2,
            "config": config.descriptor().to_json(),
            "layers": layers.iter().map(|layer| layer.descriptor().to_json()).collect::<Vec<_>>(),
        });
        if !self.untyped {
            manifest["mediaType"] = json!(self.form.manifest());
        }
        let manifest = Manifest::from_json(self.form.manifest(), &manifest);
        let manifest = if self.sha512 { manifest.by_sha512() } else { manifest };
        Image { manifest, config, layers, platform: self.platform }
    }

    fn addressed(&self, blob: Blob) -> Blob {
        if self.sha512 { blob.by_sha512() } else { blob }
    }
}

/// Layers of one image, and equal layers of images with neighbouring seeds, must not share bytes.
fn layer_seed(seed: u64, index: u64) -> u64 {
    mix(mix(seed).wrapping_add(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_every_digest() {
        let build = |seed| Image::builder(seed).layers(&[10, 20]).build();
        assert_eq!(build(1).digest(), build(1).digest());
        assert_ne!(build(1).digest(), build(2).digest());
        let digests: Vec<_> = build(1).blobs().chain(build(2).blobs()).map(|b| b.digest().to_owned()).collect();
        let mut unique = digests.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), digests.len());
        assert_ne!(Image::builder(1).layers(&[]).build().id(), Image::builder(2).layers(&[]).build().id());
    }

    #[test]
    fn the_digests_stay_what_they_are() {
        // Whoever wrote a digest down keeps it: a change here is a change of every recorded run.
        let image = Image::builder(1).layers(&[1024]).build();
        assert_eq!(
            image.layers()[0].digest(),
            "sha256:b7d05fae91b39a02fc14826963cde4d9c181a65974d90d560500d96c035b497e"
        );
    }

    #[test]
    fn an_image_on_a_base_shares_its_layers() {
        let base = Image::builder(1).layers(&[10]).build();
        let image = Image::builder(2).base(&base).layers(&[20]).build();
        assert_eq!(image.layers()[0].digest(), base.layers()[0].digest());
        assert_eq!(image.layers().len(), 2);
    }

    #[test]
    fn forms_name_their_media_types() {
        for (form, family) in [(Form::Oci, "vnd.oci"), (Form::Docker, "vnd.docker")] {
            let image = Image::builder(1).form(form).tar().build();
            assert!(image.manifest().media_type().contains(family));
            assert!(image.blobs().all(|blob| blob.media_type().contains(family)));
        }
    }

    #[test]
    fn an_artifact_refers_to_its_subject() {
        let image = Image::builder(1).build();
        let artifact = Image::artifact(2, "application/example", image.manifest(), 100);
        assert_eq!(artifact.manifest().subject(), Some(image.digest()));
        assert_eq!(artifact.manifest().artifact_type(), Some("application/example"));
    }
}
