//! Media types: opaque to us, kept byte for byte.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::limits;

/// A media type as an upstream sent it: visible ASCII (so it is safe in a header), at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Arc<str>);

/// The text cannot be a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a media type: expected 1 to 255 visible ASCII characters")]
pub struct MediaTypeError;

/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The type of bytes about which nothing else is known.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// JSON, as the distribution API's own documents have it.
pub const JSON: &str = "application/json";

/// What upstreams are asked for: some answer 404 to a client that does not name the type they have.
pub const MANIFEST_ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

impl MediaType {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `application/octet-stream`.
    pub fn octet_stream() -> Self {
        Self(OCTET_STREAM.into())
    }

    /// The type without parameters.
    pub fn essence(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }

    /// Whether content of this type is fetched under `/manifests/`.
    pub fn is_manifest(&self) -> bool {
        matches!(self.essence(), OCI_INDEX | OCI_MANIFEST | DOCKER_LIST | DOCKER_MANIFEST)
    }
}

impl FromStr for MediaType {
    type Err = MediaTypeError;

    fn from_str(text: &str) -> Result<Self, MediaTypeError> {
        let valid = (1..=limits::MEDIA_TYPE_MAX).contains(&text.len())
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && !text.starts_with(' ');
        if valid { Ok(Self(text.into())) } else { Err(MediaTypeError) }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kept_byte_for_byte_and_safe_in_a_header() {
        let media: MediaType = "application/vnd.oci.image.manifest.v1+json; charset=utf-8".parse().unwrap();
        assert_eq!(media.as_str(), "application/vnd.oci.image.manifest.v1+json; charset=utf-8");
        assert!(media.is_manifest());
        for text in ["", " x/y", "a\r\nb", "x/ÿ", &"a".repeat(256)] {
            assert_eq!(text.parse::<MediaType>(), Err(MediaTypeError), "{text:?}");
        }
    }

    proptest! {
        /// What is kept can stand in a header as it is: no line ends in it, and no byte that a peer may read otherwise.
        #[test]
        fn a_media_type_is_one_line_of_ascii(text in "[ -~]{0,20}|[a/;= \\r\\n\\x00\\x7fé]{0,8}|[a ]{253,258}") {
            let expected = text.is_ascii() && !text.chars().any(char::is_control) && text.trim_start() == text;
            let parsed = text.parse::<MediaType>();
            prop_assert_eq!(parsed.is_ok(), expected && (1..=255).contains(&text.len()));
            if let Ok(media) = parsed {
                prop_assert_eq!(media.as_str(), &text);
                prop_assert!(text.starts_with(media.essence()) && !media.essence().contains(';'));
            }
        }
    }
}
