//! The first configuration, and what every write keeps.

use super::world::*;
use crate::domain::epoch::Revision;
use crate::domain::principal::{Role, TokenHash};
use crate::domain::registry::{GroupId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::meta::{Consistency, Leases, MetaError, MetaStore};
use crate::state::command::{Command, Outcome, PutToken, Refusal};

pub(super) async fn bootstrap_happens_once<S: MetaStore + Leases>(store: &S) {
    assert_eq!(store.propose(two_upstreams()).await, Ok(Outcome::Bootstrapped { created: true }));
    assert_eq!(store.propose(two_upstreams()).await, Ok(Outcome::Bootstrapped { created: false }));
    let configuration = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    assert_eq!((configuration.groups.len(), configuration.registries.len(), configuration.upstreams.len()), (1, 1, 2));
    let positions: Vec<_> = configuration.links.iter().map(|link| (link.upstream.0, link.position)).collect();
    assert_eq!(positions, [(1, 1), (2, 2)]);
}

pub(super) async fn a_write_is_read_back<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let put = PutToken {
        name: "admin".into(),
        hash: TokenHash::of("rst_secret"),
        group: GroupId(1),
        role: Role::Admin,
        expires_at: Some(Timestamp(9)),
    };
    store.propose(Command::PutToken(put.clone())).await.expect("the token");
    for consistency in [Consistency::Linearizable, Consistency::Local] {
        let configuration = store.configuration(consistency).await.expect("the configuration");
        assert_eq!(configuration.tokens.len(), 1);
        assert_eq!(configuration.tokens[0].hash, put.hash);
        assert_eq!(configuration.tokens[0].expires_at, put.expires_at);
        assert!(configuration.revision > Revision(0));
    }
}

pub(super) async fn a_refused_write_changes_nothing<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let before = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    let refused = store
        .propose(Command::UpdateUpstream {
            id: UpstreamId(9),
            settings: settings("x", "https://x.example"),
            if_updated_at: None,
        })
        .await;
    assert_eq!(refused, Err(MetaError::Refused(Refusal::NoUpstream(UpstreamId(9)))));
    let after = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    assert_eq!((before.upstreams, before.tokens), (after.upstreams, after.tokens));
}
