use proptest::prelude::*;
use roadstead_loadtest::registry::Authority;

use super::*;

fn host(text: &str) -> ConnectionHost {
    text.parse().unwrap()
}

#[test]
fn hosts_are_compared_as_urls_write_them() {
    for (text, name, ports) in [
        ("registry.internal:5000", "registry.internal", &[5000][..]),
        ("Registry.Internal", "registry.internal", &[443, 80]),
        ("registry.internal:443", "registry.internal", &[443]),
        ("registry.internal:80", "registry.internal", &[80]),
        ("10.0.0.1:8443", "10.0.0.1", &[8443]),
        ("[::1]:5000", "[::1]", &[5000]),
    ] {
        let host = host(text);
        assert_eq!((host.name(), host.ports().collect::<Vec<_>>()), (name, ports.to_vec()), "{text}");
    }
    for text in [
        "",
        "https://a",
        "a/b",
        "a/",
        "user@a",
        "a:port",
        "a b",
        "a?b",
        "a#b",
        ":5000",
        "::1",
        "@a",
        "/a",
        "\\a",
        "a\n",
    ] {
        assert!(text.parse::<ConnectionHost>().is_err(), "{text}");
    }
    assert!(host("a").overlaps(&host("A:443")) && host("a").overlaps(&host("a:80")));
    assert!(!host("a").overlaps(&host("a:5000")) && !host("a:80").overlaps(&host("a:443")));
}

#[test]
fn authorities_are_certificates() {
    let two = Authority::new("one").pem() + "\nsome text between\n" + &Authority::new("two").pem();
    assert_eq!(Certificates::from_pem(two.as_bytes()).unwrap().iter().count(), 2);
    for text in ["", "nothing", "-----BEGIN CERTIFICATE-----\nMIIB", &Authority::new("a").client("b").key] {
        assert_eq!(Certificates::from_pem(text.as_bytes()), Err(PemError::NoCertificate), "{text}");
    }
    let nonsense = section("CERTIFICATE", b"nonsense");
    assert_eq!(Certificates::from_pem(nonsense.as_bytes()), Err(PemError::BadCertificate(1)));
}

#[test]
fn an_identity_is_a_certificate_with_its_own_key() {
    let authority = Authority::new("authority");
    let (one, other) = (authority.client("one"), authority.client("other"));
    let identity = |certificate: &str, key: &str| ClientIdentity::from_pem(certificate.as_bytes(), key.as_bytes());
    let chain = format!("{}{}", one.certificate, authority.pem());
    let good = identity(&chain, &one.key).unwrap();
    assert_eq!(good.to_pem().matches("BEGIN CERTIFICATE").count(), 2);
    assert_eq!(identity(&good.to_pem(), &good.to_pem()).unwrap(), good, "both may stand in one file");
    assert_eq!(identity(&one.certificate, &other.key), Err(PemError::OtherKey));
    assert_eq!(identity(&one.certificate, &one.certificate), Err(PemError::NoKey));
    assert_eq!(identity(&one.key, &one.key), Err(PemError::NoCertificate));
    assert_eq!(identity(&one.certificate, &section("ENCRYPTED PRIVATE KEY", b"x")), Err(PemError::EncryptedKey));
    assert_eq!(identity(&one.certificate, &section("PRIVATE KEY", b"x")), Err(PemError::UnusableKey));
}

#[test]
fn keys_are_not_shown() {
    let signed = Authority::new("a").client("b");
    let identity = ClientIdentity::from_pem(signed.certificate.as_bytes(), signed.key.as_bytes()).unwrap();
    assert_eq!(format!("{identity:?}"), "ClientIdentity");
}

proptest! {
    /// A host is written as it is read, and stands for the URLs that are written like it.
    #[test]
    fn a_host_is_the_one_of_its_urls(
        text in "([a-zA-Z0-9.-]{1,9}|\\[[0-9a-f:]{2,9}\\]|[0-9.]{1,9}|é[a-z]{0,3})(:[0-9]{0,6})?|[a-z@:/?#\\\\ \t\n%]{0,9}",
    ) {
        let Ok(host) = text.parse::<ConnectionHost>() else { return Ok(()) };
        prop_assert_eq!(host.to_string().parse(), Ok(host.clone()), "{:?}", text);
        prop_assert!(!text.contains(['/', '@', '?', '#', '\\', ' ', '\n']), "{:?}", text);
        let url = Url::parse(&format!("https://{text}/v2/")).expect("a URL");
        prop_assert_eq!(url.host_str(), Some(host.name()));
        prop_assert!(host.ports().any(|port| Some(port) == url.port_or_known_default()), "{:?}", text);
        prop_assert!(host.overlaps(&host));
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..99), text in "(-----(BEGIN|END) (CERTIFICATE|PRIVATE KEY|ENCRYPTED PRIVATE KEY)-----|\n|[A-Za-z0-9+/=]{0,9}){0,9}") {
        for pem in [&bytes[..], text.as_bytes()] {
            prop_assert!(Certificates::from_pem(pem).is_err());
            prop_assert!(ClientIdentity::from_pem(pem, pem).is_err());
        }
    }
}
