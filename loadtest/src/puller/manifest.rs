//! What a manifest leads to, and the choice of a platform.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// What is fetched next.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) digest: String,
    pub(super) size: u64,
    platform: Option<PlatformField>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PlatformField {
    os: String,
    architecture: String,
}

/// `OS/ARCHITECTURE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((os, architecture)) if !os.is_empty() && !architecture.is_empty() => {
                Ok(Self { os: os.to_owned(), architecture: architecture.to_owned() })
            }
            _ => Err(format!("`{text}` is not a platform such as linux/amd64")),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// Why a manifest leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of the expected shape.
    #[error("the manifest cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// An index without the wanted platform.
    #[error("the index has nothing for {0}")]
    NoSuchPlatform(Platform),
    /// Indexes in indexes without an end.
    #[error("indexes are nested more than {0} deep")]
    TooDeep(u32),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another manifest.
    Manifest(Descriptor),
    /// The end: configuration and layers.
    Blobs { config: Option<Descriptor>, layers: Vec<Descriptor> },
}

#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

/// What follows from the bytes of a manifest or index.
pub(super) fn next(bytes: &[u8], platform: &Platform) -> Result<Next, ManifestError> {
    let document: Document = serde_json::from_slice(bytes)?;
    let Some(manifests) = document.manifests else {
        return Ok(Next::Blobs { config: document.config, layers: document.layers });
    };
    let wanted = |field: &PlatformField| field.os == platform.os && field.architecture == platform.architecture;
    // An entry without a platform may be anything, such as a nested index; it comes after those that say so.
    let chosen = (manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(wanted)))
        .or_else(|| manifests.iter().find(|entry| entry.platform.is_none()));
    chosen.cloned().map(Next::Manifest).ok_or_else(|| ManifestError::NoSuchPlatform(platform.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;
    use crate::index::Index;

    fn linux() -> Platform {
        "linux/arm64".parse().unwrap()
    }

    #[test]
    fn an_image_leads_to_its_blobs() {
        let image = Image::builder(1).layers(&[10, 20]).build();
        let Next::Blobs { config, layers } = next(image.manifest().bytes(), &linux()).unwrap() else {
            panic!("an image is no index");
        };
        assert_eq!(config.unwrap().digest, image.id());
        assert_eq!(layers.iter().map(|layer| layer.size).collect::<Vec<_>>(), [10, 20]);
    }

    #[test]
    fn an_index_leads_to_the_platform() {
        let index = Index::of_platforms(1, &[("linux", "amd64"), ("linux", "arm64")], &[10]);
        let Next::Manifest(chosen) = next(index.manifest().bytes(), &linux()).unwrap() else {
            panic!("an index is no image");
        };
        assert_eq!(chosen.digest, index.images()[1].digest());
        let other = "plan9/mips".parse().unwrap();
        assert!(matches!(next(index.manifest().bytes(), &other), Err(ManifestError::NoSuchPlatform(_))));
    }

    #[test]
    fn platforms_have_two_parts() {
        assert_eq!(linux().to_string(), "linux/arm64");
        for text in ["", "linux", "/amd64", "linux/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
