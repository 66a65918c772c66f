//! The request line, parsed once and purely: repository names contain slashes, so a router cannot do it.

use http::Method;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::{NameError, Reference, RepositoryName};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegistryId;

use crate::namespace::{Namespace, NamespaceError};

/// A pull request that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullRequest {
    /// `/v2/`, or the same below a registry's prefix: is this a registry, and am I signed in?
    Ping,
    /// Something of a repository.
    Pull(Pull),
}

/// What is asked for, of which repository, and how that was addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// The virtual registry of the path. `None` for the bare `/v2/<name>` of a mirror.
    pub registry: Option<RegistryId>,
    /// `ns`: the registry that the client means, as containerd says it to mirrors.
    pub namespace: Option<Namespace>,
    /// The repository.
    pub repository: RepositoryName,
    /// What of it.
    pub operation: Operation,
}

/// The operations of the distribution API's pull and content discovery categories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A manifest by tag or digest.
    Manifest(Reference),
    /// A blob by digest.
    Blob(Digest),
    /// The tags, in parts.
    Tags(Page),
    /// What refers to a manifest.
    Referrers {
        /// The manifest referred to.
        subject: Digest,
        /// The one type of artifact that is wanted.
        artifact_type: Option<String>,
    },
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// `n`: at most so many.
    pub limit: Option<usize>,
    /// `last`: those after this one.
    pub after: Option<String>,
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
    /// The repository name, tag or digest is malformed.
    Name(NameError),
    /// `ns` is no registry name.
    Namespace(NamespaceError),
    /// `n` is no number.
    Limit,
}

/// Where virtual registries stand below `/v2/`.
pub const PREFIX: &str = "virtual_registries/container/";

