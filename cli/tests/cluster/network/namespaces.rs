//! The network by the kernel: a namespace with an address of its own for each process, all joined by a bridge in the
//! namespace of this process, which it has to itself.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The bridge's own address, and all others of this process: load balancer, object store, upstream.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);
/// How much a slow line lets pass at once.
const BURST: &str = "32kb";
/// How long bytes may wait for a slow line before they are dropped.
const LATENCY: &str = "400ms";

/// All namespaces of a cluster; they end with it.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    places: Mutex<HashMap<String, u8>>,
}

fn run(words: &[&str]) -> Result<(), String> {
    let output = Command::new(words[0]).args(&words[1..]).output().map_err(|error| format!("{}: {error}", words[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn must(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    run(&words).unwrap_or_else(|error| panic!("{error}"));
}

/// Tries something that a kernel may not have, and says so if it has not.
fn may(line: &str, without: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    match run(&words) {
        Ok(()) => true,
        Err(error) => {
            println!("    skipped: {without}: {error}");
            false
        }
    }
}

impl Namespaces {
    pub(super) fn new() -> Self {
        must("ip link set lo up");
        // Another trial of this process may have made it.
        let _ = run(&["ip", "link", "del", "trials"]);
        must("ip link add trials type bridge");
        must(&format!("ip addr add {HUB}/24 dev trials"));
        must("ip link set trials up");
        Self::default()
    }

    fn namespace(number: u8) -> String {
        format!("roadstead-trials-{}-{number}", std::process::id())
    }

    fn number(&self, name: &str) -> u8 {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        *places.get(name).unwrap_or_else(|| panic!("{name} has no place"))
    }

    fn ip(number: u8) -> Ipv4Addr {
        let [first, second, third, _] = HUB.octets();
        Ipv4Addr::new(first, second, third, number)
    }

    /// The address of a process, and what starts it there. The same name is in the same place again.
    pub(super) fn place(&self, name: &str) -> (IpAddr, Vec<String>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let next = 11 + u8::try_from(places.len()).expect("a cluster of a few processes");
        let number = *places.entry(name.to_owned()).or_insert(next);
        let (namespace, ip) = (Self::namespace(number), Self::ip(number));
        if number == next {
            must(&format!("ip netns add {namespace}"));
            must(&format!("ip link add trials{number} type veth peer name eth0 netns {namespace}"));
            must(&format!("ip link set trials{number} master trials up"));
            must(&format!("ip -n {namespace} addr add {ip}/24 dev eth0"));
            must(&format!("ip -n {namespace} link set eth0 up"));
            must(&format!("ip -n {namespace} link set lo up"));
        }
        (ip.into(), ["ip", "netns", "exec", &namespace].map(str::to_owned).to_vec())
    }

    /// Drops, where it arrives, what comes from there.
    pub(super) fn silence(&self, from: &str, to: &str) {
        let (from, to) = (Self::ip(self.number(from)), Self::namespace(self.number(to)));
        must(&format!("ip netns exec {to} iptables -w -A INPUT -s {from} -j DROP"));
    }

    pub(super) fn lose(&self, from: &str, to: &str, percent: u8) -> bool {
        let (from, to) = (Self::ip(self.number(from)), Self::namespace(self.number(to)));
        let rule = format!("-s {from} -m statistic --mode random --probability 0.{percent:02} -j DROP");
        may(&format!("ip netns exec {to} iptables -w -A INPUT {rule}"), "packets lost at random")
    }

    pub(super) fn slow(&self, name: &str, bytes_per_second: u64) -> bool {
        let number = self.number(name);
        let tbf = format!("root tbf rate {}kbit burst {BURST} latency {LATENCY}", bytes_per_second / 125);
        may(&format!("tc -n {} qdisc add dev eth0 {tbf}", Self::namespace(number)), "a slow line")
            && may(&format!("tc qdisc add dev trials{number} {tbf}"), "a slow line")
    }

    pub(super) fn heal(&self) {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for number in places.values() {
            let namespace = Self::namespace(*number);
            must(&format!("ip netns exec {namespace} iptables -w -F INPUT"));
            // There may be none.
            let _ = run(&["tc", "-n", &namespace, "qdisc", "del", "dev", "eth0", "root"]);
            let _ = run(&["tc", "qdisc", "del", "dev", &format!("trials{number}"), "root"]);
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for number in places.values() {
            let _ = run(&["ip", "netns", "del", &Self::namespace(*number)]);
        }
        let _ = run(&["ip", "link", "del", "trials"]);
    }
}
