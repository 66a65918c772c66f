//! What the catalog keeps, and for how long.

use roadstead_proto::clock::ManualClock;
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::domain::upstream::{Upstream, UpstreamSettings};
use roadstead_proto::meta::memory::InMemoryMeta;

use super::*;
use crate::meta::snapshot::SignIn;

const NOW: Timestamp = Timestamp(1_000_000);

fn catalog() -> Catalog {
    let meta = InMemoryMeta::new(Arc::new(ManualClock::at(NOW)));
    Catalog::new(Arc::new(meta), RegionId::default_region())
}

fn view() -> UpstreamView {
    let upstream = Upstream {
        id: UpstreamId(1),
        group: GroupId(1),
        settings: UpstreamSettings::new("first", "http://127.0.0.1:1".parse().unwrap()),
        epoch: Epoch(1),
        created_at: NOW,
        updated_at: NOW,
    };
    UpstreamView { source: upstream.source(), upstream, sign_in: SignIn::Anonymous }
}

#[test]
fn a_flood_of_one_off_names_is_bounded_by_count() {
    let (catalog, view) = (catalog(), view());
    for number in 0..3 * limits::SETBACKS_IN_MEMORY {
        let (repository, reference) = (format!("flood/{number}").parse().unwrap(), "x".parse().unwrap());
        catalog.remember_not_here(&view, &repository, &reference, NotHere::NotFound, NOW);
    }
    catalog.setbacks.run_pending_tasks();
    assert!(catalog.setbacks.entry_count() <= limits::SETBACKS_IN_MEMORY, "{}", catalog.setbacks.entry_count());
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_kept() {
    let (catalog, view) = (catalog(), view());
    let name =
        TagName { scope: Scope::Upstream(UpstreamId(1)), repository: "a".parse().unwrap(), tag: "x".parse().unwrap() };
    let entry = TagEntry {
        digest: Digest::sha256(b"x"),
        checked_at: NOW,
        created_at: NOW,
        updated_at: NOW,
        upstream_etag: None,
        gone_since: None,
        upstream_epoch: view.upstream.epoch,
    };
    let known = KnownTag { upstream: UpstreamId(1), entry, routing: Revision(1) };
    let era = catalog.era();
    catalog.learn_tag(era, &name, known.clone());
    assert!(catalog.known_tag(&name).is_some());
    catalog.forget();
    catalog.learn_tag(era, &name, known);
    assert!(catalog.known_tag(&name).is_none());
}
