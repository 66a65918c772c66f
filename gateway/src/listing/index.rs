//! The image index that referrers are listed in (distribution spec, "Listing Referrers"). Pure. Descriptors are handed on
//! as they came, byte for byte: annotations and fields of tomorrow included.

use std::collections::HashSet;

use bytes::Bytes;
use roadstead_proto::domain::entry::{ContentKind, Descriptor};
use roadstead_proto::domain::media::{MediaType, OCI_INDEX};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The text is no image index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an image index")]
pub(super) struct NotAnIndex;

#[derive(Deserialize)]
struct Listed<'a> {
    #[serde(borrow, default)]
    manifests: Option<Vec<&'a RawValue>>,
}

/// What is looked at of a descriptor.
#[derive(Deserialize)]
struct Outline {
    digest: String,
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    size: u64,
    #[serde(rename = "artifactType", default)]
    artifact_type: Option<String>,
}

#[derive(Serialize)]
struct Index<'a> {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    #[serde(rename = "mediaType")]
    media_type: &'a str,
    manifests: Vec<&'a RawValue>,
}

fn listed(index: &[u8]) -> Result<Vec<(Outline, &RawValue)>, NotAnIndex> {
    let listed: Listed<'_> = serde_json::from_slice(index).map_err(|_| NotAnIndex)?;
    let outline = |raw: &RawValue| serde_json::from_str::<Outline>(raw.get()).map_err(|_| NotAnIndex);
    listed.manifests.unwrap_or_default().into_iter().map(|raw| Ok((outline(raw)?, raw))).collect()
}

/// The manifests that an index lists.
pub(super) fn children(index: &[u8]) -> Result<Vec<Descriptor>, NotAnIndex> {
    let child = |(outline, _): (Outline, &RawValue)| {
        let media_type = outline.media_type.parse().unwrap_or_else(|_| MediaType::octet_stream());
        let digest = outline.digest.parse().ok()?;
        Some(Descriptor { digest, size: outline.size, media_type, kind: ContentKind::Manifest })
    };
    Ok(listed(index)?.into_iter().filter_map(child).collect())
}

/// One index over all that `parts` list, each manifest once, where its first descriptor stands; of the wanted type only.
/// A single index that needs no change is handed on as it is.
pub(super) fn union(parts: &[Bytes], artifact_type: Option<&str>) -> Result<Bytes, NotAnIndex> {
    let mut seen = HashSet::new();
    let mut manifests = Vec::new();
    for part in parts {
        for (outline, raw) in listed(part)? {
            let wanted = artifact_type.is_none_or(|wanted| outline.artifact_type.as_deref() == Some(wanted));
            if wanted && seen.insert(outline.digest) {
                manifests.push(raw);
            }
        }
    }
    if let ([whole], None) = (parts, artifact_type) {
        return Ok(whole.clone());
    }
    let index = Index { schema_version: 2, media_type: OCI_INDEX, manifests };
    Ok(serde_json::to_vec(&index).map_err(|_| NotAnIndex)?.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn descriptor(byte: char, artifact_type: &str) -> String {
        let hex = byte.to_string().repeat(64);
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{hex}",  "size":7,"artifactType":"{artifact_type}","annotations":{{"k":"v"}},"later":[1]}}"#
        )
    }

    fn index(descriptors: &[String]) -> Bytes {
        format!(r#"{{"schemaVersion":2, "manifests":[{}]}}"#, descriptors.join(",")).into()
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn one_index_stays_as_it_is() {
        let whole = index(&[descriptor('a', "x/sig"), descriptor('b', "x/sbom")]);
        assert_eq!(union(std::slice::from_ref(&whole), None), Ok(whole));
    }

    #[test]
    fn several_are_joined_and_descriptors_keep_their_bytes() {
        let (a, b, again) = (descriptor('a', "x/sig"), descriptor('b', "x/sbom"), descriptor('a', "other"));
        let joined = union(&[index(std::slice::from_ref(&a)), index(&[again, b.clone()])], None).unwrap();
        assert!(text(&joined).ends_with(&format!(r#""manifests":[{a},{b}]}}"#)), "{joined:?}");
        let empty = union(&[], None).unwrap();
        assert_eq!(
            text(&empty),
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#
        );
    }

    #[test]
    fn a_filter_leaves_the_others_out() {
        let (a, b) = (descriptor('a', "x/sig"), descriptor('b', "x/sbom"));
        let filtered = union(&[index(&[a, b.clone()])], Some("x/sbom")).unwrap();
        assert!(text(&filtered).ends_with(&format!(r#""manifests":[{b}]}}"#)), "{filtered:?}");
    }

    #[test]
    fn what_is_no_index() {
        for text in ["", "[]x", "<html>", r#"{"manifests":7}"#, r#"{"manifests":[{"size":1}]}"#] {
            assert_eq!(children(text.as_bytes()), Err(NotAnIndex), "{text}");
        }
        assert_eq!(children(br#"{"manifests":null}"#), Ok(Vec::new()));
        assert_eq!(children(&index(&[descriptor('a', "x")])).unwrap()[0].size, 7);
    }

    proptest! {
        /// The union is what a set would hold: each digest once, by its first descriptor, those of the wanted type, in order.
        #[test]
        fn a_union_is_an_ordered_set(
            parts in proptest::collection::vec(
                proptest::collection::vec(("[a-f]", prop::sample::select(vec!["x/sig", "x/sbom"])), 0..4), 0..4),
            wanted in proptest::option::of(prop::sample::select(vec!["x/sig", "x/none"])),
        ) {
            let all: Vec<Vec<String>> = parts.iter().map(|part| {
                part.iter().map(|(digest, kind)| descriptor(digest.chars().next().unwrap(), kind)).collect()
            }).collect();
            let mut seen = std::collections::BTreeSet::new();
            let expected: Vec<String> = parts.iter().flatten().zip(all.iter().flatten())
                .filter(|((_, kind), _)| wanted.is_none_or(|wanted| *kind == wanted))
                .filter(|((digest, _), _)| seen.insert(digest.clone()))
                .map(|(_, text)| text.clone()).collect();
            let indexes: Vec<Bytes> = all.iter().map(|part| index(part)).collect();
            let joined = union(&indexes, wanted).unwrap();
            if indexes.len() == 1 && wanted.is_none() {
                prop_assert_eq!(&joined, &indexes[0]);
            } else {
                let end = format!(r#""manifests":[{}]}}"#, expected.join(","));
                prop_assert!(text(&joined).ends_with(&end), "{:?}", joined);
                // Joined once more, nothing changes.
                prop_assert_eq!(union(&[joined.clone(), joined.clone()], wanted), Ok(joined));
            }
        }

        #[test]
        fn damaged_indexes_have_an_answer(at: prop::sample::Index, byte: u8) {
            let mut bytes = index(&[descriptor('a', "x/sig"), descriptor('b', "x/sbom")]).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            prop_assert!(children(&bytes).map_or(0, |children| children.len()) <= 2);
            let _ = union(&[bytes.into()], Some("x/sig"));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = children(&bytes);
            let _ = union(&[bytes.into()], Some("x"));
        }
    }
}
