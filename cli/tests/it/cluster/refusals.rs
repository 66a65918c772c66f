//! What is refused, and with which words.

use roadstead_proto::rpc::Role;

use super::world::Cluster;
use crate::process::{command, refused};
use crate::tls::Authority;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_administrator_is_not_let_in() {
    let cluster = Cluster::new().await;
    let node = cluster.found();
    let status = |tls: &[String]| {
        let mut command = command(&cluster.world.path(""), &["cluster", "status", "--node", &node.address]);
        command.args(tls);
        refused(command)
    };
    // Every certificate is looked at before anybody is called; a node's own would be let in, and is refused as well.
    let (code, said) = status(&cluster.authority.issue(Role::Gateway, "gw-a"));
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("gw-a.pem does not prove the role admin"), "{said}");
    let (code, said) = status(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot show the cluster: ") && said.contains("if it uses TLS, name --tls-ca"), "{said}");
    let (code, said) = status(&Authority::new().issue(Role::Admin, "stranger"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&node.address), "{said}");
    let (code, said) = status(&cluster.authority.issue(Role::Admin, "admin")[..4]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("--tls-key is missing"), "{said}");
    node.process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_refuses_what_makes_no_sense() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let waiting = cluster.start_node(2);
    for (node, words, part) in [
        (&first, &["init"][..], "already"),
        (&first, &["remove", "--id", "9"], "the cluster has no node 9"),
        (&first, &["remove", "--id", "1"], "last"),
        (&first, &["transfer", "--to", "9"], "9"),
        (&first, &["add", "--id", "3", "--address", "127.0.0.1:1"], "127.0.0.1:1"),
        (&first, &["add", "--id", "3", "--address", &waiting.address], "node 2"),
        (&waiting, &["remove", "--id", "1"], "in no cluster yet"),
    ] {
        let (code, said) = refused(cluster.command(&node.address, words));
        assert_eq!(code, Some(1), "{words:?}: {said}");
        let told = said.lines().last().unwrap();
        assert!(told.starts_with("roadstead: cannot ") && told.contains(part), "{words:?}: {said}");
        assert!(told.contains(&node.address), "{words:?}: {said}");
    }
    let (code, said) = refused(cluster.command("127.0.0.1:1", &["status"]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot show the cluster: no node was reached at 127.0.0.1:1"), "{said}");
    waiting.process.stop();
    first.process.stop();
}

#[test]
fn bad_settings_are_refused_before_anything_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (node, gateway) = (authority.issue(Role::Node, "node"), authority.issue(Role::Gateway, "gw"));
    let mixed = [&node[..4], &gateway[4..]].concat();
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (words, part) in [
        (own(&["node"]), "has no number"),
        (own(&["node", "--node-id", "1", "--listen", "0.0.0.0:0"]), "say by --address HOST:PORT"),
        (own(&["node", "--node-id", "1", "--listen", "0.0.0.0:0", "--address", "a.example:1"]), "and there is no TLS"),
        ([own(&["node", "--node-id", "1"]), gateway.to_vec()].concat(), "does not prove the role node"),
        ([own(&["node", "--node-id", "1"]), mixed].concat(), "are no pair"),
        (own(&["gateway", "--shared-directory", "b"]), "no node is named"),
        (own(&["gateway", "--node", "127.0.0.1:1"]), "no bucket is named"),
        (own(&["gateway", "--node", "a.example:1", "--shared-directory", "b"]), "and there is no TLS"),
        (own(&["gateway", "--node", "a.example"]), "`a.example` is not HOST:PORT"),
        (own(&["cluster", "status", "--node", "1"]), "`1` is not HOST:PORT"),
        (own(&["cluster", "add", "--id", "0", "--address", "a:1"]), "--id"),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, said) = refused(command(directory.path(), &words));
        assert_eq!(code, Some(64), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_gateway_without_the_shared_key_does_not_make_one_up() {
    let directory = tempfile::tempdir().unwrap();
    let args = ["gateway", "--node", "127.0.0.1:1", "--shared-directory", "b", "--data-dir", "data"];
    let mut command = command(directory.path(), &args);
    for flag in ["--listen", "--admin-listen", "--peer-listen"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no secret key: all gateways of a cluster have the same one"), "{said}");
    assert!(!directory.path().join("data/secret-key").exists());
}
