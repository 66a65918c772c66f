//! What a purge and a change of an upstream void.

use std::time::Duration;

use super::world::*;
use crate::domain::registry::UpstreamId;
use crate::meta::{Consistency, Leases, MetaError, MetaStore};
use crate::state::command::{Command, Recorded, Refusal};

pub(super) async fn a_purge_drops_what_was_on_its_way<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let (key, token) = granted(store, session, &entry).await;
    store.propose(Command::PurgeEntry(entry.clone())).await.expect("purged");
    let late = store.complete(completion(key, token, &entry)).await;
    assert_eq!(late, Ok(Recorded::Outdated));
    assert!(!has_right(store, &entry).await);
    fill(store, session, &entry).await;
    assert!(has_right(store, &entry).await, "what begins after the purge stands");
    store.propose(Command::PurgeEntry(entry.clone())).await.expect("purged");
    assert!(!has_right(store, &entry).await);
}

pub(super) async fn a_change_of_url_voids_everything<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let (key, token) = granted(store, session, &tag(1, "1.0")).await;
    store.complete(manifest_completion(key, token, &tag(1, "1.0"))).await.expect("recorded");
    let before = request(store, session, &blob(1, "library/x")).await;
    let (running_key, running) = granted(store, session, &tag(1, "2.0")).await;
    let moved = Command::UpdateUpstream {
        id: UpstreamId(1),
        settings: settings("a", "https://elsewhere.example"),
        if_updated_at: None,
    };
    store.propose(moved).await.expect("updated");

    assert!(!has_right(store, &blob(1, "library/x")).await);
    let name = "1.0".parse().expect("a tag");
    let repository = "library/x".parse().expect("a name");
    let entry = store.tag_entry(UpstreamId(1), &repository, &name, Consistency::Linearizable).await;
    assert_eq!(entry, Ok(None));
    assert_eq!(store.acquire(before).await, Err(MetaError::Refused(Refusal::EpochChanged)));
    let late = store.complete(manifest_completion(running_key, running, &tag(1, "2.0"))).await;
    assert_eq!(late, Ok(Recorded::Outdated));
}

pub(super) async fn a_change_of_validity_voids_nothing<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    let mut longer = settings("renamed", "https://a.example");
    longer.validity = Duration::from_secs(60);
    store
        .propose(Command::UpdateUpstream { id: UpstreamId(1), settings: longer, if_updated_at: None })
        .await
        .expect("updated");
    assert!(has_right(store, &blob(1, "library/x")).await);
    assert_eq!(upstream(store, 1).await.settings.validity, Duration::from_secs(60));
}
