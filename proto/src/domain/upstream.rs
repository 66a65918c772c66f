//! Upstream registries: where they are, how they are signed in to, what their answers mean.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::epoch::Epoch;
use super::image::{NameError, RepositoryName};
use super::limits;
use super::registry::{GroupId, UpstreamId};
use super::rule::Rules;
use super::secret::SealedSecret;
use super::time::Timestamp;

/// The address of an upstream.
///
/// `https://host[:port][/base]`: the API is then at `/base/v2/`. A path prefix is kept, trailing
/// `/` and `/v2` are dropped. Where `/v2/` stands inside the path, what follows it prefixes every
/// repository name, as Harbor's and Artifactory's proxy projects want it: `https://host/v2/project`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    text: String,
    url: Url,
    repository_prefix: Option<RepositoryName>,
}

/// Why a text is no upstream address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamUrlError {
    /// Longer than [`limits::UPSTREAM_URL_MAX`].
    #[error("longer than {} characters", limits::UPSTREAM_URL_MAX)]
    Long,
    /// Not an absolute URL.
    #[error("not a URL: {0}")]
    Syntax(String),
    /// Another scheme than http or https.
    #[error("the scheme is `{0}`, expected http or https")]
    Scheme(String),
    /// A user name, password, query or fragment stands in it.
    #[error("must not contain credentials, a query or a fragment")]
    Extra,
    /// What follows `/v2/` is not a repository name.
    #[error("what follows /v2/ is {0}")]
    Prefix(NameError),
}

impl UpstreamUrl {
    /// The normalised text: without the trailing `/` and `/v2`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> Origin {
        Origin::of(&self.url)
    }

    /// Whether both are one address, however they are written.
    pub fn is_same_address(&self, other: &Self) -> bool {
        self.url == other.url && self.repository_prefix == other.repository_prefix
    }

    /// The URL of an API path, such as `library/alpine/manifests/3.20`, or the empty path for the base.
    pub fn api(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/v2/{path}"));
        url
    }

    /// The repository at the upstream for a name that a client used.
    pub fn repository(&self, name: &RepositoryName) -> Result<RepositoryName, NameError> {
        match &self.repository_prefix {
            Some(prefix) => name.under(prefix),
            None => Ok(name.clone()),
        }
    }

    /// The host, and the port where it is not the scheme's own: what image references call the registry. `None` for an
    /// address with a path: names below it are not those of the host.
    pub fn registry_host(&self) -> Option<String> {
        let host = self.url.host_str().filter(|_| self.repository_prefix.is_none() && self.url.path() == "/")?;
        Some(self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    }

    /// Whether this is Docker Hub, whose official images live under `library/`.
    pub fn is_docker_hub(&self) -> bool {
        self.url.host_str() == Some(DOCKER_HUB_REGISTRY)
    }
}

/// Where Docker Hub's registry really is.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        if text.len() > limits::UPSTREAM_URL_MAX {
            return Err(UpstreamUrlError::Long);
        }
        let text = without_api_path(text);
        let mut url = Url::parse(text).map_err(|error| UpstreamUrlError::Syntax(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UpstreamUrlError::Scheme(url.scheme().to_owned()));
        }
        // The URL standard mends what follows: the text that is kept and shown would be another than the address.
        let mended = text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\');
        if mended || text.split_once("://").is_none_or(|(_, rest)| rest.starts_with('/')) {
            return Err(UpstreamUrlError::Syntax("it is not written as scheme://host".to_owned()));
        }
        let signed = !url.username().is_empty() || url.password().is_some();
        if signed || url.query().is_some() || url.fragment().is_some() {
            return Err(UpstreamUrlError::Extra);
        }
        // People write docker.io, as image names do; that host is a web site and redirects.
        if matches!(url.host_str(), Some("docker.io" | "index.docker.io" | "hub.docker.com")) {
            url.set_host(Some(DOCKER_HUB_REGISTRY)).map_err(|error| UpstreamUrlError::Syntax(error.to_string()))?;
        }
        let path = url.path().to_owned();
        let repository_prefix = match path.split_once("/v2/") {
            Some((base, prefix)) => {
                url.set_path(base);
                Some(prefix.parse().map_err(UpstreamUrlError::Prefix)?)
            }
            None => None,
        };
        Ok(Self { text: text.to_owned(), url, repository_prefix })
    }
}

/// Without each `/` and `/v2` at the end of its path. Each, because the text that is left is stored and read again: it must
/// not lose more the second time.
fn without_api_path(text: &str) -> &str {
    let Some(host) = text.find("://").map(|at| at + 3) else { return text };
    let path = text[host..].find('/').map_or(text.len(), |at| host + at);
    let mut end = text.len();
    while let Some(kept) = text[path..end].strip_suffix('/').or_else(|| text[path..end].strip_suffix("/v2")) {
        end = path + kept.len();
    }
    &text[..end]
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Scheme, host and port: what browsers call an origin. `Authorization` never crosses it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The origin of a URL.
    pub fn of(url: &Url) -> Self {
        let port = url.port_or_known_default().unwrap_or_default();
        Self(format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default()))
    }

    /// `scheme://host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An origin as it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }
}

