//! Three nodes and two gateways.

use super::world::Cluster;
use crate::process::{Roadstead, refused};
use crate::world::TAG;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_and_two_gateways_serve_one_image_downloaded_once() {
    let cluster = Cluster::new().await;
    let first = cluster.found();
    let (second, third) = (cluster.start_node(2), cluster.start_node(3));
    cluster.add(&first, 2, &second);
    cluster.add(&first, 3, &third);

    // Each knows another one; both find the leader.
    let a = Roadstead::start(cluster.gateway("gw-a", &[&second]));
    let b = Roadstead::start(cluster.gateway("gw-b", &[&third, &first]));
    assert!(b.printed_line("  Nodes").contains(&third.address));
    assert!(b.printed_line("  Gateway").contains("gw-b in region default"));
    cluster.world.pull(&a, TAG).await;
    cluster.world.pull(&b, TAG).await;
    for blob in cluster.world.image.blobs() {
        assert_eq!(cluster.world.upstream.counters().blob_gets(blob.digest()), 1);
    }

    let is_whole = |status: &serde_json::Value| {
        let nodes = status["nodes"].as_array().unwrap();
        let gateways = status["gateways"].as_array().map_or(0, Vec::len);
        nodes.len() == 3 && gateways == 2 && nodes.iter().all(|node| node["lag"] == 0 && node["voter"] == true)
    };
    for node in [&first, &second, &third] {
        let status = cluster.status_once(node, is_whole);
        assert_eq!(status["nodes"].as_array().unwrap().iter().filter(|node| node["role"] == "leader").count(), 1);
        let names: Vec<&str> =
            status["gateways"].as_array().unwrap().iter().map(|gateway| gateway["gateway"].as_str().unwrap()).collect();
        assert!(names.contains(&"gw-a") && names.contains(&"gw-b"), "{names:?}");
        assert_eq!(cluster.world.status(&format!("{}/readyz", node.admin_url)).await, 200);
    }
    let table = cluster.ask(&second, &["status"]);
    for part in ["NODE", "leader", "follower", "GATEWAY", "gw-a", "gw-b", &first.address, env!("CARGO_PKG_VERSION")] {
        assert!(table.contains(part), "{part} is missing in\n{table}");
    }
    let metrics = cluster.world.client.get(format!("{}/metrics", first.admin_url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for part in ["roadstead_node_ready 1", "roadstead_node_voters 3", "roadstead_node_has_leader 1"] {
        assert!(metrics.lines().any(|line| line == part), "{part} is missing in\n{metrics}");
    }

    // Whoever goes is missed by nobody: the leader hands over, and what was pulled stays.
    first.process.stop();
    cluster.world.pull(&a, TAG).await;
    a.stop();
    b.stop();
    second.process.stop();
    third.process.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_waits_for_its_nodes_and_says_so() {
    let cluster = Cluster::new().await;
    let node = cluster.start_node(1);
    // The node is there, and in no cluster yet.
    let gateway = Roadstead::spawn(cluster.gateway("gw-a", &[&node]));
    gateway.logged("waiting for the nodes: not ready until one answers");
    cluster.ask(&node, &["init"]);
    let gateway = gateway.until_it_serves();
    cluster.world.pull(&gateway, TAG).await;
    gateway.stop();

    let address = node.address.clone();
    node.process.stop();
    let gateway = Roadstead::spawn(cluster.bare_gateway("gw-a", &[&address]));
    gateway.logged("waiting for the nodes: not ready until one answers");
    let ended = gateway.stop();
    assert!(ended.printed.is_empty() && ended.logged.contains("ended while it waited"), "{}", ended.logged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_another_key_does_not_start() {
    let cluster = Cluster::new().await;
    let node = cluster.found();
    let text = format!(
        "allow_upstream_networks = ['127.0.0.0/8']\n[[upstream]]\nname = 'guarded'\nurl = '{}'\nusername = 'me'\npassword_env = 'GUARDED_PASSWORD'\n",
        cluster.world.upstream.url()
    );
    let file = cluster.world.write("gateway.toml", &text);
    let with_file = |name| {
        let mut command = cluster.bare_gateway(name, &[&node.address]);
        command.args(["--config", &file]).env("GUARDED_PASSWORD", "hunter2");
        command
    };
    Roadstead::start(with_file("gw-a")).stop();

    let mut other = with_file("gw-b");
    other.env("ROADSTEAD_SECRET_KEY", "00".repeat(32));
    let (code, said) = refused(other);
    assert_eq!(code, Some(1), "{said}");
    let told = said.lines().last().unwrap();
    assert!(told.contains("upstream `guarded` cannot be opened with the key of ROADSTEAD_SECRET_KEY"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    node.process.stop();
}
