//! The status of the whole group: what each member says of itself, as this one hears it.

use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use roadstead_proto::meta::Consistency;
use roadstead_proto::rpc;
use roadstead_proto::state::read;
use roadstead_proto::wire::Record;
use roadstead_proto::wire::pb::admin::v1 as pb;
use roadstead_proto::wire::pb::admin::v1::admin_client::AdminClient;
use tokio::time::timeout;

use crate::membership::{ASK_PATIENCE, said};
use crate::{Node, Role};

fn role(role: Role) -> pb::NodeRole {
    match role {
        Role::Waiting => pb::NodeRole::Waiting,
        Role::Learner => pb::NodeRole::Learner,
        Role::Follower => pb::NodeRole::Follower,
        Role::Candidate => pb::NodeRole::Candidate,
        Role::Leader => pb::NodeRole::Leader,
        Role::Stopped => pb::NodeRole::Stopped,
    }
}

impl Node {
    /// What this member says of itself, and of the gateways where it leads.
    pub(crate) async fn own_status(&self) -> pb::StatusResponse {
        let status = self.status();
        let me = pb::NodeStatus {
            node: status.node,
            address: self.membership().address.clone(),
            role: role(status.role).into(),
            voter: status.voters.contains(&status.node),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            last_log: status.last_log,
            committed: status.committed,
            applied: status.applied,
            snapshot: status.snapshot,
            log_bytes: status.log_bytes,
            state_bytes: status.state_bytes,
            error: self.membership().ending.reason().unwrap_or_default(),
        };
        pb::StatusResponse {
            cluster: status.cluster,
            leader: status.leader.unwrap_or(0),
            term: status.term,
            nodes: vec![me],
            fleet: self.meta().fleet().await.map(|fleet| fleet.to_message()),
        }
    }

    /// The status of every member. One that does not answer in time is shown with the reason, and delays nobody.
    pub(crate) async fn group_status(&self) -> pb::StatusResponse {
        let mut all = self.own_status().await;
        let membership = self.group().metrics().borrow_watched().membership_config.membership().clone();
        let others = membership.nodes().filter(|(node, _)| **node != self.membership().id);
        let asked = others.map(|(node, other)| async {
            let answer = self.ask(&other.addr).await;
            (*node, other.addr.clone(), answer)
        });
        for (node, address, answer) in join_all(asked).await {
            let known = answer.and_then(|mut answer| {
                let found = answer.nodes.iter().position(|status| status.node == node);
                let found = found.ok_or_else(|| format!("another node answers at {address}"))?;
                all.fleet = all.fleet.take().or(answer.fleet.take());
                Ok(answer.nodes.swap_remove(found))
            });
            all.nodes.push(known.unwrap_or_else(|error| pb::NodeStatus { node, address, error, ..Default::default() }));
        }
        for status in &mut all.nodes {
            status.voter = membership.voter_ids().any(|voter| voter == status.node);
            // Where the group calls it, whatever it says itself.
            if let Some(known) = membership.get_node(&status.node) {
                status.address.clone_from(&known.addr);
            }
        }
        all.nodes.sort_by_key(|status| status.node);
        all
    }

    async fn ask(&self, address: &str) -> Result<pb::StatusResponse, String> {
        let channel = self.membership().dialer.channel(address, rpc::Role::Node).map_err(|error| error.to_string())?;
        let mut client = AdminClient::new(channel);
        match timeout(ASK_PATIENCE, client.status(pb::StatusRequest { local: true })).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(said(&status)),
            Err(_) => Err(format!("no answer within {ASK_PATIENCE:?}")),
        }
    }
}

impl crate::LocalMeta {
    /// What is known of the gateways, where this member leads.
    pub(crate) async fn fleet(&self) -> Option<roadstead_proto::domain::fleet::Fleet> {
        let term = self.reign()?;
        let open = self.read(Consistency::Local, |view| read::sessions(view.rows())).await.ok()?;
        Some(self.sessions.fleet(term, open, self.clock.now()))
    }
}