/// Tells credentials apart without holding them: a keyed hash of user name and password, zero for anonymous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CredentialId(pub [u8; 16]);

/// Where bytes come from: two upstreams of one source may share a download, never anything else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// Scheme, host and port.
    pub origin: Origin,
    /// As whom it is asked.
    pub credential: CredentialId,
}

/// Credentials of an upstream, as the metadata holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Shown in the management API.
    pub username: String,
    /// Opened by gateways only.
    pub password: SealedSecret,
    /// Identity of the pair.
    pub id: CredentialId,
}

/// What an upstream's 404 means for a tag we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnNotFound {
    /// The cached copy is served for 24 h, with an event: deleted images must not break a fleet at once.
    #[default]
    Stale,
    /// The cached copy is not served any more.
    Gone,
}

/// What a fault of this upstream means for the walk down a registry's upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// The pull fails: a lower upstream could serve another image of the same name.
    #[default]
    Stop,
    /// The next upstream is asked.
    Next,
}

/// An upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its number.
    pub id: UpstreamId,
    /// The group it belongs to.
    pub group: GroupId,
    /// What a person set.
    pub settings: UpstreamSettings,
    /// Raised by a change of url or credentials and by a purge: everything recorded before is void.
    pub epoch: Epoch,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its own fields last changed.
    pub updated_at: Timestamp,
}

impl Upstream {
    /// Origin and credential identity.
    pub fn source(&self) -> SourceId {
        self.settings.source()
    }
}

/// The fields of an upstream that a person sets; the rest is the metadata's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Its address.
    pub url: UpstreamUrl,
    /// Its display name.
    pub name: String,
    /// Free text.
    pub description: Option<String>,
    /// How it is signed in to.
    pub credentials: Option<Credentials>,
    /// How long a tag is fresh; zero means for ever.
    pub validity: Duration,
    /// How long after that it is served while the upstream fails.
    pub stale_if_error: Duration,
    /// What its 404 means for a tag we hold.
    pub on_not_found: OnNotFound,
    /// What its faults mean for the walk.
    pub on_error: OnError,
    /// Which images may be pulled through it.
    pub rules: Rules,
}

impl UpstreamSettings {
    /// Origin and credential identity.
    pub fn source(&self) -> SourceId {
        let credential = self.credentials.as_ref().map(|credentials| credentials.id).unwrap_or_default();
        SourceId { origin: self.url.origin(), credential }
    }

    /// Whether both ask the same address as the same account: then one of them is of no use.
    pub fn is_twin_of(&self, other: &Self) -> bool {
        self.url.is_same_address(&other.url) && self.source().credential == other.source().credential
    }