/// Parses a request line. `path` is percent-encoded as it came; no valid pull path contains an escape.
pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<PullRequest, RouteError> {
    if path.len() + query.map_or(0, str::len) > limits::REQUEST_TARGET_MAX {
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
    let (registry, rest) = match rest.strip_prefix(PREFIX) {
        None => (None, rest),
        Some(below) => {
            let (registry, rest) = below.split_once('/').unwrap_or((below, ""));
            (Some(registry_id(registry)?), rest)
        }
    };
    if rest.is_empty() {
        return Ok(PullRequest::Ping);
    }
    let (name, kind, reference) = split(rest).ok_or(RouteError::Unknown)?;
    let repository: RepositoryName = name.parse().map_err(RouteError::Name)?;
    let query = Query::parse(query)?;
    let operation = match kind {
        Kind::Manifests => Operation::Manifest(reference.parse().map_err(RouteError::Name)?),
        Kind::Blobs => Operation::Blob(digest(reference)?),
        Kind::Tags => Operation::Tags(query.page),
        Kind::Referrers => Operation::Referrers { subject: digest(reference)?, artifact_type: query.artifact_type },
        Kind::Uploads => return Err(RouteError::Method),
    };
    Ok(PullRequest::Pull(Pull { registry, namespace: query.namespace, repository, operation }))
}

/// One spelling per registry: no sign, no leading zero.
fn registry_id(text: &str) -> Result<RegistryId, RouteError> {
    let digits = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(RouteError::Unknown)
}

fn digest(text: &str) -> Result<Digest, RouteError> {
    text.parse().map_err(|error| RouteError::Name(NameError::Digest(error)))
}

/// The parameters that some operation knows; others are ignored, and of two of one name the first counts.
#[derive(Default)]
struct Query {
    namespace: Option<Namespace>,
    page: Page,
    artifact_type: Option<String>,
}

impl Query {
    fn parse(text: Option<&str>) -> Result<Self, RouteError> {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            // An empty parameter is one that was left out.
            if value.is_empty() {
                continue;
            }
            match &*key {
                "ns" if query.namespace.is_none() => {
                    query.namespace = Some(value.parse().map_err(RouteError::Namespace)?);
                }
                "n" if query.page.limit.is_none() => {
                    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                    query.page.limit = Some(value.parse().ok().filter(|_| digits).ok_or(RouteError::Limit)?);
                }
                "last" if query.page.after.is_none() => query.page.after = Some(value.into_owned()),
                "artifactType" if query.artifact_type.is_none() => query.artifact_type = Some(value.into_owned()),
                _ => {}
            }
        }
        Ok(query)
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
#[path = "route_property_tests.rs"]
mod properties;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::digest::DigestError;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<PullRequest, RouteError> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        parse(&Method::GET, path, query)
    }

    fn pull(registry: Option<u64>, name: &str, operation: Operation) -> Result<PullRequest, RouteError> {
        let registry = registry.map(RegistryId);
        Ok(PullRequest::Pull(Pull { registry, namespace: None, repository: name.parse().unwrap(), operation }))
    }

    fn manifest(registry: u64, name: &str, reference: &str) -> Result<PullRequest, RouteError> {
        pull(Some(registry), name, Operation::Manifest(reference.parse().unwrap()))
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
        let blob = Operation::Blob(DIGEST.parse().unwrap());
        assert_eq!(get(&below(&format!("a/b/blobs/{DIGEST}"))), pull(Some(7), "a/b", blob.clone()));
        assert_eq!(get(&format!("/v2/a/b/blobs/{DIGEST}")), pull(None, "a/b", blob));
        let tagged = Operation::Manifest("3".parse().unwrap());
        assert_eq!(get("/v2/library/alpine/manifests/3"), pull(None, "library/alpine", tagged.clone()));
        assert_eq!(get("/v2/virtual_registries/manifests/3"), pull(None, "virtual_registries", tagged));
    }

    #[test]
    fn lists() {
        let tags = |limit, after: Option<&str>| {
            let after = after.map(str::to_owned);
            pull(None, "a/b", Operation::Tags(Page { limit, after }))
        };
        assert_eq!(get("/v2/a/b/tags/list"), tags(None, None));
        assert_eq!(get("/v2/a/b/tags/list?n=10&last=x%2By&n=20&unknown"), tags(Some(10), Some("x+y")));
        assert_eq!(get("/v2/a/b/tags/list?n=0"), tags(Some(0), None));
        assert_eq!(get("/v2/a/b/tags/list?n=&last="), tags(None, None));
        for limit in ["-1", "x", "+1", "99999999999999999999999"] {
            assert_eq!(get(&format!("/v2/a/tags/list?n={limit}")), Err(RouteError::Limit), "{limit}");
        }
        let referrers = |artifact_type: Option<&str>| {
            let (subject, artifact_type) = (DIGEST.parse().unwrap(), artifact_type.map(str::to_owned));
            pull(Some(3), "a", Operation::Referrers { subject, artifact_type })
        };
        let path = format!("/v2/virtual_registries/container/3/a/referrers/{DIGEST}");
        assert_eq!(get(&path), referrers(None));
        assert_eq!(get(&format!("{path}?artifactType=application%2Fx")), referrers(Some("application/x")));
    }

    #[test]
    fn namespaces() {
        let of = |query: &str| match get(&format!("/v2/library/alpine/manifests/3?{query}")) {
            Ok(PullRequest::Pull(pull)) => Ok(pull.namespace.map(|namespace| namespace.to_string())),
            Ok(PullRequest::Ping) => unreachable!("a manifest is asked for"),
            Err(error) => Err(error),
        };
        assert_eq!(of("ns=docker.io"), Ok(Some("docker.io".to_owned())));
        assert_eq!(of("ns=registry.example%3A5000"), Ok(Some("registry.example:5000".to_owned())));
        assert_eq!(of("ns="), Ok(None));
        assert_eq!(of("ns=a%2Fb"), Err(RouteError::Namespace(NamespaceError)));
    }

    #[test]
    fn what_is_no_pull() {
        let below = |rest: &str| format!("/v2/virtual_registries/container/7/{rest}");
        for (path, error) in [
            ("/".to_owned(), RouteError::Unknown),
            ("/v1/".to_owned(), RouteError::Unknown),
            ("/v2x".to_owned(), RouteError::Unknown),
            ("/v2/_catalog".to_owned(), RouteError::Unknown),
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
            (below("a/referrers/latest"), RouteError::Name(NameError::Digest(DigestError::Shape))),
            (below("a/blobs/md5:00"), RouteError::Name(NameError::Digest(DigestError::Algorithm))),
            (below(&format!("a/{}", "x".repeat(5000))), RouteError::TooLong),
            (below(&format!("a/tags/list?last={}", "x".repeat(5000))), RouteError::TooLong),
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
            assert_eq!(parse(&method, path, None), Err(RouteError::Method), "{method} {path}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(path in "\\PC{0,80}") {
            let _ = get(&path);
        }

        #[test]
        fn never_panics_on_likely_paths(path in "/v2/(virtual_registries/container/[0-9]{0,3}/?)?([a-zA-Z0-9./:_%-]{0,6}/(manifests|blobs|tags|uploads|referrers|list)?/?){0,4}(\\?(ns|n|last|artifactType)=[a-z0-9%&=:.]{0,9})?") {
            let _ = get(&path);
        }
    }
}
