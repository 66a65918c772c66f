//! What the cluster says of itself, as a table and as JSON.

use std::fmt::Write as _;

use roadstead_proto::wire::pb::admin::v1::{NodeRole, NodeStatus, StatusResponse};
use roadstead_proto::wire::pb::meta::v1::FleetMember;
use serde_json::{Value, json};

const NODES: [&str; 9] = ["NODE", "ADDRESS", "ROLE", "VOTER", "APPLIED", "LAG", "LOG", "STATE", "VERSION"];
const GATEWAYS: [&str; 7] = ["GATEWAY", "REGION", "ADDRESS", "VERSION", "FILLS", "REQUESTS", "HEARD"];
/// What is not known.
const UNKNOWN: &str = "-";

/// For people.
pub(super) fn table(status: &StatusResponse) -> String {
    let mut text = String::new();
    let leader = if status.leader == 0 { "no leader is known".to_owned() } else { format!("leader {}", status.leader) };
    if status.cluster.is_empty() {
        text.push_str("In no cluster yet: found one with `roadstead cluster init`, or add this node to one.\n\n");
    } else {
        let _ = writeln!(text, "Cluster {}, term {}, {leader}\n", status.cluster, status.term);
    }
    let end = end_of_log(status);
    text.push_str(&aligned(&NODES, status.nodes.iter().map(|node| node_line(node, end))));
    for node in status.nodes.iter().filter(|node| !node.error.is_empty()) {
        let _ = writeln!(text, "\nNode {}: {}", node.node, shown(&node.error));
    }
    text.push('\n');
    match &status.fleet {
        None => text.push_str("Which gateways there are is known to a leader alone, and none answers.\n"),
        Some(fleet) if fleet.gateways.is_empty() => text.push_str("No gateway is connected.\n"),
        Some(fleet) => text.push_str(&aligned(&GATEWAYS, fleet.gateways.iter().map(gateway_line))),
    }
    text
}

/// The last entry that any node has.
fn end_of_log(status: &StatusResponse) -> Option<u64> {
    status.nodes.iter().filter_map(|node| node.committed.max(node.applied)).max()
}

fn lag(node: &NodeStatus, end: Option<u64>) -> Option<u64> {
    Some(end?.saturating_sub(node.applied?))
}

fn role(node: &NodeStatus) -> &'static str {
    match node.role() {
        NodeRole::Unknown => "unknown",
        NodeRole::Waiting => "waiting",
        NodeRole::Learner => "learner",
        NodeRole::Follower => "follower",
        NodeRole::Candidate => "candidate",
        NodeRole::Leader => "leader",
        NodeRole::Stopped => "stopped",
    }
}

fn node_line(node: &NodeStatus, end: Option<u64>) -> Vec<String> {
    let answered = node.role() != NodeRole::Unknown;
    let known = |text: String| if answered { text } else { UNKNOWN.to_owned() };
    let number = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string());
    vec![
        node.node.to_string(),
        shown(&node.address),
        if answered { role(node).to_owned() } else { "no answer".to_owned() },
        if node.voter { "yes" } else { "no" }.to_owned(),
        number(node.applied),
        number(lag(node, end)),
        known(bytes(node.log_bytes)),
        known(bytes(node.state_bytes)),
        known(shown(&node.version)),
    ]
}

fn gateway_line(gateway: &FleetMember) -> Vec<String> {
    let report = gateway.report.as_ref();
    let number = |number: Option<u64>| number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string());
    let draining = if report.is_some_and(|report| report.draining) { " (draining)" } else { "" };
    vec![
        shown(&gateway.gateway),
        shown(&gateway.region),
        shown(&gateway.address),
        shown(&gateway.version),
        number(report.map(|report| report.fills)),
        number(report.map(|report| report.requests)),
        format!("{} ago{draining}", seconds(gateway.heard_ago_ms)),
    ]
}

/// Text of another process: never with what moves a terminal's cursor.
fn shown(text: &str) -> String {
    if text.is_empty() { UNKNOWN.to_owned() } else { text.replace(char::is_control, "?") }
}

fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// With one digit behind the point; enough to see what is large.
fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        // In tenths, and in a width that has room for them.
        Some((unit, size)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// Columns as wide as what is in them.
fn aligned(head: &[&str], lines: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(lines).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(row, "{cell:<width$}  ");
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// For programs. Names and meanings stay; new ones may come.
pub(super) fn json(status: &StatusResponse) -> String {
    let end = end_of_log(status);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let nodes = status.nodes.iter().map(|node| {
        json!({
            "node": node.node,
            "address": node.address,
            "role": role(node),
            "voter": node.voter,
            "version": text(&node.version),
            "last_log": node.last_log,
            "committed": node.committed,
            "applied": node.applied,
            "lag": lag(node, end),
            "snapshot": node.snapshot,
            "log_bytes": node.log_bytes,
            "state_bytes": node.state_bytes,
            "error": text(&node.error),
        })
    });
    let gateways = status.fleet.as_ref().map(|fleet| {
        let gateways = fleet.gateways.iter().map(|gateway| {
            let report = gateway.report.as_ref();
            json!({
                "gateway": gateway.gateway,
                "region": gateway.region,
                "address": text(&gateway.address),
                "version": text(&gateway.version),
                "draining": report.map(|report| report.draining),
                "fills": report.map(|report| report.fills),
                "requests": report.map(|report| report.requests),
                "heard_ago_ms": gateway.heard_ago_ms,
            })
        });
        gateways.collect::<Vec<Value>>()
    });
    let all = json!({
        "cluster": text(&status.cluster),
        "leader": (status.leader != 0).then_some(status.leader),
        "term": status.term,
        "nodes": nodes.collect::<Vec<Value>>(),
        "gateways": gateways,
    });
    format!("{all:#}\n")
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
