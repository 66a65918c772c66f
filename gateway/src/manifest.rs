//! What a manifest says of itself and of its children. Pure; the bytes are never changed.

use std::fmt;

use roadstead_proto::domain::entry::{ContentKind, Descriptor};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::{self, MediaType};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The fields of OCI and Docker manifests and indexes that a cache looks at; everything else is left alone. Lists may be
/// `null`, as Go writes an empty one.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Outline<'a> {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<Listed<'a>>,
    #[serde(borrow)]
    manifests: Option<Listed<'a>>,
    #[serde(borrow)]
    blobs: Option<Listed<'a>>,
}

/// The first members of a list, as text: one that cannot be read must not hide the others, and 4 MiB of `0,` must not become
/// two million values.
#[derive(Default)]
struct Listed<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Listing).map(Self)
    }
}

struct Listing;

impl<'de> Visitor<'de> for Listing {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while members.len() < limits::MANIFEST_DESCRIPTORS_MAX {
            match list.next_element()? {
                Some(member) => members.push(member),
                None => return Ok(members),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(members)
    }
}

#[derive(Deserialize)]
struct Child {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
}

fn descriptor(text: &RawValue, kind: ContentKind) -> Option<Descriptor> {
    let child: Child = serde_json::from_str(text.get()).ok()?;
    let digest = child.digest.parse().ok()?;
    let media_type = child.media_type.parse().unwrap_or_else(|_| MediaType::octet_stream());
    Some(Descriptor { digest, size: child.size, media_type, kind })
}

/// The children that a manifest names, at most [`limits::MANIFEST_DESCRIPTORS_MAX`]; those we cannot read are left out.
pub fn children(bytes: &[u8]) -> Vec<Descriptor> {
    let Ok(outline) = serde_json::from_slice::<Outline<'_>>(bytes) else { return Vec::new() };
    let manifests =
        outline.manifests.unwrap_or_default().0.into_iter().map(|child| descriptor(child, ContentKind::Manifest));
    let blobs = outline
        .config
        .into_iter()
        .chain(outline.layers.unwrap_or_default().0)
        .chain(outline.blobs.unwrap_or_default().0);
    let blobs = blobs.map(|child| descriptor(child, ContentKind::Blob));
    manifests.chain(blobs).flatten().take(limits::MANIFEST_DESCRIPTORS_MAX).collect()
}

/// Whether it has the shape of a manifest or index, of whatever type: a JSON object with a version, a type or a list that
/// one has. The error of a gateway in between is an object too.
pub fn is_document(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<IgnoredAny>,
        media_type: Option<IgnoredAny>,
        config: Option<IgnoredAny>,
        layers: Option<IgnoredAny>,
        manifests: Option<IgnoredAny>,
        fs_layers: Option<IgnoredAny>,
        blobs: Option<IgnoredAny>,
    }
    bytes.trim_ascii_start().starts_with(b"{")
        && serde_json::from_slice::<Shape>(bytes).is_ok_and(|shape| {
            let Shape { schema_version, media_type, config, layers, manifests, fs_layers, blobs } = shape;
            [schema_version, media_type, config, layers, manifests, fs_layers, blobs].iter().any(Option::is_some)
        })
}

