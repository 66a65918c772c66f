//! How an image is named.

use std::net::IpAddr;
use std::str::FromStr;

use url::Url;

/// `[SCHEME://]HOST[:PORT]/NAME[:TAG][@DIGEST]`, as a client's command line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    base: Url,
    reference: String,
}

/// Why a text is no name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not HOST[:PORT]/NAME[:TAG] or HOST[:PORT]/NAME@DIGEST, with http:// or https:// before it or nothing"
)]
pub struct NameError(String);

impl ImageName {
    /// The tag or digest.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Where a manifest of its repository is.
    pub(super) fn manifest(&self, reference: &str) -> Url {
        self.below("manifests", reference)
    }

    /// Where a blob of its repository is.
    pub(super) fn blob(&self, digest: &str) -> Url {
        self.below("blobs", digest)
    }

    fn below(&self, kind: &str, reference: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{kind}/{reference}", self.base.path()));
        url
    }
}

impl FromStr for ImageName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let malformed = || NameError(text.to_owned());
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
            Some(_) => return Err(malformed()),
            None => (None, text),
        };
        let (host, path) = rest.split_once('/').ok_or_else(malformed)?;
        let (path, digest) = path.split_once('@').map_or((path, None), |(path, digest)| (path, Some(digest)));
        let (name, tag) = path.split_once(':').map_or((path, None), |(name, tag)| (name, Some(tag)));
        let reference = digest.or(tag).unwrap_or("latest");
        if host.is_empty() || name.is_empty() || reference.is_empty() {
            return Err(malformed());
        }
        // As container engines do: in plain text to this machine alone, unless told so.
        let scheme = scheme.unwrap_or(if is_local(host) { "http" } else { "https" });
        let base = Url::parse(&format!("{scheme}://{host}/v2/{name}")).map_err(|_| malformed())?;
        Ok(Self { base, reference: reference.to_owned() })
    }
}

fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_addresses() {
        let table = [
            ("127.0.0.1:5000/a/b:1", "http://127.0.0.1:5000/v2/a/b/manifests/1"),
            ("localhost/a", "http://localhost/v2/a/manifests/latest"),
            ("[::1]:80/a:x", "http://[::1]/v2/a/manifests/x"),
            ("registry.example/a:1", "https://registry.example/v2/a/manifests/1"),
            ("http://registry.example:8080/a/b/c", "http://registry.example:8080/v2/a/b/c/manifests/latest"),
            ("127.0.0.1/a:1@sha256:ab", "http://127.0.0.1/v2/a/manifests/sha256:ab"),
        ];
        for (text, address) in table {
            let name: ImageName = text.parse().unwrap();
            assert_eq!(name.manifest(name.reference()).as_str(), address, "{text}");
        }
    }

    #[test]
    fn blobs_are_beside_manifests() {
        let name: ImageName = "127.0.0.1:5000/a/b:1".parse().unwrap();
        assert_eq!(name.blob("sha256:ab").as_str(), "http://127.0.0.1:5000/v2/a/b/blobs/sha256:ab");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "host", "/a:1", "host/", "host/a:", "ftp://host/a", "host/:1"] {
            assert_eq!(text.parse::<ImageName>(), Err(NameError(text.to_owned())), "{text}");
        }
    }
}