    /// An anonymous upstream with every default.
    pub fn new(name: impl Into<String>, url: UpstreamUrl) -> Self {
        Self {
            url,
            name: name.into(),
            description: None,
            credentials: None,
            validity: limits::TAG_VALIDITY_DEFAULT,
            stale_if_error: limits::STALE_IF_ERROR_DEFAULT,
            on_not_found: OnNotFound::default(),
            on_error: OnError::default(),
            rules: Rules::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn api(text: &str, path: &str) -> String {
        text.parse::<UpstreamUrl>().unwrap().api(path).to_string()
    }

    #[test]
    fn one_slash_and_v2_are_dropped_and_a_prefix_is_kept() {
        for (text, kept) in [
            ("https://quay.io", "https://quay.io"),
            ("https://quay.io/", "https://quay.io"),
            ("https://quay.io/v2", "https://quay.io"),
            ("https://quay.io/v2/", "https://quay.io"),
            ("https://host/artifactory/docker/v2/", "https://host/artifactory/docker"),
            // Once would leave an address that is another one when it is read again.
            ("https://host/v2/v2", "https://host"),
            ("https://host//", "https://host"),
            ("http://v2", "http://v2"),
        ] {
            assert_eq!(text.parse::<UpstreamUrl>().unwrap().as_str(), kept);
        }
        assert_eq!(api("http://127.0.0.1:5000", ""), "http://127.0.0.1:5000/v2/");
        assert_eq!(api("https://host/base", "a/manifests/b"), "https://host/base/v2/a/manifests/b");
        assert_eq!(
            api("https://docker.io", "library/x/tags/list"),
            "https://registry-1.docker.io/v2/library/x/tags/list"
        );
    }

    #[test]
    fn a_project_behind_v2_prefixes_names() {
        let url: UpstreamUrl = "https://harbor.example/v2/hub-proxy".parse().unwrap();
        let name = "library/alpine".parse().unwrap();
        assert_eq!(url.repository(&name).unwrap().as_str(), "hub-proxy/library/alpine");
        assert_eq!(url.api("").as_str(), "https://harbor.example/v2/");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "quay.io",
            "ftp://host",
            "https://",
            "https://u:p@host",
            "https://host?x",
            "https://host#x",
            "https://host/v2/Bad",
            // All of these the URL standard reads as https://host/v2.
            "https:host/v2",
            "https:///host/v2",
            "https://host\\v2",
            "https://ho\nst/v2",
            " https://host/v2",
            "https://host/v2 ",
        ] {
            assert!(text.parse::<UpstreamUrl>().is_err(), "{text}");
        }
    }

    /// Addresses as people write them, with what goes wrong at their ends and inside.
    fn nearly_an_address() -> impl Strategy<Value = String> {
        let scheme = prop_oneof![8 => "https?", 1 => "HTTPS", 1 => "(ftp|file|)"];
        let host = prop_oneof![
            6 => "[a-z]{1,4}\\.example|v2|docker\\.io|127\\.0\\.0\\.1|\\[::1\\]|Host",
            1 => "[a-zé@:?#%. \t\n-]{0,6}"
        ];
        let rest = prop_oneof![
            8 => "(:[0-9]{1,5})?(/(v2|base|Bad|a\\.b|v2x|xv2)){0,4}/{0,2}",
            1 => "[/v2.%\\\\ \n?#@]{0,8}"
        ];
        (scheme, "(://|://|://|:|:/)", host, rest)
            .prop_map(|(scheme, colon, host, rest)| scheme + &colon + &host + &rest)
    }

    proptest! {
        /// An address is stored as its text and read back from it: that must be the same address, not another API.
        #[test]
        fn an_address_is_read_back_as_it_was(text in prop_oneof![9 => nearly_an_address(), 1 => "\\PC{0,40}".boxed()]) {
            let Ok(url) = text.parse::<UpstreamUrl>() else { return Ok(()) };
            let again: UpstreamUrl = url.as_str().parse().expect("what is kept parses");
            prop_assert_eq!(&url, &again);
            prop_assert!(!url.as_str().chars().any(|c| c.is_control() || c.is_whitespace()), "{:?}", url);
            let shown = url.api("a/manifests/b");
            prop_assert!(shown.username().is_empty() && shown.password().is_none() && shown.query().is_none());
            prop_assert!(shown.path().ends_with("/v2/a/manifests/b"), "{}", shown);
            // Every path of the API stays at the origin that credentials are for.
            prop_assert_eq!(Origin::of(&shown), url.origin());
        }

        /// A hostless or signed address is none; a repository is asked for by a name of the grammar.
        #[test]
        fn a_repository_of_an_address_is_a_name(text in nearly_an_address(), name in "[a-z]{1,3}(/[a-z]{1,3})?") {
            let Ok(url) = text.parse::<UpstreamUrl>() else { return Ok(()) };
            let name: RepositoryName = name.parse().expect("a name");
            if let Ok(below) = url.repository(&name) {
                prop_assert!(below.as_str().ends_with(name.as_str()));
                prop_assert_eq!(below.as_str().parse::<RepositoryName>(), Ok(below));
            }
        }
    }

    #[test]
    fn twins_are_one_address_for_one_account() {
        let settings = |url: &str, id: Option<u8>| UpstreamSettings {
            credentials: id.map(|id| Credentials {
                username: "u".to_owned(),
                password: SealedSecret { key_id: [id; 8], nonce: [id; 12], ciphertext: vec![id] },
                id: CredentialId([id; 16]),
            }),
            ..UpstreamSettings::new("name", url.parse().unwrap())
        };
        let one = settings("https://docker.io", Some(1));
        assert!(one.is_twin_of(&settings("https://registry-1.docker.io:443/", Some(1))));
        assert!(!one.is_twin_of(&settings("https://docker.io", Some(2))));
        assert!(!one.is_twin_of(&settings("https://docker.io", None)));
        assert!(!one.is_twin_of(&settings("http://docker.io", Some(1))));
        assert!(!one.is_twin_of(&settings("https://docker.io/v2/library", Some(1))));
        assert!(!one.is_twin_of(&settings("https://docker.io/base", Some(1))));
    }

    #[test]
    fn default_port_and_explicit_port_are_one_origin() {
        let origin = |text: &str| text.parse::<UpstreamUrl>().unwrap().origin();
        assert_eq!(origin("https://host"), origin("https://HOST:443/x"));
        assert_ne!(origin("https://host"), origin("http://host"));
    }
}
