//! The request line, parsed once and purely: repository names contain slashes, so a router cannot do it.

use http::Method;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::{NameError, Reference, RepositoryName};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegistryId;

/// A pull request that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullRequest {
    /// `/v2/`, or the same below a registry's prefix: is this a registry, and am I signed in?
    Ping,
    /// A manifest by tag or digest.
    Manifest {
        /// The virtual registry.
        registry: RegistryId,
        /// The repository.
        repository: RepositoryName,
        /// The tag or digest.
        reference: Reference,
    },
    /// A blob by digest.
    Blob {
        /// The virtual registry.
        registry: RegistryId,
        /// The repository.
        repository: RepositoryName,
        /// The digest.
        digest: Digest,
    },
}

/// A request that is not a pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// Another method than GET and HEAD: a cache takes no pushes.
    Method,
    /// Longer than any pull path.
    TooLong,
    /// The path is no path of the distribution API.
    Unknown,
    /// A path of the distribution API that is not served.
    NotServed(&'static str),
    /// A repository at the top level: there is no such registry path.
    NoRegistry,
    /// The repository name, tag or digest is malformed.
    Name(NameError),
}

/// Where virtual registries stand below `/v2/`.
pub const PREFIX: &str = "virtual_registries/container/";

/// Parses a request line. `path` is percent-encoded as it came; no valid pull path contains an escape.
pub fn parse(method: &Method, path: &str) -> Result<PullRequest, RouteError> {
    if path.len() > limits::REQUEST_TARGET_MAX {
        return Err(RouteError::TooLong);
    }
    if method != Method::GET && method != Method::HEAD {
        return Err(RouteError::Method);
    }
    let rest = path.strip_prefix("/v2").ok_or(RouteError::Unknown)?;
    let Some(rest) = rest.strip_prefix('/') else {
        return if rest.is_empty() { Ok(PullRequest::Ping) } else { Err(RouteError::Unknown) };
    };
    if rest.is_empty() {
        return Ok(PullRequest::Ping);
    }
    let Some(below) = rest.strip_prefix(PREFIX) else {
        return Err(match split(rest) {
            Some(_) => RouteError::NoRegistry,
            None => RouteError::Unknown,
        });
    };
    let (registry, rest) = below.split_once('/').unwrap_or((below, ""));
    // One spelling per registry: no sign, no leading zero.
    let digits = !registry.starts_with('0') && registry.bytes().all(|byte| byte.is_ascii_digit());
    let registry: RegistryId = registry.parse().ok().filter(|_| digits).ok_or(RouteError::Unknown)?;
    if rest.is_empty() {
        return Ok(PullRequest::Ping);
    }
    let (name, kind, reference) = split(rest).ok_or(RouteError::Unknown)?;
    let repository: RepositoryName = name.parse().map_err(RouteError::Name)?;
    match kind {
        Kind::Manifests => {
            Ok(PullRequest::Manifest { registry, repository, reference: reference.parse().map_err(RouteError::Name)? })
        }
        Kind::Blobs => {
            let digest = reference.parse().map_err(|error| RouteError::Name(NameError::Digest(error)))?;
            Ok(PullRequest::Blob { registry, repository, digest })
        }
        Kind::Tags => Err(RouteError::NotServed("listing tags")),
        Kind::Referrers => Err(RouteError::NotServed("listing referrers")),
        Kind::Uploads => Err(RouteError::Method),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifests,
    Blobs,
    Uploads,
    Tags,
    Referrers,
}

/// Name, kind and reference. The last two parts decide, since a name may contain any of these words.
fn split(rest: &str) -> Option<(&str, Kind, &str)> {
    let (head, reference) = rest.rsplit_once('/')?;
    if let Some(name) = head.strip_suffix("/blobs/uploads") {
        return Some((name, Kind::Uploads, reference));
    }
    let (name, word) = head.rsplit_once('/')?;
    let kind = match (word, reference) {
        ("blobs", "uploads") => Kind::Uploads,
        ("manifests", _) => Kind::Manifests,
        ("blobs", _) => Kind::Blobs,
        ("tags", "list") => Kind::Tags,
        ("referrers", _) => Kind::Referrers,
        _ => return None,
    };
    Some((name, kind, reference))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::digest::DigestError;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<PullRequest, RouteError> {
        parse(&Method::GET, path)
    }

    fn manifest(registry: u64, name: &str, reference: &str) -> Result<PullRequest, RouteError> {
        let (repository, reference) = (name.parse().unwrap(), reference.parse().unwrap());
        Ok(PullRequest::Manifest { registry: RegistryId(registry), repository, reference })
    }

    #[test]
    fn pulls() {
        for path in ["/v2", "/v2/", "/v2/virtual_registries/container/1", "/v2/virtual_registries/container/1/"] {
            assert_eq!(get(path), Ok(PullRequest::Ping), "{path}");
        }
        let below = |rest: &str| format!("/v2/virtual_registries/container/7/{rest}");
        assert_eq!(get(&below("library/alpine/manifests/3.20")), manifest(7, "library/alpine", "3.20"));
        assert_eq!(get(&below(&format!("a/manifests/{DIGEST}"))), manifest(7, "a", DIGEST));
        assert_eq!(get(&below("manifests/blobs/manifests/tags")), manifest(7, "manifests/blobs", "tags"));
        assert_eq!(get(&below("a/tags/list/manifests/x")), manifest(7, "a/tags/list", "x"));
        let blob = PullRequest::Blob {
            registry: RegistryId(7),
            repository: "a/b".parse().unwrap(),
            digest: DIGEST.parse().unwrap(),
        };
        assert_eq!(get(&below(&format!("a/b/blobs/{DIGEST}"))), Ok(blob));
    }

    #[test]
    fn what_is_no_pull() {
        let below = |rest: &str| format!("/v2/virtual_registries/container/7/{rest}");
        for (path, error) in [
            ("/".to_owned(), RouteError::Unknown),
            ("/v1/".to_owned(), RouteError::Unknown),
            ("/v2x".to_owned(), RouteError::Unknown),
            ("/v2/_catalog".to_owned(), RouteError::Unknown),
            ("/v2/library/alpine/manifests/3".to_owned(), RouteError::NoRegistry),
            ("/v2/virtual_registries/container/x/a/manifests/b".to_owned(), RouteError::Unknown),
            ("/v2/virtual_registries/container/+1/a/manifests/b".to_owned(), RouteError::Unknown),
            ("/v2/virtual_registries/container/01/a/manifests/b".to_owned(), RouteError::Unknown),
            ("/v2/virtual_registries/container/99999999999999999999/a/manifests/b".to_owned(), RouteError::Unknown),
            (below("a"), RouteError::Unknown),
            (below("manifests/x"), RouteError::Unknown),
            (below("A/manifests/x"), RouteError::Name(NameError::Repository)),
            (below("a%2Fb/manifests/x"), RouteError::Name(NameError::Repository)),
            (below("a/../b/manifests/x"), RouteError::Name(NameError::Repository)),
            (below("a//b/manifests/x"), RouteError::Name(NameError::Repository)),
            (below("a/manifests/"), RouteError::Name(NameError::Tag)),
            (below("a/manifests/-x"), RouteError::Name(NameError::Tag)),
            (below("a/manifests/sha256:1"), RouteError::Name(NameError::Digest(DigestError::Encoded))),
            (below("a/blobs/latest"), RouteError::Name(NameError::Digest(DigestError::Shape))),
            (below("a/blobs/md5:00"), RouteError::Name(NameError::Digest(DigestError::Algorithm))),
            (below("a/tags/list"), RouteError::NotServed("listing tags")),
            (below(&format!("a/{}", "x".repeat(5000))), RouteError::TooLong),
        ] {
            assert_eq!(get(&path), Err(error), "{path}");
        }
    }

    #[test]
    fn pushes_are_refused() {
        for (method, path) in [
            (Method::PUT, "/v2/virtual_registries/container/1/a/manifests/x"),
            (Method::POST, "/v2/virtual_registries/container/1/a/blobs/uploads/"),
            (Method::DELETE, "/v2/virtual_registries/container/1/a/manifests/x"),
            (Method::GET, "/v2/virtual_registries/container/1/a/blobs/uploads/123"),
        ] {
            assert_eq!(parse(&method, path), Err(RouteError::Method), "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC{0,80}") {
            let _ = get(&path);
        }

        #[test]
        fn never_panics_on_likely_paths(path in "/v2/(virtual_registries/container/[0-9]{0,3}/?)?([a-zA-Z0-9./:_%-]{0,6}/(manifests|blobs|tags|uploads|list)?/?){0,4}") {
            let _ = get(&path);
        }
    }
}
