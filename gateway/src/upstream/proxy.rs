//! The proxies that the environment names, checked before anything is sent.
//!
//! reqwest reads the same variables by the same rules and leaves out, without a word, what it does not understand: requests
//! would then go straight where they must not. Hence a second reading, which refuses.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// What the environment says about proxies. Never the credentials of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// On the way to `https://`.
    pub https: Option<Proxy>,
    /// On the way to `http://`.
    pub http: Option<Proxy>,
    /// Hosts that are reached without one.
    pub except: Option<String>,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    /// Its address, `scheme://host:port`.
    pub address: String,
    /// Its host, as a URL has it and as it was written: `10.1` is an address in the one and a name in the other.
    hosts: [String; 2],
}

/// A variable names something that is no proxy. Its value is not repeated: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment variable {0} does not name a proxy that can be used: write it as http://host:port or \
     https://host:port, with user:password@ before the host if need be, or unset it"
)]
pub struct ProxyError(&'static str);

impl Proxies {
    /// Reads the variables. Upper case comes first, and a variable that is set but empty means "none".
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, ProxyError> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name)?.into_string().ok())))
        };
        let proxy = |names| match first(names) {
            None => Ok(None),
            Some((name, value)) => parse(name, &value.ok_or(ProxyError(name))?),
        };
        let all = proxy(["ALL_PROXY", "all_proxy"])?;
        Ok(Self {
            https: proxy(["HTTPS_PROXY", "https_proxy"])?.or_else(|| all.clone()),
            http: proxy(["HTTP_PROXY", "http_proxy"])?.or(all),
            except: first(["NO_PROXY", "no_proxy"]).and_then(|(_, value)| value).filter(|value| !value.is_empty()),
        })
    }
}

impl Proxies {
    /// The hosts that they are on, in lower case, in each form that the transport may resolve.
    pub(super) fn hosts(&self) -> HashSet<String> {
        let proxies = [&self.https, &self.http].into_iter().flatten();
        proxies.flat_map(|proxy| proxy.hosts.iter().map(|host| host.to_ascii_lowercase())).collect()
    }
}

fn parse(variable: &'static str, text: &str) -> Result<Option<Proxy>, ProxyError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let (understood, written) = understood(text).ok_or(ProxyError(variable))?;
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or(ProxyError(variable))?;
    let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or(ProxyError(variable))?;
    // Two readings of one text that lead to two hosts, or split user and host at another `@`, are none.
    let same = understood.username().is_empty()
        && understood.scheme() == url.scheme()
        && understood.host() == url.host()
        && understood.port_or_known_default() == Some(port);
    let hosts = [host.to_owned(), written];
    let proxy = Proxy { variable, address: format!("{}://{host}:{port}", url.scheme()), hosts };
    same.then_some(Some(proxy)).ok_or(ProxyError(variable))
}

/// The proxy that the transport makes of a value; `None` where it would go without one.
fn understood(text: &str) -> Option<(Url, String)> {
    let matcher = Matcher::builder().all(text).build();
    let found = matcher.intercept(&http::Uri::from_static("http://registry.example/"))?;
    let host = found.uri().host()?.to_owned();
    Some((Url::parse(&found.uri().to_string()).ok()?, host))
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.variable)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::from_environment(|asked| {
            variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn every_form_of_a_proxy_is_read_and_none_shows_its_password() {
        for (value, address) in [
            ("http://proxy.internal:3128", "http://proxy.internal:3128"),
            ("proxy.internal:3128", "http://proxy.internal:3128"),
            ("http://me:hunter2@proxy.internal", "http://proxy.internal:80"),
            ("https://proxy.internal", "https://proxy.internal:443"),
            ("http://[fd00:0::1]:3128", "http://[fd00::1]:3128"),
        ] {
            let proxy = read(&[("HTTPS_PROXY", value)]).unwrap().https.unwrap();
            assert_eq!((proxy.variable, proxy.address.as_str()), ("HTTPS_PROXY", address));
        }
    }

    #[test]
    fn what_reqwest_would_leave_out_is_refused() {
        for value in [
            "socks5://proxy:1080",
            "ftp://proxy",
            "http://",
            "http://me:hunter2@:99999",
            " http://proxy:1",
            "http://me:hunter2@x@proxy",
            "http:///proxy",
            "http:proxy:1",
        ] {
            let error = read(&[("https_proxy", value)]).unwrap_err().to_string();
            assert!(error.contains("https_proxy") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_special_variable_wins_and_an_empty_one_falls_back() {
        let all = ("ALL_PROXY", "http://all:1");
        let read = |variables: &[(&str, &str)]| read(variables).unwrap();
        let both = read(&[all, ("HTTP_PROXY", "http://http:2"), ("http_proxy", "http://lower:3")]);
        assert_eq!(both.https.unwrap().address, "http://all:1");
        assert_eq!(both.http.unwrap().address, "http://http:2");
        assert_eq!(read(&[("HTTPS_PROXY", ""), ("https_proxy", "http://lower:3")]), Proxies::default());
        assert_eq!(read(&[("NO_PROXY", ".internal")]).except.as_deref(), Some(".internal"));
    }

    proptest! {
        /// A proxy that is shown is the one that the transport takes, and where none is shown it takes none. Never a password.
        #[test]
        fn what_is_shown_is_what_is_used(
            value in "((https?|HTTP|socks5|ftp)?:?(//)?)?([a-z]{1,3}(:hunter2[@:/?#%]?)?@)?([a-zA-Z.é-]{1,8}|\\[::1\\]|10\\.0\\.0\\.[0-9])(:[0-9]{0,6})?(/[a-z]{0,3})?[ \t]?|[ -~]{0,20}",
        ) {
            match read(&[("HTTPS_PROXY", &value)]) {
                Err(error) => prop_assert!(!error.to_string().contains("hunter2")),
                Ok(Proxies { https: None, .. }) => prop_assert_eq!(understood(&value), None, "{}", value),
                Ok(Proxies { https: Some(proxy), .. }) => {
                    let (used, _) = understood(&value).expect("a proxy");
                    let shown = Url::parse(&proxy.address).expect("an address");
                    let way = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
                    prop_assert_eq!(way(&used), way(&shown), "{}", value);
                    let told = format!("{proxy} {proxy:?}");
                    prop_assert!(!told.contains("hunter2"));
                }
            }
        }
    }
}
