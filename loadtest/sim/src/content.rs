//! What there is to pull.

use bytes::Bytes;
use roadstead_proto::domain::digest::Digest;

use crate::draw::Draw;

/// The repository that everything is in.
pub(crate) const REPOSITORY: &str = "library/app";

/// An image's manifest and blobs.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) tag: String,
    pub(crate) manifest: Object,
    pub(crate) blobs: Vec<Object>,
}

/// Bytes and their digest.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) digest: Digest,
    pub(crate) bytes: Bytes,
}

impl Object {
    fn of(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: Digest::sha256(&bytes), bytes }
    }
}

/// The media type of every manifest here.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// `count` images, each of a configuration and two layers of up to `layer_bytes`.
pub(crate) fn images(seed: u64, count: usize, layer_bytes: u64) -> Vec<Image> {
    let draw = Draw::of(seed, "content");
    (0..count)
        .map(|number| {
            let size = |most: u64| usize::try_from(draw.between(most / 4, most)).expect("a size");
            let blobs =
                [size(2_000), size(layer_bytes), size(layer_bytes)].map(|len| Object::of(draw.bytes(len))).to_vec();
            let descriptor = |object: &Object, kind: &str| {
                serde_json::json!({
                    "mediaType": format!("application/vnd.oci.image.{kind}"),
                    "digest": object.digest.to_string(),
                    "size": object.bytes.len(),
                })
            };
            let manifest = serde_json::json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": descriptor(&blobs[0], "config.v1+json"),
                "layers": blobs[1..].iter().map(|blob| descriptor(blob, "layer.v1.tar")).collect::<Vec<_>>(),
            });
            let manifest = Object::of(manifest.to_string().into_bytes());
            Image { tag: format!("v{number}"), manifest, blobs }
        })
        .collect()
}
