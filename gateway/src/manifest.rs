//! What a manifest says of itself and of its children. Pure; the bytes are never changed.

use roadstead_proto::domain::entry::{ContentKind, Descriptor};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::{self, MediaType};
use serde::Deserialize;

/// The fields of OCI and Docker manifests and indexes that a cache looks at; everything else is left alone.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<Child>,
    layers: Vec<Child>,
    manifests: Vec<Child>,
    blobs: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
}

impl Child {
    fn descriptor(self, kind: ContentKind) -> Option<Descriptor> {
        let digest = self.digest.parse().ok()?;
        let media_type = self.media_type.parse().unwrap_or_else(|_| MediaType::octet_stream());
        Some(Descriptor { digest, size: self.size, media_type, kind })
    }
}

/// The children that a manifest names, at most [`limits::MANIFEST_DESCRIPTORS_MAX`]; those we cannot read are left out.
pub fn children(bytes: &[u8]) -> Vec<Descriptor> {
    let Ok(outline) = serde_json::from_slice::<Outline>(bytes) else { return Vec::new() };
    let manifests = outline.manifests.into_iter().map(|child| child.descriptor(ContentKind::Manifest));
    let blobs = outline.config.into_iter().chain(outline.layers).chain(outline.blobs);
    let blobs = blobs.map(|child| child.descriptor(ContentKind::Blob));
    manifests.chain(blobs).flatten().take(limits::MANIFEST_DESCRIPTORS_MAX).collect()
}

/// The media type of a manifest whose upstream sent none: what the manifest says, else what its shape says.
pub fn media_type(bytes: &[u8]) -> MediaType {
    let outline: Outline = serde_json::from_slice(bytes).unwrap_or_default();
    let stated = outline.media_type.and_then(|text| text.parse().ok());
    let by_shape = if !outline.manifests.is_empty() { media::OCI_INDEX } else { media::OCI_MANIFEST };
    let known = outline.config.is_some() || by_shape == media::OCI_INDEX;
    stated.or_else(|| known.then(|| by_shape.parse().ok()).flatten()).unwrap_or_else(MediaType::octet_stream)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn children_of_a_manifest_and_of_an_index() {
        let manifest = format!(
            r#"{{"config":{{"mediaType":"a/b","digest":"{DIGEST}","size":1}},"layers":[{{"digest":"{DIGEST}","size":2}}]}}"#
        );
        let kinds: Vec<_> = children(manifest.as_bytes()).iter().map(|child| (child.kind, child.size)).collect();
        assert_eq!(kinds, [(ContentKind::Blob, 1), (ContentKind::Blob, 2)]);
        let index = format!(r#"{{"manifests":[{{"mediaType":"m/n","digest":"{DIGEST}","size":3,"platform":{{}}}}]}}"#);
        assert_eq!(children(index.as_bytes())[0].kind, ContentKind::Manifest);
        assert_eq!(media_type(index.as_bytes()).as_str(), media::OCI_INDEX);
        assert_eq!(media_type(manifest.as_bytes()).as_str(), media::OCI_MANIFEST);
        assert_eq!(media_type(br#"{"mediaType":"x/y"}"#).as_str(), "x/y");
        assert_eq!(media_type(b"no json").as_str(), media::OCTET_STREAM);
    }

    #[test]
    fn unreadable_children_are_left_out() {
        let manifest = format!(r#"{{"layers":[{{"digest":"md5:00","size":1}},{{"digest":"{DIGEST}","size":2}}]}}"#);
        assert_eq!(children(manifest.as_bytes()).len(), 1);
        for text in ["", "[]", "{", r#"{"layers":7}"#, r#"{"layers":[{"digest":"x","size":-1}]}"#] {
            assert!(children(text.as_bytes()).is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            children(&bytes);
            media_type(&bytes);
        }
    }
}
