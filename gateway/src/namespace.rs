//! The registry that a client means by `?ns=` (containerd), and the upstream that stands for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::upstream::Upstream;

/// A registry's name as image references write it: `docker.io`, `registry.example:5000`. In lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace(Arc<str>);

/// The text is no registry name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ns is not a registry name: expected a host such as docker.io, with a port where it has one")]
pub struct NamespaceError;

/// Names of Docker Hub in image references and in engines' configuration.
const DOCKER_HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

impl Namespace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the value of `OCI-Namespace`.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a parsed namespace holds visible ASCII only")
    }
}

impl FromStr for Namespace {
    type Err = NamespaceError;

    fn from_str(text: &str) -> Result<Self, NamespaceError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        let valid = (1..=limits::NAME_MAX).contains(&text.len()) && text.bytes().all(allowed);
        if valid { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(NamespaceError) }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of a registry's upstreams answers to which namespace, first asked first: the one that is *called* so, else the
/// one whose address it is. `Docker Hub` answers to all of its names.
pub fn by_namespace<'a>(upstreams: impl Iterator<Item = &'a Upstream> + Clone) -> HashMap<Namespace, &'a Upstream> {
    let mut found = HashMap::new();
    let mut offer = |name: &str, upstream: &'a Upstream| {
        if let Ok(namespace) = name.parse::<Namespace>()
            && let Entry::Vacant(place) = found.entry(namespace)
        {
            place.insert(upstream);
        }
    };
    for upstream in upstreams.clone() {
        let name = &upstream.settings.name;
        // A host has a dot or a port; any other name is only a name.
        if name.contains(['.', ':']) {
            offer(name, upstream);
        }
    }
    for upstream in upstreams {
        let url = &upstream.settings.url;
        if let Some(host) = url.registry_host() {
            offer(&host, upstream);
            if url.is_docker_hub() {
                DOCKER_HUB.iter().for_each(|name| offer(name, upstream));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::epoch::Epoch;
    use roadstead_proto::domain::registry::{GroupId, UpstreamId};
    use roadstead_proto::domain::time::Timestamp;
    use roadstead_proto::domain::upstream::UpstreamSettings;

    use super::*;

    fn upstream(id: u64, name: &str, url: &str) -> Upstream {
        Upstream {
            id: UpstreamId(id),
            group: GroupId(1),
            settings: UpstreamSettings::new(name, url.parse().unwrap()),
            epoch: Epoch(1),
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    #[test]
    fn names_of_hosts() {
        for text in ["docker.io", "localhost:5000", "[::1]:5000", "127.0.0.1", "Registry.Example"] {
            assert!(text.parse::<Namespace>().is_ok(), "{text}");
        }
        for text in ["", "a/b", "a b", "http://a", "ä.io", "a\r\nb", &"a".repeat(256)] {
            assert_eq!(text.parse::<Namespace>(), Err(NamespaceError), "{text}");
        }
        assert_eq!("Docker.IO".parse::<Namespace>().unwrap().as_str(), "docker.io");
    }

    proptest! {
        /// What is taken for a registry's name can stand in a header and in a query as it is, and is one name in any case.
        #[test]
        fn a_namespace_is_a_header_of_itself(text in "[a-zA-Z0-9.:\\[\\]-]{0,20}|[ -~]{0,9}|\\PC{0,9}|[a.]{253,258}") {
            let Ok(namespace) = text.parse::<Namespace>() else { return Ok(()) };
            prop_assert_eq!(namespace.as_str(), text.to_lowercase());
            let header = namespace.header();
            prop_assert_eq!(header.to_str().unwrap(), namespace.as_str());
            prop_assert_eq!(namespace.as_str().parse(), Ok(namespace.clone()));
            prop_assert!(!text.contains(['/', '&', '=', '+', '%', '<', '>', '"', ' ']));
        }
    }

    #[test]
    fn the_upstream_of_a_namespace() {
        let upstreams = [
            upstream(1, "mirror", "https://registry.example:5000"),
            upstream(2, "again", "https://registry.example:5000"),
            upstream(3, "docker-hub", "https://registry-1.docker.io"),
            upstream(4, "ghcr.io", "http://127.0.0.1:9"),
            upstream(5, "below", "https://harbor.example/v2/proxy"),
            upstream(6, "based", "https://nexus.example/docker"),
        ];
        let found = by_namespace(upstreams.iter());
        let of = |name: &str| found.get(&name.parse().unwrap()).map(|upstream| upstream.id.0);
        assert_eq!(of("registry.example:5000"), Some(1));
        assert_eq!((of("docker.io"), of("index.docker.io"), of("registry-1.docker.io")), (Some(3), Some(3), Some(3)));
        assert_eq!((of("ghcr.io"), of("127.0.0.1:9")), (Some(4), Some(4)));
        // Names below a path are other names than those of the host.
        assert_eq!((of("harbor.example"), of("nexus.example")), (None, None));
        assert_eq!((of("registry.example"), of("mirror"), of("quay.io")), (None, None, None));
    }

    #[test]
    fn who_is_called_so_wins_over_whose_address_it_is() {
        let upstreams =
            [upstream(1, "hub", "https://registry-1.docker.io"), upstream(2, "docker.io", "https://mirror.example")];
        let found = by_namespace(upstreams.iter());
        assert_eq!(found[&"docker.io".parse().unwrap()].id, UpstreamId(2));
    }
}
