//! The processes of a cluster, their certificates, an upstream, a shared directory.

use std::process::Command;

use roadstead_proto::rpc::Role;
use serde_json::Value;

use crate::process::{Roadstead, command};
use crate::tls::Authority;
use crate::world::{TO_LOOPBACK, World};

/// The same on all gateways.
pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// How often something is looked at that is waited for: each look is a process of its own.
const LOOKS: usize = 300;

pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) authority: Authority,
    /// As whom `roadstead cluster` calls.
    admin: [String; 6],
}

/// A node's process, and where it is called.
pub(crate) struct NodeProcess {
    pub(crate) process: Roadstead,
    pub(crate) address: String,
    pub(crate) admin_url: String,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let authority = Authority::new();
        let admin = authority.issue(Role::Admin, "admin");
        Self { world: World::new().await, authority, admin }
    }

    /// `roadstead node`, on this address.
    pub(crate) fn node_command(&self, id: u64, listen: &str) -> Command {
        let (id, name) = (id.to_string(), format!("node-{id}"));
        let mut command = command(&self.world.path(""), &["node", "--node-id", &id, "--data-dir", &name]);
        command.args(["--listen", listen, "--admin-listen", "127.0.0.1:0"]);
        command.args(self.authority.issue(Role::Node, &name));
        command
    }

    /// Starts a node that has not run before.
    pub(crate) fn start_node(&self, id: u64) -> NodeProcess {
        self.start_node_at(id, "127.0.0.1:0")
    }

    /// Starts a node where it was.
    pub(crate) fn start_node_at(&self, id: u64, listen: &str) -> NodeProcess {
        NodeProcess::of(Roadstead::spawn(self.node_command(id, listen)))
    }

    /// A node that founded a cluster.
    pub(crate) fn found(&self) -> NodeProcess {
        let first = self.start_node(1);
        assert!(first.process.printed_line("  roadstead cluster init").ends_with(&first.address));
        let said = self.ask(&first, &["init"]);
        assert!(said.starts_with("Founded cluster "), "{said}");
        first
    }

    /// `roadstead gateway` with these nodes, and nothing said of upstreams.
    pub(crate) fn bare_gateway(&self, name: &str, nodes: &[&str]) -> Command {
        let data = format!("{name}-data");
        let mut command = command(&self.world.path(""), &["gateway", "--gateway-id", name, "--data-dir", &data]);
        command.args(["--shared-directory", "blobs"]);
        for flag in ["--listen", "--admin-listen", "--peer-listen"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        for node in nodes {
            command.args(["--node", node]);
        }
        command.env("ROADSTEAD_SECRET_KEY", KEY).args(self.authority.issue(Role::Gateway, name));
        command
    }

    /// The same with this world's upstream.
    pub(crate) fn gateway(&self, name: &str, nodes: &[&NodeProcess]) -> Command {
        let nodes: Vec<&str> = nodes.iter().map(|node| node.address.as_str()).collect();
        let mut command = self.bare_gateway(name, &nodes);
        command.args(["--upstream", &self.world.upstream_arg()]).args(TO_LOOPBACK);
        command
    }

    /// `roadstead cluster` of a node.
    pub(crate) fn command(&self, node: &str, words: &[&str]) -> Command {
        let mut command = command(&self.world.path(""), &["cluster"]);
        command.args(words).args(["--node", node]).args(&self.admin);
        command
    }

    /// What it prints, where it succeeds.
    pub(crate) fn ask(&self, node: &NodeProcess, words: &[&str]) -> String {
        let output = self.command(&node.address, words).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Adds a started node.
    pub(crate) fn add(&self, by: &NodeProcess, id: u64, new: &NodeProcess) {
        let said = self.ask(by, &["add", "--id", &id.to_string(), "--address", &new.address]);
        assert_eq!(said, format!("Node {id} is a voter now.\n"));
    }

    /// The status as JSON, once it is so.
    pub(crate) fn status_once(&self, node: &NodeProcess, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..LOOKS {
            let output = self.command(&node.address, &["status", "--json"]).output().unwrap();
            if output.status.success() {
                last = serde_json::from_slice(&output.stdout).unwrap();
                if is_so(&last) {
                    return last;
                }
            }
        }
        panic!("the status did not come to be as awaited: {last:#}");
    }
}

impl NodeProcess {
    fn of(process: Roadstead) -> Self {
        let address = process.field("Address");
        let admin_url = process.field("Metrics").strip_suffix("/metrics").unwrap().to_owned();
        Self { process, address, admin_url }
    }
}
