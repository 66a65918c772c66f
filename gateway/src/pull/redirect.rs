//! Whether a client may be sent to the object store for a blob (pure).
//!
//! It is only ever sent to our own store: an upstream's address, or its token, is never handed out. Whether the bytes
//! are there, and whether the store has URLs for them, is not decided here.

use std::net::IpAddr;

use http::Method;

use crate::config::Redirects;

/// What is asked for, and by whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// Where the request came from, where that is known.
    pub(super) client: Option<IpAddr>,
    /// Bytes of the whole blob, where known. A part of it is asked of the store like the whole.
    pub(super) size: Option<u64>,
}

/// The rules, if this request is to be sent away by them.
pub(super) fn decide<'a>(redirects: Option<&'a Redirects>, asked: Asked<'_>) -> Option<&'a Redirects> {
    let rules = redirects?;
    let within = |client: IpAddr| rules.networks.iter().any(|network| network.contains(&client));
    let large = asked.size.is_some_and(|size| size >= rules.min_size);
    // HEAD is answered here: it costs nothing, and a signed URL is good for one method only.
    (asked.method == Method::GET && large && asked.client.is_some_and(within)).then_some(rules)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules() -> Redirects {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        Redirects { min_size: 1000, networks: networks.to_vec(), expiry: Duration::from_secs(60) }
    }

    fn decided(method: Method, client: &str, size: Option<u64>) -> bool {
        let asked = Asked { method: &method, client: client.parse().ok(), size };
        decide(Some(&rules()), asked).is_some()
    }

    #[test]
    fn large_gets_of_the_named_networks_and_nothing_else() {
        for (client, size, expected) in [
            ("10.1.2.3", Some(1000), true),
            ("fd00::1", Some(5000), true),
            ("10.1.2.3", Some(999), false),
            ("10.1.2.3", None, false),
            ("11.1.2.3", Some(1000), false),
            ("fe80::1", Some(1000), false),
            ("somebody", Some(1000), false),
        ] {
            assert_eq!(decided(Method::GET, client, size), expected, "{client} {size:?}");
            assert!(!decided(Method::HEAD, client, size));
        }
        let asked = Asked { method: &Method::GET, client: "10.1.2.3".parse().ok(), size: Some(5000) };
        assert!(decide(None, asked).is_none());
    }
}
