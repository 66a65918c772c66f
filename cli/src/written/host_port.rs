//! Where somebody can be called: a name or an address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest name that DNS knows.
const NAME_MAX: usize = 253;
/// The longest part of it.
const LABEL_MAX: usize = 63;

/// `host:port`: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port that is not 0.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HostPort {
    host: String,
    port: u16,
}

/// The text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST:PORT; write it as node-a.example:7000, 10.0.0.1:7000 or [fd00::1]:7000")]
pub(crate) struct HostPortError(String);

impl HostPort {
    /// Whether only this machine is meant.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Whether nobody can be called there, because every address is meant.
    pub(crate) fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let error = || HostPortError(text.chars().take(NAME_MAX).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(error)?;
        let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or_else(error)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let valid = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        if valid { Ok(Self { host: host.to_owned(), port }) } else { Err(error()) }
    }
}

/// A DNS name or an IPv4 address: what looks like an address and is none is no name either.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let is_address = || host.parse::<std::net::Ipv4Addr>().is_ok();
    host.len() <= NAME_MAX && host.split('.').all(is_label) && (!numeric || is_address())
}

impl From<SocketAddr> for HostPort {
    /// An address that somebody listens on; its port is a real one.
    fn from(address: SocketAddr) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self { host, port: address.port() }
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, HostPortError> {
        text.parse()
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9_-]{1,6}(\\.[a-z0-9-]{0,6}){0,3}",
            any::<[u8; 4]>().prop_map(|ip| std::net::Ipv4Addr::from(ip).to_string()),
            any::<u128>().prop_map(|ip| format!("[{}]", Ipv6Addr::from(ip))),
            any::<u128>().prop_map(|ip| Ipv6Addr::from(ip).to_string()),
            "[a-z:/@\\[\\] .]{0,8}",
        ]
    }

    proptest! {
        /// What is taken is what a URL takes for the same host and port, and is shown as it was written.
        #[test]
        fn it_is_an_authority_without_more(host in host(), port in "0{0,2}[0-9]{0,6}") {
            let text = format!("{host}:{port}");
            let Ok(read) = text.parse::<HostPort>() else { return Ok(()) };
            let authority: tonic::transport::Uri = format!("http://{text}").parse().unwrap();
            prop_assert_eq!(authority.host(), Some(&*host));
            prop_assert_eq!(u32::from(read.port), port.parse::<u32>().unwrap());
            prop_assert_eq!(authority.path(), "/");
            prop_assert_eq!(read.to_string().parse::<HostPort>(), Ok(read));
        }

        /// Wherever somebody listens, he can be called.
        #[test]
        fn listeners_can_be_called(ip in any::<IpAddr>(), port in 1_u16..) {
            let address = HostPort::from(SocketAddr::new(ip, port));
            prop_assert_eq!(address.to_string().parse(), Ok(address.clone()), "{}", address);
            prop_assert_eq!(address.is_unspecified(), ip.is_unspecified());
            prop_assert_eq!(address.is_loopback(), ip.to_canonical().is_loopback());
        }

        #[test]
        fn any_text_has_an_answer(text in "\\PC{0,30}") {
            let _ = text.parse::<HostPort>();
        }
    }

    #[test]
    fn reads_what_people_write() {
        for text in ["a:1", "localhost:7000", "node-a.example:65535", "10.0.0.1:7000", "[::1]:7000", "a_b.svc:7000"] {
            assert_eq!(text.parse::<HostPort>().map(|address| address.to_string()), Ok(text.to_owned()), "{text}");
        }
        for text in [
            "",
            ":",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a:+1",
            "a b:1",
            "http://a:1",
            "a:1/",
            "::1:7000",
            "[::1]",
            "1.2.3:1",
            "256.0.0.1:1",
            "-a:1",
            "a..b:1",
            "user@a:1",
            "[a]:1",
        ] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
        let loopback = |text: &str| text.parse::<HostPort>().unwrap().is_loopback();
        assert!(loopback("127.0.0.1:1") && loopback("[::1]:1") && loopback("localhost:1") && !loopback("10.0.0.1:1"));
    }
}
