//! Nodes come and go.

use std::os::unix::fs::PermissionsExt as _;

use super::world::Cluster;
use crate::process::{Roadstead, command, refused};
use crate::world::TAG;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_removed_and_another_takes_its_place() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let (second, third) = (cluster.start_node(2), cluster.start_node(3));
    cluster.add(&first, 2, &second);
    cluster.add(&second, 3, &third);
    let gateway = Roadstead::start(cluster.gateway("gw-a", &[&first, &second, &third]));
    cluster.world.pull(&gateway, TAG).await;

    third.process.kill();
    let status = cluster.status_once(&second, |status| status["nodes"][2]["role"] == "unknown");
    assert!(status["nodes"][2]["error"].is_string(), "{status:#}");
    assert!(cluster.ask(&second, &["status"]).contains("no answer"));
    assert!(cluster.ask(&second, &["remove", "--id", "3"]).starts_with("Node 3 is no member any more."));
    let fourth = cluster.start_node(4);
    let output = cluster.command(&first.address, &["add", "--id", "4", "--address", &fourth.address]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"Node 4 is a voter now.\n");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("adding node 4 at "));
    let members = |status: &serde_json::Value| {
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node["node"].as_u64().unwrap()).eq([1, 2, 4])
            && nodes.iter().all(|node| node["voter"] == true && node["lag"] == 0)
    };
    cluster.status_once(&fourth, members);

    // The leadership goes where it is wanted, and the gateway follows.
    assert_eq!(cluster.ask(&second, &["transfer", "--to", "4"]), "Node 4 leads now.\n");
    cluster.status_once(&first, |status| status["leader"] == 4);
    cluster.world.pull(&gateway, TAG).await;

    // A node that was away goes on where it was.
    let address = second.address.clone();
    second.process.stop();
    let second = cluster.start_node_at(2, &address);
    assert!(!second.process.printed_line("  Cluster").ends_with("none yet"));
    cluster.status_once(&second, |status| status["leader"] == 4 && members(status));
    gateway.stop();
    for node in [first, second, fourth] {
        node.process.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_has_no_vote() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let second = cluster.start_node(2);
    let said = cluster.ask(&first, &["add", "--id", "2", "--address", &second.address, "--learner"]);
    assert_eq!(said, "Node 2 is a learner now.\n");
    let status = cluster.status_once(&second, |status| status["nodes"][1]["role"] == "learner");
    assert_eq!((&status["nodes"][0]["voter"], &status["nodes"][1]["voter"]), (&true.into(), &false.into()));
    second.process.stop();
    first.process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_a_file_of_its_owner_alone() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let gateway = Roadstead::start(cluster.gateway("gw-a", &[&first]));
    cluster.world.pull(&gateway, TAG).await;
    let said = cluster.ask(&first, &["snapshot", "--out", "metadata.snapshot"]);
    let path = cluster.world.path("metadata.snapshot");
    let metadata = std::fs::metadata(&path).unwrap();
    assert!(said.starts_with(&format!("Wrote {} bytes to metadata.snapshot.", metadata.len())), "{said}");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(!cluster.world.path("metadata.snapshot.part").exists());

    // A second one takes its place, and one that cannot be written leaves it alone.
    cluster.ask(&first, &["snapshot", "--out", "metadata.snapshot"]);
    let before = std::fs::read(&path).unwrap();
    gateway.stop();
    let address = first.address.clone();
    first.process.stop();
    let refused = cluster.command(&address, &["snapshot", "--out", "metadata.snapshot"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_leaders_and_by_local_the_asked_nodes_own() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let (second, third) = (cluster.start_node(2), cluster.start_node(3));
    cluster.add(&first, 2, &second);
    cluster.add(&first, 3, &third);
    let gateway = Roadstead::start(cluster.gateway("gw-a", &[&first]));
    cluster.world.pull(&gateway, TAG).await;
    cluster.world.until_recorded(&gateway).await;
    gateway.stop();
    let caught_up = |status: &serde_json::Value| {
        status["leader"] == 1 && status["nodes"].as_array().unwrap().iter().all(|node| node["lag"] == 0)
    };
    cluster.status_once(&second, caught_up);
    let read = |name: &str| std::fs::read(cluster.world.path(name)).ok();
    cluster.ask(&second, &["snapshot", "--out", "led"]);
    cluster.ask(&second, &["snapshot", "--out", "own", "--local"]);
    assert!(read("led").is_some_and(|led| led.len() > 1_000) && read("led") == read("own"));

    // Cut off from the others it cannot know whether it has everything.
    first.process.kill();
    third.process.kill();
    let refused = cluster.command(&second.address, &["snapshot", "--out", "cut-off"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && read("cut-off").is_none(), "{told}");
    assert!(told.contains("by `local`, this node gives what it has"), "{told}");
    cluster.ask(&second, &["snapshot", "--out", "cut-off", "--local"]);
    assert!(read("cut-off") == read("own"));
    second.process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_cluster_begins_with_what_a_snapshot_holds() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let address = first.address.clone();
    let gateway = Roadstead::start(cluster.gateway("gw-a", &[&first]));
    cluster.world.pull(&gateway, TAG).await;
    cluster.world.until_recorded(&gateway).await;
    cluster.ask(&first, &["snapshot", "--out", "metadata.snapshot"]);
    let old = cluster.status_once(&first, |status| status["leader"] == 1);
    first.process.kill();
    std::fs::remove_dir_all(cluster.world.path("node-1")).unwrap();

    let restore = |data_dir: &str| {
        let args = ["cluster", "restore", "--snapshot", "metadata.snapshot", "--node-id", "1", "--address", &address];
        let mut command = command(&cluster.world.path(""), &args);
        command.args(["--data-dir", data_dir]);
        command
    };
    let restored = restore("node-1").output().unwrap();
    let said = String::from_utf8(restored.stdout).unwrap();
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    assert!(said.starts_with("Made node-1, of cluster ") && said.contains("with node 1 as its only member"), "{said}");
    let (code, told) = refused(restore("node-1"));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("node-1 is not empty"), "{told}");

    // The gateway finds the new cluster where the old one was, and what was pulled is known without asking anybody.
    let first = cluster.start_node_at(1, &address);
    let new = cluster.status_once(&first, |status| status["gateways"].as_array().is_some_and(|all| all.len() == 1));
    assert_ne!(new["cluster"], old["cluster"]);
    let asked = cluster.world.upstream.counters().total();
    gateway.stop();
    let gateway = Roadstead::start(cluster.gateway("gw-b", &[&first]));
    cluster.world.pull(&gateway, TAG).await;
    assert_eq!(cluster.world.upstream.counters().total(), asked);
    let second = cluster.start_node(2);
    cluster.add(&first, 2, &second);
    gateway.stop();
    second.process.stop();
    first.process.stop();
}

#[test]
fn what_is_no_snapshot_makes_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "not a snapshot").unwrap();
    for name in ["file", "absent"] {
        let args = [
            "cluster",
            "restore",
            "--snapshot",
            name,
            "--node-id",
            "1",
            "--address",
            "a.example:1",
            "--data-dir",
            "data",
        ];
        let (code, told) = refused(command(directory.path(), &args));
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("the snapshot cannot be used: ") && told.contains(name), "{told}");
        assert!(!directory.path().join("data").exists());
    }
}
