use std::path::Path;

use super::*;

const NODE: &str = "127.0.0.1:7000";

fn flags() -> Flags {
    Flags { nodes: vec![NODE.parse().unwrap()], shared_directory: Some("blobs".into()), ..Flags::default() }
}

fn resolved(flags: Flags) -> Result<(Settings, Place), PlaceError> {
    resolve(flags, &|_| None)
}

fn refused(flags: Flags) -> String {
    resolved(flags).unwrap_err().to_string()
}

fn with_file(text: &str, flags: Flags) -> Result<(Settings, Place), PlaceError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, text).unwrap();
    let pulls = crate::settings::PullFlags { config: Some(path), ..flags.pulls };
    resolved(Flags { pulls, ..flags })
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let (settings, place) = resolved(flags()).unwrap();
    assert_eq!(settings.data_dir, Path::new(DATA_DIR));
    assert_eq!((place.region, place.peer_listen.to_string()), (RegionId::default_region(), PEER_LISTEN.to_owned()));
    assert!(place.gateway.is_none() && place.identity.is_none() && place.peer_address.is_none());

    let text = "data_dir = 'file'\n[cluster]\nnodes = ['127.0.0.1:1', '[::1]:2']\ngateway_id = 'gw-a'\nregion = 'eu'\n\
                peer_listen = '127.0.0.1:3'\npeer_address = 'localhost:4'\nshared_directory = 'file-blobs'";
    let (settings, place) = with_file(text, Flags::default()).unwrap();
    assert_eq!(settings.data_dir, Path::new("file"));
    let shown = place.to_string();
    for part in ["127.0.0.1:1, [::1]:2", "gw-a", "eu", "127.0.0.1:3", "localhost:4", "file-blobs", "none"] {
        assert!(shown.contains(part), "{shown}");
    }
    let (_, place) = with_file(text, Flags { gateway_id: Some("gw-b".to_owned()), ..flags() }).unwrap();
    assert_eq!(place.nodes, flags().nodes);
    assert_eq!((place.gateway.unwrap().0, place.shared_directory), ("gw-b".to_owned(), flags().shared_directory));
}

#[test]
fn the_example_is_the_defaults() {
    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/gateway.toml");
    let pulls = || crate::settings::PullFlags { config: Some(EXAMPLE.into()), ..Default::default() };
    let ((settings, place), (of_nothing, nowhere)) =
        (resolved(Flags { pulls: pulls(), ..flags() }).unwrap(), resolved(flags()).unwrap());
    // It names the upstreams, which is the one difference; they are the same ones.
    assert_eq!(settings, Settings { upstreams_named: true, ..of_nothing });
    assert_eq!(place.to_string(), nowhere.to_string());
}

#[test]
fn what_cannot_be_is_a_sentence() {
    let every: Option<SocketAddr> = Some("0.0.0.0:7100".parse().unwrap());
    for (flags, part) in [
        (Flags { nodes: Vec::new(), ..flags() }, "no node is named"),
        (Flags { shared_directory: None, ..flags() }, "no bucket is named"),
        (Flags { gateway_id: Some("a b".to_owned()), ..flags() }, "the gateway id `a b` cannot be used"),
        (Flags { region: Some("EU".to_owned()), ..flags() }, "the region `EU` cannot be used"),
        (Flags { peer_listen: every, ..flags() }, "say by --peer-address HOST:PORT"),
        (Flags { peer_address: Some("0.0.0.0:1".parse().unwrap()), ..flags() }, "none that other gateways could call"),
        (
            Flags { peer_listen: Some("127.0.0.1:8080".parse().unwrap()), ..flags() },
            "--peer-listen and --listen are both",
        ),
        (
            Flags { nodes: vec!["node.example:7000".parse().unwrap()], ..flags() },
            "the node node.example:7000 is not on this",
        ),
        (
            Flags { peer_listen: Some("10.0.0.1:7100".parse().unwrap()), ..flags() },
            "--peer-listen 10.0.0.1:7100 is not on",
        ),
        (
            Flags { nodes: vec!["node.example:7000".parse().unwrap()], insecure: true, ..flags() },
            "at 127.0.0.1:7100, which leads each of them to its own machine",
        ),
    ] {
        let told = refused(flags);
        assert!(told.contains(part), "{told}");
    }
    let told = with_file("[storage.s3]\nbucket = 'b'", flags()).unwrap_err().to_string();
    assert!(told.contains("both a bucket in [storage] and --shared-directory"), "{told}");
    let told = with_file("[cluster]\nnodes = ['here']", flags()).unwrap_err().to_string();
    assert!(told.contains("line 2: `here` is not HOST:PORT"), "{told}");
}

#[test]
fn who_says_insecure_goes_without_tls() {
    let open = |insecure| Flags {
        nodes: vec!["node.example:7000".parse().unwrap()],
        peer_listen: Some("0.0.0.0:7100".parse().unwrap()),
        peer_address: Some("gw-a.example:7100".parse().unwrap()),
        insecure,
        ..flags()
    };
    assert!(refused(open(false)).contains("there is no TLS"));
    assert!(resolved(open(true)).is_ok());
}
