//! Which addresses may be connected to as upstreams: whoever may name an upstream must not reach what only this machine can.
//!
//! ```text
//!   a request, a redirect, a token realm ──► its host is an address ──► the policy
//!                                        └─► its host is a name ──► resolved for this connection ──► the policy ──► connect
//! ```
//!
//! The address that is connected to is what is judged, each time anew, so that a name that resolves to another address later
//! (DNS rebinding) gains nothing. Through a proxy it is the proxy that resolves names, and its own policy that counts; addresses
//! are still judged here.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::exchange::ExchangeError;

/// Networks that are closed to upstreams unless they are opened, and what they are called. From the IANA registries of special
/// purpose addresses; of several that fit the first names it.
const CLOSED: [(&str, &str); 27] = [
    ("127.0.0.0/8", "loopback"),
    ("::1/128", "loopback"),
    ("169.254.0.0/16", "link-local, where clouds keep their metadata service"),
    ("fe80::/10", "link-local"),
    ("168.63.129.16/32", "the address of Azure's platform service"),
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("fc00::/7", "private"),
    ("fec0::/10", "private"),
    ("100.64.0.0/10", "shared with the provider"),
    ("0.0.0.0/8", "this host"),
    ("::/128", "this host"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "for documentation"),
    ("198.51.100.0/24", "for documentation"),
    ("203.0.113.0/24", "for documentation"),
    ("2001:db8::/32", "for documentation"),
    ("3fff::/20", "for documentation"),
    ("198.18.0.0/15", "for benchmarks"),
    ("224.0.0.0/4", "multicast"),
    ("ff00::/8", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("100::/64", "discarded"),
    // Its addresses have others within at places that only its operator knows.
    ("64:ff9b:1::/48", "translated to inner addresses"),
    ("2001::/32", "a tunnel"),
    ("5f00::/16", "for segment routing"),
];

/// Which addresses upstreams may have: every public one, and what is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    opened: Vec<IpNet>,
}

/// An address that upstreams may not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is closed to upstreams ({what}); whoever runs this gateway can open it: --allow-upstream-network {network}"
)]
pub struct Forbidden {
    /// The address.
    pub address: IpAddr,
    what: &'static str,
    network: IpNet,
}

impl NetworkPolicy {
    /// Public addresses and these.
    pub fn opening(opened: Vec<IpNet>) -> Self {
        Self { opened }
    }

    /// What is opened.
    pub fn opened(&self) -> &[IpNet] {
        &self.opened
    }

    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// Where it may not: why, and how to open it.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        let is_open = |address: IpAddr| self.opened.iter().any(|network| network.contains(&address));
        if is_open(address) {
            return Ok(());
        }
        let within = embedded(address);
        for judged in [Some(address), within].into_iter().flatten().filter(|judged| !is_open(*judged)) {
            if let Some(what) = closed(judged) {
                return Err(Forbidden { address, what, network: judged.into() });
            }
        }
        Ok(())
    }

    /// The same of a URL whose host is an address. A name is judged when it is resolved.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn check_url(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into()),
            Some(Host::Ipv6(address)) => self.check(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

fn closed(address: IpAddr) -> Option<&'static str> {
    static PARSED: LazyLock<Vec<(IpNet, &str)>> = LazyLock::new(|| {
        let parsed =
            |(network, what): &(&str, &'static str)| (network.parse().expect("the table holds networks"), *what);
        CLOSED.iter().map(parsed).collect()
    });
    PARSED.iter().find(|(network, _)| network.contains(&address)).map(|(_, what)| *what)
}

/// The IPv4 address that an IPv6 address leads to, by whichever of the ways of writing one into the other.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = address.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)).into());
    match (first, second, third, fourth, fifth, sixth) {
        // Mapped, compatible, translated (RFC 4291, 6052): the last 32 bits.
        (0, 0, 0, 0, 0, 0 | 0xffff) if address != Ipv6Addr::LOCALHOST && !address.is_unspecified() => {
            of(seventh, eighth)
        }
        (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => of(seventh, eighth),
        // 6to4 (RFC 3056): the 32 bits behind the prefix.
        (0x2002, high, low, _, _, _) => of(high, low),
        _ => None,
    }
}

/// Resolves names for connections, and leaves out what the policy closes.
#[derive(Debug)]
pub(super) struct GuardedResolver {
    pub(super) policy: NetworkPolicy,
    /// The hosts of the environment's proxies, in lower case: the operator's own choice, and no upstream's.
    pub(super) proxies: HashSet<String>,
}

impl GuardedResolver {
    /// Whether a request may be sent there, as far as that can be said before its name is resolved.
    ///
    /// # Errors
    /// Where it may not.
    pub(super) async fn admit(&self, url: &Url) -> Result<(), ExchangeError> {
        self.policy.check_url(url)?;
        match url.host() {
            // Its name is resolved without a check, for those who go through it: for those who go to it, here.
            Some(Host::Domain(host)) if self.proxies.contains(host) => {
                let found = tokio::net::lookup_host((host, 0)).await;
                for address in found.map_err(|error| ExchangeError::Connection(error.to_string()))? {
                    self.policy.check(address.ip())?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let is_proxy = self.proxies.contains(&host.to_ascii_lowercase());
        let policy = if is_proxy { None } else { Some(self.policy.clone()) };
        Box::pin(async move {
            // The connector puts in the port of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let Some(policy) = policy else { return Ok(Box::new(found.into_iter()) as Addrs) };
            Ok(Box::new(allowed(&policy, found)?.into_iter()) as Addrs)
        })
    }
}

/// The addresses that may be connected to, if any: a name with one closed address among others is still a name.
fn allowed(policy: &NetworkPolicy, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let mut forbidden = None;
    let mut open = Vec::with_capacity(found.len());
    for address in found {
        match policy.check(address.ip()) {
            Ok(()) => open.push(address),
            Err(why) => forbidden = Some(why),
        }
    }
    match forbidden {
        Some(why) if open.is_empty() => Err(why),
        _ => Ok(open),
    }
}

/// A resolver that gives nothing away of what is closed.
pub(super) fn resolver(policy: &NetworkPolicy, proxies: HashSet<String>) -> Arc<GuardedResolver> {
    Arc::new(GuardedResolver { policy: policy.clone(), proxies })
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
