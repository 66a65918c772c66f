//! The nodes as an administrator and a gateway see them.

use std::path::Path;

use roadstead_gateway::meta::GrpcMeta;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::{Dialer, Identity, Role};
use roadstead_proto::wire::pb::admin::v1 as admin;

/// Calls nodes by the certificates in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    admin: Dialer,
    gateway: Dialer,
}

fn identity(folder: &Path, name: &str) -> Identity {
    let read = |file: String| std::fs::read_to_string(folder.join(file)).unwrap();
    Identity {
        authority: read("ca.pem".to_owned()),
        certificate: read(format!("{name}.pem")),
        key: Secret::new(read(format!("{name}.key"))),
    }
}

impl Caller {
    pub(crate) fn new(folder: &Path) -> Self {
        let dialer = |name| Dialer::new(Some(identity(folder, name)));
        Self { admin: dialer("admin"), gateway: dialer("trial") }
    }

    /// What a node says of itself and of whom it follows; `None` where it does not answer.
    pub(crate) async fn status(&self, address: &str) -> Option<admin::StatusResponse> {
        let channel = self.admin.channel(address, Role::Node).unwrap();
        let mut client = admin::admin_client::AdminClient::new(channel);
        let asked = client.status(admin::StatusRequest { local: true });
        let answered = tokio::time::timeout(std::time::Duration::from_millis(500), asked).await;
        answered.ok()?.ok().map(tonic::Response::into_inner)
    }

    /// The metadata, as a gateway that is none of the cluster's own.
    pub(crate) fn meta(&self, nodes: Vec<String>) -> GrpcMeta {
        GrpcMeta::new(nodes, self.gateway.clone())
    }
}
