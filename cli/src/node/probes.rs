//! What a node says of itself over HTTP: `/livez`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::response::Response;
use http::StatusCode;
use opentelemetry::metrics::{Gauge, Meter};
use roadstead_gateway::server::{Answer, Received};
use roadstead_gateway::telemetry::Telemetry;
use roadstead_node::{Node, Role, Status};

use crate::startup::probes::{alive, plain};

/// Answers for one node.
#[derive(Clone)]
pub(crate) struct Probes(Arc<Inner>);

struct Inner {
    node: Arc<Node>,
    ending: AtomicBool,
    telemetry: Telemetry,
    gauges: Gauges,
}

impl Probes {
    pub(crate) fn new(node: Arc<Node>, telemetry: Telemetry) -> Self {
        let gauges = Gauges::new(&telemetry.meter());
        Self(Arc::new(Inner { node, ending: AtomicBool::new(false), telemetry, gauges }))
    }

    /// From now on not ready.
    pub(crate) fn end(&self) {
        self.0.ending.store(true, Ordering::SeqCst);
    }

    async fn ready(&self) -> Result<(), &'static str> {
        if self.0.ending.load(Ordering::SeqCst) {
            return Err("ending");
        }
        let status = self.0.node.status();
        if status.role == Role::Waiting {
            return Err(
                "in no cluster yet: `roadstead cluster init` founds one, `roadstead cluster add` adds this node to one",
            );
        }
        if status.leader.is_none() {
            return Err("no leader is known");
        }
        // What is not so now is not waited for.
        match tokio::time::timeout(Duration::ZERO, self.0.node.ready()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("stopped; the log says why"),
            Err(_) => Err("catching up"),
        }
    }

    async fn metrics(&self) -> Response {
        self.0.gauges.set(&self.0.node.status(), self.ready().await.is_ok());
        match self.0.telemetry.render() {
            Ok(body) => plain(StatusCode::OK, body),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }
}

impl Answer for Probes {
    async fn answer(&self, request: Received) -> Response {
        match request.head.uri.path() {
            "/livez" => alive(),
            "/readyz" => match self.ready().await {
                Ok(()) => plain(StatusCode::OK, "ready\n"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            "/metrics" => self.metrics().await,
            _ => plain(StatusCode::NOT_FOUND, "here are /livez, /readyz and /metrics\n"),
        }
    }
}

/// A node's status as numbers, taken whenever somebody looks.
struct Gauges {
    ready: Gauge<u64>,
    leads: Gauge<u64>,
    has_leader: Gauge<u64>,
    voters: Gauge<u64>,
    term: Gauge<u64>,
    last_log: Gauge<u64>,
    committed: Gauge<u64>,
    applied: Gauge<u64>,
    unsynced: Gauge<u64>,
    snapshot: Gauge<u64>,
    log_entries: Gauge<u64>,
    log_bytes: Gauge<u64>,
    state_bytes: Gauge<u64>,
}

impl Gauges {
    fn new(meter: &Meter) -> Self {
        let gauge = |name: &'static str, help: &'static str| meter.u64_gauge(name).with_description(help).build();
        Self {
            ready: gauge("roadstead_node_ready", "Whether this node answers by the state of its cluster"),
            leads: gauge("roadstead_node_leads", "Whether this node leads"),
            has_leader: gauge("roadstead_node_has_leader", "Whether this node knows of a leader"),
            voters: gauge("roadstead_node_voters", "Voters of the cluster, as this node knows them"),
            term: gauge("roadstead_node_term", "Raft term"),
            last_log: gauge("roadstead_node_last_log_index", "Last entry of the raft log"),
            committed: gauge("roadstead_node_committed_index", "Last entry that is known to be committed"),
            applied: gauge("roadstead_node_applied_index", "Last entry that was applied"),
            unsynced: gauge("roadstead_node_unsynced_entries", "Entries that would be applied again after a crash"),
            snapshot: gauge("roadstead_node_snapshot_index", "Last entry of the snapshot"),
            log_entries: gauge("roadstead_node_log_entries", "Entries in the raft log"),
            log_bytes: gauge("roadstead_node_log_bytes", "Size of the log file"),
            state_bytes: gauge("roadstead_node_state_bytes", "Size of the state file"),
        }
    }

    fn set(&self, status: &Status, is_ready: bool) {
        let set = |gauge: &Gauge<u64>, value: u64| gauge.record(value, &[]);
        set(&self.ready, is_ready.into());
        set(&self.leads, (status.role == Role::Leader).into());
        set(&self.has_leader, status.leader.is_some().into());
        set(&self.voters, status.voters.len() as u64);
        set(&self.term, status.term);
        set(&self.last_log, status.last_log.unwrap_or(0));
        set(&self.committed, status.committed.unwrap_or(0));
        set(&self.applied, status.applied.unwrap_or(0));
        set(&self.unsynced, status.unsynced);
        set(&self.snapshot, status.snapshot.unwrap_or(0));
        set(&self.log_entries, status.log_entries);
        set(&self.log_bytes, status.log_bytes);
        set(&self.state_bytes, status.state_bytes);
    }
}