/// The media type of a manifest whose upstream sent none: what the manifest says, else what its shape says.
pub fn media_type(bytes: &[u8]) -> MediaType {
    let outline: Outline<'_> = serde_json::from_slice(bytes).unwrap_or_default();
    let stated = outline.media_type.and_then(|text| text.parse().ok());
    let by_shape =
        if outline.manifests.is_some_and(|list| !list.0.is_empty()) { media::OCI_INDEX } else { media::OCI_MANIFEST };
    let known = outline.config.is_some() || by_shape == media::OCI_INDEX;
    stated.or_else(|| known.then(|| by_shape.parse().ok()).flatten()).unwrap_or_else(MediaType::octet_stream)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::digest::Digest;

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
        let odd = format!(
            r#"{{"manifests":null,"layers":[{{"digest":"{DIGEST}","size":-1}},7,null,{{}},{{"digest":"{DIGEST}","size":2}}]}}"#
        );
        assert_eq!(children(odd.as_bytes()).len(), 1);
        for text in ["", "[]", "{", r#"{"layers":7}"#, r#"{"layers":[{"digest":"x","size":-1}]}"#] {
            assert!(children(text.as_bytes()).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_page_is_no_document() {
        for text in ["{\"layers\":[]}", "{\"mediaType\":\"x/y\"}", " {\"schemaVersion\":1,\"fsLayers\":[]}\n"] {
            assert!(is_document(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "{}",
            "{\"errors\":[{\"code\":\"UNKNOWN\"}]}",
            "<!doctype html>",
            "[]",
            "7",
            "{",
            "{}x",
            "\u{1f}\u{8b}{}",
        ] {
            assert!(!is_document(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_not_unfolded() {
        let many =
            format!(r#"{{"layers":[{}]}}"#, vec![format!(r#"{{"digest":"{DIGEST}","size":2}}"#); 5000].join(","));
        assert_eq!(children(many.as_bytes()).len(), limits::MANIFEST_DESCRIPTORS_MAX);
        let deep = format!(r#"{{"layers":{}}}"#, "[".repeat(1_000_000));
        assert!(children(deep.as_bytes()).is_empty());
        let nothing = format!(r#"{{"layers":[0{}]}}"#, ",0".repeat(1_000_000));
        assert!(children(nothing.as_bytes()).is_empty());
    }

    /// A child: its digest's byte and its size, or what is none; and how both are written.
    fn child() -> impl Strategy<Value = (String, Option<(u8, u64)>)> {
        let good =
            (any::<u8>(), any::<u64>(), "(,\"annotations\":\\{\"digest\":\"x\"\\}|,\"size2\":-1)?", any::<bool>())
                .prop_map(|(byte, size, more, swapped)| {
                    let digest = format!(r#""digest":"{}""#, Digest::Sha256([byte; 32]));
                    let size_text = format!(r#""size":{size}"#);
                    let (one, other) = if swapped { (size_text, digest) } else { (digest, size_text) };
                    (format!("{{{one} , {other}{more}}}"), Some((byte, size)))
                });
        let bad = prop::sample::select(vec![
            "null",
            "7",
            "{}",
            "[]",
            r#""sha256:00""#,
            r#"{"digest":"md5:00","size":1}"#,
            r#"{"size":1}"#,
            r#"{"digest":"sha256:00","size":1}"#,
            r#"{"digest":7,"size":1}"#,
        ]);
        prop_oneof![3 => good, 1 => bad.prop_map(|text| (text.to_owned(), None))]
    }

    proptest! {
        /// Every child that can be read is found where it stands, whatever stands beside it.
        #[test]
        fn every_readable_child_is_found(
            config in prop::option::of(child()),
            layers in prop::collection::vec(child(), 0..5),
            manifests in prop::collection::vec(child(), 0..5),
            beside in "(,\"later\":\\[\\{\\}\\]|,\"subject\":null|,\"blobs\":null)?",
        ) {
            let list = |children: &[(String, Option<(u8, u64)>)]| {
                children.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>().join(",")
            };
            let of_config = config.as_ref().map_or("null", |(text, _)| text);
            let text = format!(
                r#"{{"config":{of_config},"layers":[{}],"manifests":[{}]{beside}}}"#, list(&layers), list(&manifests),
            );
            let expected: Vec<(u8, u64)> =
                manifests.into_iter().chain(config).chain(layers).filter_map(|(_, meant)| meant).collect();
            let found: Vec<(u8, u64)> =
                children(text.as_bytes()).iter().map(|child| (child.digest.hash()[0], child.size)).collect();
            prop_assert_eq!(found, expected, "{}", text);
        }

        /// Text that was damaged on its way is no manifest, or one with no more children than before.
        #[test]
        fn damage_adds_no_child(layers in prop::collection::vec(child(), 1..5), at: prop::sample::Index, byte: u8) {
            let text = format!(r#"{{"layers":[{}]}}"#, layers.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>().join(","));
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            prop_assert!(children(&bytes).len() <= layers.len());
            media_type(&bytes);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            children(&bytes);
            media_type(&bytes);
        }
    }
}
