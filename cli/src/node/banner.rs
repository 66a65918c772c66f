//! What the start of a node prints.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::startup::banner::reachable;
use crate::written::HostPort;

/// Everything a start has to say.
#[derive(Debug)]
pub(crate) struct Banner {
    /// The node's number.
    pub(crate) node: u64,
    /// Where it is called.
    pub(crate) listen: SocketAddr,
    /// How others reach it.
    pub(crate) address: HostPort,
    /// Where metrics and health are.
    pub(crate) admin: SocketAddr,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// Its cluster, where it is in one.
    pub(crate) cluster: Option<String>,
    /// Whether callers are checked.
    pub(crate) tls: bool,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, listen, address, admin, data_dir, cluster, tls } = self;
        writeln!(f, "Roadstead {} listens as node {node}.\n", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  Address  {address}  (listens on {listen}, {})", if *tls { "mutual TLS" } else { "no TLS" })?;
        writeln!(f, "  Cluster  {}", cluster.as_deref().unwrap_or("none yet"))?;
        writeln!(f, "  Metrics  http://{}/metrics", reachable(*admin))?;
        writeln!(f, "  Data     {}", data_dir.display())?;
        if cluster.is_none() {
            writeln!(f, "\nIt waits to be a member. Found a cluster with it:\n")?;
            writeln!(f, "  roadstead cluster init --node {address}")?;
            writeln!(f, "\nor add it to one, by any of its nodes:\n")?;
            writeln!(f, "  roadstead cluster add --node HOST:PORT --id {node} --address {address}")?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banner() -> Banner {
        Banner {
            node: 2,
            listen: "0.0.0.0:7000".parse().unwrap(),
            address: "node-b.example:7000".parse().unwrap(),
            admin: "127.0.0.1:7001".parse().unwrap(),
            data_dir: "/data".into(),
            cluster: Some("3f2a".to_owned()),
            tls: true,
        }
    }

    #[test]
    fn a_member() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
Roadstead {version} listens as node 2.

  Address  node-b.example:7000  (listens on 0.0.0.0:7000, mutual TLS)
  Cluster  3f2a
  Metrics  http://127.0.0.1:7001/metrics
  Data     /data

"
        );
        assert_eq!(banner().to_string(), expected);
    }

    #[test]
    fn one_that_waits_says_what_for() {
        let shown = Banner { cluster: None, tls: false, ..banner() }.to_string();
        for part in [
            "  Cluster  none yet\n",
            "no TLS",
            "  roadstead cluster init --node node-b.example:7000\n",
            "  roadstead cluster add --node HOST:PORT --id 2 --address node-b.example:7000\n",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
    }
}
