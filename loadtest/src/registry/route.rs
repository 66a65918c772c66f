//! Method and path → what is asked. Pure.

use http::Method;

use super::Kind;
use super::counters::key_of;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    Token,
    Manifest {
        repository: String,
        reference: String,
        head: bool,
    },
    Blob {
        repository: String,
        digest: String,
        head: bool,
    },
    Tags {
        repository: String,
    },
    Referrers {
        repository: String,
        digest: String,
    },
    Cdn {
        digest: String,
        head: bool,
    },
    /// A method that only a registry that can be pushed to has.
    Unsupported {
        path: String,
    },
    Unknown {
        path: String,
    },
}

/// Which port a request came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Registry,
    Cdn,
    /// The port that has nothing but `/_stage/`.
    Stage,
}

impl Route {
    /// `realm` is the path of the token endpoint, which alone takes a `POST`.
    pub(super) fn parse(origin: Origin, method: &Method, path: &str, realm: &str) -> Self {
        let head = method == Method::HEAD;
        if origin == Origin::Registry && path == realm && (method == Method::GET || method == Method::POST) {
            return Route::Token;
        }
        if !head && method != Method::GET {
            return Route::Unsupported { path: path.to_owned() };
        }
        let route = match origin {
            Origin::Registry => Self::registry(path, head),
            Origin::Stage => None,
            Origin::Cdn => path.strip_prefix("/blobs/").map(|digest| Route::Cdn { digest: digest.to_owned(), head }),
        };
        route.unwrap_or_else(|| Route::Unknown { path: path.to_owned() })
    }

    fn registry(path: &str, head: bool) -> Option<Self> {
        if let "/v2/" | "/v2" = path {
            return Some(Route::Ping);
        }
        let rest = path.strip_prefix("/v2/")?;
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            return named(repository).map(|repository| Route::Tags { repository });
        }
        // From the right: a repository may well be called `manifests/blobs`.
        let (rest, reference) = rest.rsplit_once('/')?;
        let (repository, what) = rest.rsplit_once('/')?;
        let (repository, reference) = (named(repository)?, named(reference)?);
        match what {
            "manifests" => Some(Route::Manifest { repository, reference, head }),
            "blobs" => Some(Route::Blob { repository, digest: reference, head }),
            "referrers" => Some(Route::Referrers { repository, digest: reference }),
            _ => None,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Route::Ping => Kind::Ping,
            Route::Token => Kind::Token,
            Route::Manifest { head: false, .. } => Kind::ManifestGet,
            Route::Manifest { head: true, .. } => Kind::ManifestHead,
            Route::Blob { head: false, .. } => Kind::BlobGet,
            Route::Blob { head: true, .. } => Kind::BlobHead,
            Route::Tags { .. } => Kind::Tags,
            Route::Referrers { .. } => Kind::Referrers,
            Route::Cdn { head: false, .. } => Kind::CdnGet,
            Route::Cdn { head: true, .. } => Kind::CdnHead,
            Route::Unsupported { .. } | Route::Unknown { .. } => Kind::Other,
        }
    }

    pub(super) fn repository(&self) -> Option<&str> {
        match self {
            Route::Manifest { repository, .. }
            | Route::Blob { repository, .. }
            | Route::Tags { repository }
            | Route::Referrers { repository, .. } => Some(repository),
            _ => None,
        }
    }

    /// The tag or digest.
    pub(super) fn reference(&self) -> Option<&str> {
        match self {
            Route::Manifest { reference, .. } => Some(reference),
            Route::Blob { digest, .. } | Route::Referrers { digest, .. } | Route::Cdn { digest, .. } => Some(digest),
            _ => None,
        }
    }

    /// What it is counted as; a token request is counted by its scopes, which only the query knows.
    pub(super) fn key(&self) -> String {
        match (self.repository(), self.reference(), self) {
            (Some(repository), Some(reference), _) => key_of(repository, reference),
            (Some(name), None, _) | (None, Some(name), _) => name.to_owned(),
            (None, None, Route::Unsupported { path } | Route::Unknown { path }) => path.clone(),
            (None, None, _) => String::new(),
        }
    }

    pub(super) fn is_head(&self) -> bool {
        matches!(self.kind(), Kind::ManifestHead | Kind::BlobHead | Kind::CdnHead)
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_understood() {
        let get = |path| Route::parse(Origin::Registry, &Method::GET, path, "/token");
        let name = |text: &str| text.to_owned();
        let table = [
            ("/v2/", Route::Ping),
            ("/token", Route::Token),
            ("/v2/a/b/tags/list", Route::Tags { repository: name("a/b") }),
            ("/v2/a/manifests/1", Route::Manifest { repository: name("a"), reference: name("1"), head: false }),
            (
                "/v2/manifests/blobs/blobs/sha256:0",
                Route::Blob { repository: name("manifests/blobs"), digest: name("sha256:0"), head: false },
            ),
            ("/v2/a/referrers/sha256:0", Route::Referrers { repository: name("a"), digest: name("sha256:0") }),
            ("/v2/manifests/1", Route::Unknown { path: name("/v2/manifests/1") }),
            ("/v2/a/manifests/", Route::Unknown { path: name("/v2/a/manifests/") }),
            ("/", Route::Unknown { path: name("/") }),
        ];
        for (path, route) in table {
            assert_eq!(get(path), route, "{path}");
        }
    }

    #[test]
    fn keys_tell_tags_from_digests() {
        let key = |path| Route::parse(Origin::Registry, &Method::HEAD, path, "/token").key();
        assert_eq!(key("/v2/a/b/manifests/1"), "a/b:1");
        assert_eq!(key("/v2/a/b/manifests/sha256:0"), "a/b@sha256:0");
        assert_eq!(key("/v2/a/b/tags/list"), "a/b");
        assert_eq!(Route::parse(Origin::Cdn, &Method::GET, "/blobs/sha256:0", "/token").key(), "sha256:0");
    }

    #[test]
    fn pushes_are_unsupported() {
        let route = Route::parse(Origin::Registry, &Method::POST, "/v2/a/blobs/uploads/", "/token");
        assert_eq!(route.kind(), Kind::Other);
        assert!(matches!(route, Route::Unsupported { .. }));
    }

    #[test]
    fn the_token_endpoint_is_where_the_challenge_says() {
        let parse = |method: &Method, path| Route::parse(Origin::Registry, method, path, "/v2/auth");
        assert_eq!(parse(&Method::GET, "/v2/auth"), Route::Token);
        assert_eq!(parse(&Method::POST, "/v2/auth"), Route::Token);
        assert_eq!(parse(&Method::GET, "/token"), Route::Unknown { path: "/token".into() });
    }
}
