//! What of a manifest is worth fetching before anybody asks. Pure.
//!
//! Image configurations and image layers, and nothing else: a client that was given an image manifest asks for these next.
//! An index only leads to one manifest of many; attestations, signatures, charts and other artifacts are looked at by few.

use std::collections::HashSet;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::limits;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// A blob that a client will want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Which.
    pub(super) digest: Digest,
    /// Its size, as the manifest says.
    pub(super) size: u64,
}

#[derive(Deserialize)]
struct Image {
    config: Child,
    layers: Vec<Child>,
}

#[derive(Deserialize)]
struct Child {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    size: u64,
    /// Where a foreign layer is to be had, which is not here.
    urls: Option<Vec<IgnoredAny>>,
    /// The content itself.
    data: Option<IgnoredAny>,
}

const CONFIGURATIONS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
/// How the types of image layers begin; what may follow is a compression or encryption. Foreign ones begin otherwise
/// (`…layer.nondistributable…`, `…rootfs.foreign…`).
const LAYERS: [&str; 2] = ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"];

impl Child {
    fn essence(&self) -> &str {
        self.media_type.split(';').next().unwrap_or_default().trim_end()
    }

    fn is_configuration(&self) -> bool {
        CONFIGURATIONS.contains(&self.essence())
    }

    fn is_layer(&self) -> bool {
        LAYERS.iter().any(|layer| {
            self.essence().strip_prefix(layer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '.']))
        })
    }

    /// Whether a client has to come here for it.
    fn is_remote(&self) -> bool {
        self.size > 0 && self.data.is_none() && self.urls.as_ref().is_none_or(Vec::is_empty)
    }
}

/// The configuration and the layers of an image, in the order in which clients ask; nothing of anything else. Bounded in
/// number and in bytes: what goes beyond is fetched when somebody asks.
pub(super) fn plan(manifest: &[u8]) -> Vec<Planned> {
    let Ok(Image { config, layers }) = serde_json::from_slice(manifest) else { return Vec::new() };
    // The configuration of an attestation says that it is an image's; its layers say what it is.
    if !config.is_configuration() || !layers.iter().any(Child::is_layer) {
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut bytes = 0u64;
    std::iter::once(&config)
        .chain(layers.iter().filter(|layer| layer.is_layer()))
        .filter(|child| child.is_remote())
        .filter_map(|child| Some(Planned { digest: child.digest.parse().ok()?, size: child.size }))
        .filter(|planned| seen.insert(planned.digest))
        .take(limits::PREFETCH_BLOBS_PER_MANIFEST_MAX)
        .take_while(|planned| {
            bytes = bytes.saturating_add(planned.size);
            bytes <= limits::PREFETCH_BYTES_PER_MANIFEST_MAX
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const OCI_CONFIG: &str = CONFIGURATIONS[0];
    const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    /// A digest that stands for a number.
    fn digest(number: u64) -> String {
        format!("sha256:{number:064x}")
    }

    fn child(media_type: &str, number: u64) -> Value {
        json!({ "mediaType": media_type, "digest": digest(number), "size": number })
    }

    fn with(mut child: Value, key: &str, value: Value) -> Value {
        child[key] = value;
        child
    }

    fn image(config: Value, layers: &[Value]) -> Vec<u8> {
        json!({ "schemaVersion": 2, "config": config, "layers": layers }).to_string().into_bytes()
    }

    /// The numbers of what is planned; their sizes are right.
    fn planned(manifest: &[u8]) -> Vec<u64> {
        let plan = plan(manifest);
        plan.iter().for_each(|planned| assert_eq!(planned.digest.to_string(), digest(planned.size)));
        plan.iter().map(|planned| planned.size).collect()
    }

    #[test]
    fn the_configuration_first_and_the_layers_in_order() {
        for (config, layer) in [
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip; charset=binary"),
            (CONFIGURATIONS[1], "application/vnd.docker.image.rootfs.diff.tar.gzip"),
            (CONFIGURATIONS[1], "application/vnd.docker.image.rootfs.diff.tar"),
        ] {
            let manifest =
                image(child(config, 9), &[child(layer, 3), child(layer, 1), child(layer, 3), child(layer, 2)]);
            assert_eq!(planned(&manifest), [9, 3, 1, 2], "{layer}");
        }
    }

    #[test]
    fn foreign_inlined_empty_and_unreadable_ones_are_left_out() {
        let layers = [
            child(OCI_LAYER, 1),
            child("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 2),
            child("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 3),
            with(child(OCI_LAYER, 4), "urls", json!(["https://elsewhere.example/layer"])),
            with(child(OCI_LAYER, 5), "data", json!("e30=")),
            child(OCI_LAYER, 0),
            with(child(OCI_LAYER, 6), "digest", json!("md5:00")),
            child("application/vnd.in-toto+json", 7),
            with(child(OCI_LAYER, 8), "urls", json!([])),
        ];
        assert_eq!(planned(&image(child(OCI_CONFIG, 9), &layers)), [9, 1, 8]);
        let inlined = with(child(OCI_CONFIG, 9), "data", json!("e30="));
        assert_eq!(planned(&image(inlined, &layers[..1])), [1]);
    }

    #[test]
    fn nothing_of_what_is_no_image() {
        let index =
            json!({ "schemaVersion": 2, "manifests": [child("application/vnd.oci.image.manifest.v1+json", 1)] });
        for (what, manifest) in [
            ("an index", index.to_string().into_bytes()),
            ("an attestation", image(child(OCI_CONFIG, 1), &[child("application/vnd.in-toto+json", 2)])),
            ("an artifact", image(child("application/vnd.oci.empty.v1+json", 2), &[child(OCI_LAYER, 3)])),
            ("a chart", image(child("application/vnd.cncf.helm.config.v1+json", 1), &[child("application/x-tar", 2)])),
            ("an image of nothing", image(child(OCI_CONFIG, 1), &[])),
            (
                "no layer of ours",
                image(child(OCI_CONFIG, 1), &[child("application/vnd.oci.image.layer.v1.tarball", 2)]),
            ),
            ("no manifest", b"[]".to_vec()),
        ] {
            assert_eq!(plan(&manifest), [], "{what}");
        }
    }

    #[test]
    fn what_would_be_too_many_or_too_much_is_left_to_who_asks() {
        let most = limits::PREFETCH_BLOBS_PER_MANIFEST_MAX;
        let layers: Vec<_> = (1..=most as u64 + 7).map(|number| child(OCI_LAYER, number)).collect();
        assert_eq!(planned(&image(child(OCI_CONFIG, 500), &layers)).len(), most);
        let half = limits::PREFETCH_BYTES_PER_MANIFEST_MAX / 2;
        let layers = [child(OCI_LAYER, half), child(OCI_LAYER, half + 1), child(OCI_LAYER, 3)];
        assert_eq!(planned(&image(child(OCI_CONFIG, 1), &layers)), [1, half]);
        let endless = [child(OCI_LAYER, 3), child(OCI_LAYER, u64::MAX)];
        assert_eq!(planned(&image(child(OCI_CONFIG, 1), &endless)), [1, 3]);
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_in_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(plan(&bytes).len() <= limits::PREFETCH_BLOBS_PER_MANIFEST_MAX);
        }
    }
}
