use proptest::prelude::*;

use super::*;

fn opening(networks: &[&str]) -> NetworkPolicy {
    NetworkPolicy::opening(networks.iter().map(|network| network.parse().unwrap()).collect())
}

fn is_open(policy: &NetworkPolicy, address: &str) -> bool {
    policy.check(address.parse().unwrap()).is_ok()
}

#[test]
fn public_addresses_are_open_and_the_inner_ones_closed() {
    let policy = NetworkPolicy::default();
    for open in ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "192.167.1.1", "100.63.0.1", "2606:4700::1111"] {
        assert!(is_open(&policy, open), "{open}");
    }
    for closed in [
        "127.0.0.1",
        "127.8.9.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
    ] {
        assert!(!is_open(&policy, closed), "{closed}");
    }
}

#[test]
fn an_inner_address_stays_closed_however_it_is_written() {
    let policy = NetworkPolicy::default();
    for closed in [
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::192.168.0.1",
        "64:ff9b:1:a9fe:a9:fe00:808:808",
        "2002:7f00:1::1",
        "2002:a9fe:a9fe::",
    ] {
        assert!(!is_open(&policy, closed), "{closed}");
    }
    for url in
        ["http://0x7f.1/", "http://2130706433/", "http://127.1/", "http://[::ffff:7f00:1]/", "http://017700000001/"]
    {
        assert!(policy.check_url(&url.parse().unwrap()).is_err(), "{url}");
    }
    for open in ["::ffff:1.1.1.1", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
        assert!(is_open(&policy, open), "{open}");
    }
    assert!(
        policy.check_url(&"http://registry.example/".parse().unwrap()).is_ok(),
        "a name is judged when it is resolved"
    );
}

#[test]
fn what_is_opened_is_open_and_nothing_beside_it() {
    let policy = opening(&["127.0.0.0/8", "10.1.0.0/16", "fd00:1::/32"]);
    for open in ["127.0.0.1", "10.1.255.1", "fd00:1::1", "::ffff:10.1.0.1"] {
        assert!(is_open(&policy, open), "{open}");
    }
    for closed in ["10.2.0.1", "192.168.0.1", "169.254.169.254", "fd00:2::1", "::1"] {
        assert!(!is_open(&policy, closed), "{closed}");
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let said = NetworkPolicy::default().check("169.254.169.254".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(
        said,
        "169.254.169.254 is closed to upstreams (link-local, where clouds keep their metadata service); whoever runs this \
         gateway can open it: --allow-upstream-network 169.254.169.254/32"
    );
    let said = NetworkPolicy::default().check("::ffff:10.0.0.1".parse().unwrap()).unwrap_err().to_string();
    assert!(said.contains("--allow-upstream-network 10.0.0.1/32"), "{said}");
}

#[test]
fn of_a_name_with_several_addresses_the_open_ones_are_left() {
    let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
    let policy = NetworkPolicy::default();
    let mixed = vec![address("10.0.0.1"), address("1.1.1.1"), address("::1")];
    assert_eq!(allowed(&policy, mixed).unwrap(), [address("1.1.1.1")]);
    assert!(allowed(&policy, vec![address("10.0.0.1"), address("::1")]).is_err());
    assert!(allowed(&policy, Vec::new()).unwrap().is_empty());
}

proptest! {
    /// Nobody gets in by writing a closed IPv4 address as an IPv6 one.
    #[test]
    fn an_address_is_as_closed_as_the_one_within_it(bits: u32, way in 0..4_usize) {
        let inner = Ipv4Addr::from(bits);
        let [high, low] = [(bits >> 16) as u16, bits as u16];
        let outer = [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        ][way];
        let policy = NetworkPolicy::default();
        prop_assert_eq!(policy.check(inner.into()).is_ok(), policy.check(outer.into()).is_ok());
    }
}
