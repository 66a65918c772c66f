//! Init, add, remove, transfer.

use std::time::Duration;

use roadstead_proto::wire::pb::admin::v1::{
    AddNodeRequest, InitRequest, NodeRole, RemoveNodeRequest, StatusResponse, TransferLeaderRequest,
};
use tokio::time::{MissedTickBehavior, interval};

use super::call::{Admin, CHANGE, CallError};
use super::progress;
use crate::written::HostPort;

/// A new node may have to receive a snapshot of everything; the leader gives up before this.
const ADD: Duration = Duration::from_secs(20 * 60);
/// How often it is asked how far a new node is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Founds a cluster.
pub(super) async fn init(admin: &Admin) -> Result<String, CallError> {
    let mut client = admin.client()?;
    let founded = admin.answer("found a cluster", CHANGE, client.init(InitRequest {})).await?;
    let node = admin.node();
    Ok(format!(
        "Founded cluster {}, with the node at {node} as its only member.\n\n\
         Next, start two more nodes, and add each of them:\n\n  \
         roadstead cluster add --node {node} --id 2 --address HOST:PORT\n",
        founded.cluster
    ))
}

/// Adds a node, and says how far it is.
pub(super) async fn add(admin: &Admin, node: u64, address: &HostPort, voter: bool) -> Result<String, CallError> {
    let request = AddNodeRequest { node, address: address.to_string(), voter };
    let (mut adding, mut client) = (admin.client()?, admin.client()?);
    let added = admin.answer("add the node", ADD, adding.add_node(request));
    tokio::pin!(added);
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    progress(format_args!("adding node {node} at {address}"));
    loop {
        let look = async {
            looks.tick().await;
            // What cannot be seen now may be seen the next time; the call itself says what went wrong.
            client.status(roadstead_proto::wire::pb::admin::v1::StatusRequest { local: false }).await
        };
        tokio::select! {
            added = &mut added => {
                added?;
                break;
            }
            seen = look => {
                let stage = seen.ok().and_then(|seen| stage(seen.get_ref(), node)).filter(|stage| *stage != told);
                if let Some(stage) = stage {
                    progress(format_args!("node {node}: {stage}"));
                    told = stage;
                }
            }
        }
    }
    Ok(if voter { format!("Node {node} is a voter now.\n") } else { format!("Node {node} is a learner now.\n") })
}

/// How far a node is that is being added.
fn stage(seen: &StatusResponse, node: u64) -> Option<String> {
    let status = seen.nodes.iter().find(|status| status.node == node)?;
    if !status.error.is_empty() {
        return Some(format!("no answer: {}", status.error));
    }
    if status.voter {
        return Some("promoted to voter".to_owned());
    }
    match status.role() {
        NodeRole::Learner => {
            let whole = seen.nodes.iter().filter_map(|other| other.committed).max().unwrap_or(0);
            Some(format!("learner, catching up: {} of {whole} entries", status.applied.unwrap_or(0)))
        }
        _ => None,
    }
}

/// Removes a node.
pub(super) async fn remove(admin: &Admin, node: u64) -> Result<String, CallError> {
    let mut client = admin.client()?;
    admin.answer("remove the node", CHANGE, client.remove_node(RemoveNodeRequest { node })).await?;
    Ok(format!(
        "Node {node} is no member any more. Stop it, and do not use its data directory again; a node that takes its place \
         gets a number of its own.\n"
    ))
}

/// Lets another node lead.
pub(super) async fn transfer(admin: &Admin, to: Option<u64>) -> Result<String, CallError> {
    let mut client = admin.client()?;
    let request = TransferLeaderRequest { to: to.unwrap_or(0) };
    let answer = admin.answer("hand the leadership over", CHANGE, client.transfer_leader(request)).await?;
    Ok(format!("Node {} leads now.\n", answer.leader))
}

#[cfg(test)]
mod tests {
    use roadstead_proto::wire::pb::admin::v1::NodeStatus;

    use super::*;

    #[test]
    fn a_new_node_is_told_of_step_by_step() {
        let at = |status: NodeStatus| {
            let leader = NodeStatus { node: 1, committed: Some(900), ..NodeStatus::default() };
            stage(&StatusResponse { nodes: vec![leader, status], ..StatusResponse::default() }, 2)
        };
        let new = NodeStatus { node: 2, role: NodeRole::Learner.into(), applied: Some(7), ..NodeStatus::default() };
        assert_eq!(at(new.clone()).unwrap(), "learner, catching up: 7 of 900 entries");
        assert_eq!(at(NodeStatus { voter: true, ..new.clone() }).unwrap(), "promoted to voter");
        assert_eq!(at(NodeStatus { error: "refused".to_owned(), ..new.clone() }).unwrap(), "no answer: refused");
        assert_eq!(at(NodeStatus { node: 3, ..new }), None);
    }
}
