//! What a completion records, and whose right it is.

use super::world::*;
use crate::domain::digest::Digest;
use crate::domain::entry::{ContentKind, EntryRef, TagKey, Touch};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::image::Reference;
use crate::domain::lease::{Acquired, Completion, Delivered, EarnedByHead, LeaseKey, SessionId, TagVerdict};
use crate::domain::media::MediaType;
use crate::domain::registry::{RegionId, RegistryId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::meta::{Consistency, Leases, MetaError, MetaStore};
use crate::state::command::{Command, Outcome, Recorded, Refusal};
use crate::state::read::ContentQuery;

pub(super) async fn a_completion_records_all_of_it<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = tag(2, "1.0");
    let (key, token) = granted(store, session, &entry).await;
    store.complete(manifest_completion(key.clone(), token, &entry)).await.expect("recorded");

    let Reference::Tag(name) = &entry.reference else { unreachable!("made from a tag") };
    let tag_key = TagKey { registry: RegistryId(1), repository: entry.repository.clone(), tag: name.clone() };
    let view = store.tag(&tag_key, Consistency::Linearizable).await.expect("an answer");
    let route = view.route.expect("a route");
    assert_eq!((route.upstream, route.not_here, route.routing), (UpstreamId(2), vec![UpstreamId(1)], Revision(3)));
    assert_eq!(view.entry.as_ref().map(|entry| entry.digest), Some(digest()));
    let direct =
        store.tag_entry(UpstreamId(2), &entry.repository, name, Consistency::Linearizable).await.expect("an answer");
    assert_eq!(direct, view.entry);

    // Where the client named the upstream itself there was no walk, and no registry's route may come of it.
    let unrouted = tag(2, "unrouted");
    let (unrouted_key, unrouted_token) = granted(store, session, &unrouted).await;
    let mut completion = manifest_completion(unrouted_key, unrouted_token, &unrouted);
    if let Some(TagVerdict::Names { registry, .. }) = &mut completion.tag {
        *registry = None;
    }
    store.complete(completion).await.expect("recorded");
    let Reference::Tag(name) = &unrouted.reference else { unreachable!("made from a tag") };
    let tag_key = TagKey { registry: RegistryId(1), repository: unrouted.repository.clone(), tag: name.clone() };
    assert_eq!(store.tag(&tag_key, Consistency::Linearizable).await.expect("an answer").route, None);
    let direct = store.tag_entry(UpstreamId(2), &unrouted.repository, name, Consistency::Linearizable).await;
    assert_eq!(direct.expect("an answer").map(|entry| entry.digest), Some(digest()));

    let manifest = content(store, &blob(2, "library/x")).await;
    assert_eq!(manifest.location.expect("a location").key.token, token);
    let right = manifest.upstreams[0].right.clone().expect("a right");
    assert_eq!((right.kind, right.sha1, right.size), (ContentKind::Manifest, Some([7; 20]), LAYER.len() as u64));
    let child = ContentQuery {
        upstreams: vec![UpstreamId(1), UpstreamId(2)],
        repository: entry.repository.clone(),
        digest: Digest::sha256(b"child"),
        region: region(),
    };
    let child = store.content(&child, Consistency::Linearizable).await.expect("an answer");
    assert!(child.upstreams[0].descriptor.is_none());
    assert_eq!(child.upstreams[1].descriptor.as_ref().map(|descriptor| descriptor.size), Some(5));
    assert!(child.upstreams[1].right.is_none(), "a manifest's reference gives no right");
    let lease_is_gone = store.complete(manifest_completion(key, token, &entry)).await;
    assert_eq!(lease_is_gone, Err(MetaError::Refused(Refusal::LeaseLost)));
}

pub(super) async fn the_second_writer_of_a_digest_learns_of_the_first<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let first = fill(store, session, &blob(1, "library/x")).await;
    let second = fill(store, session, &blob(2, "library/x")).await;
    assert_eq!(first, second, "the first object lives on, the second writer is told so");
    let again = request(store, session, &blob(1, "library/x")).await;
    match store.acquire(again).await.expect("an answer") {
        Acquired::Stored { location, right } => assert_eq!((location.key, right.size), (first, LAYER.len() as u64)),
        other => panic!("expected stored, got {other:?}"),
    }
}

pub(super) async fn a_distrusted_object_is_replaced<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let damaged = fill(store, session, &entry).await;
    let mut request = request(store, session, &entry).await;
    request.distrusts = Some(damaged.token);
    let Ok(Acquired::Granted(token)) = store.acquire(request.clone()).await else { panic!("expected a grant") };
    let mut heals = completion(request.key, token, &entry);
    heals.delivered.as_mut().expect("delivered").replaces = Some(damaged.token);
    match store.complete(heals).await.expect("recorded") {
        Recorded::Live(Some(location)) => assert_eq!(location.key.token, token),
        other => panic!("expected a live object, got {other:?}"),
    }
}

/// The fill of `entry` into the bucket of another region.
fn elsewhere(key: LeaseKey) -> LeaseKey {
    match key {
        LeaseKey::Fill { source, digest, .. } => {
            LeaseKey::Fill { region: "elsewhere".parse().expect("a region"), source, digest }
        }
        other => other,
    }
}

async fn copy_elsewhere<S: MetaStore + Leases>(
    store: &S,
    session: SessionId,
    entry: &EntryRef,
) -> Result<Recorded, MetaError> {
    let mut asks = request(store, session, entry).await;
    (asks.key, asks.region) = (elsewhere(asks.key), "elsewhere".parse().expect("a region"));
    let (key, region) = (asks.key.clone(), asks.region.clone());
    let Acquired::Granted(token) = store.acquire(asks).await? else { panic!("it does not lie there yet") };
    let copied = Delivered { region, copied: true, sha1: None, ..delivered(token) };
    store.complete(Completion { delivered: Some(copied), ..completion(key, token, entry) }).await
}

pub(super) async fn a_copy_says_where_content_lies_and_nothing_else<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let here = fill(store, session, &entry).await;
    let before = content(store, &entry).await;
    assert_eq!(before.elsewhere, [], "where it lies here, nobody asks where else");
    let copied = copy_elsewhere(store, session, &entry).await;
    let Ok(Recorded::Live(Some(there))) = copied else { panic!("recorded, and not {copied:?}") };
    assert_ne!(there.key, here);
    let after = content(store, &entry).await;
    assert_eq!((after.location, after.upstreams), (before.location, before.upstreams), "the right stays as it was");
    let from = async |region: &str| {
        let (upstreams, repository) = (vec![entry.upstream], entry.repository.clone());
        let region = region.parse().expect("a region");
        let query = ContentQuery { upstreams, repository, digest: digest(), region };
        store.content(&query, Consistency::Linearizable).await.expect("an answer")
    };
    assert_eq!(from("elsewhere").await.location, Some(there));
    let third = from("third").await;
    let places: Vec<_> = third.elsewhere.iter().map(|(region, there)| (region.as_str(), there.key)).collect();
    assert_eq!(places, [("default", here), ("elsewhere", there.key)]);
    assert!(third.upstreams[0].right.is_some(), "the right is that of every region");
}

pub(super) async fn a_copy_takes_a_right_that_is_there<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    for without in [blob(1, "library/y"), blob(2, "library/x")] {
        assert_eq!(copy_elsewhere(store, session, &without).await, Ok(Recorded::Outdated), "{without:?}");
        assert!(!has_right(store, &without).await);
    }
    let entry = blob(1, "library/x");
    store.propose(Command::PurgeEntry(entry.clone())).await.expect("purged");
    assert_eq!(copy_elsewhere(store, session, &entry).await, Ok(Recorded::Outdated), "it was purged");
}

pub(super) async fn a_right_belongs_to_one_repository<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    assert!(has_right(store, &blob(1, "library/x")).await);
    assert!(!has_right(store, &blob(1, "library/y")).await, "another repository of the upstream");
    assert!(!has_right(store, &blob(2, "library/x")).await, "another upstream");
    let asks = request(store, session, &blob(1, "library/y")).await;
    let answer = store.acquire(asks).await.expect("an answer");
    assert!(matches!(answer, Acquired::Granted(_)), "stored bytes are not offered without a right: {answer:?}");
}

pub(super) async fn a_right_by_head_needs_a_delivery_of_the_origin<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let earn = async |entry: EntryRef, epoch: Epoch, began: Revision| {
        let command = Command::EarnRight(EarnedByHead {
            entry,
            upstream_epoch: epoch,
            began,
            region: region(),
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
        });
        store.propose(command).await
    };
    let epoch = upstream(store, 1).await.epoch;
    let now = content(store, &blob(1, "library/y")).await.revision;
    let early = earn(blob(1, "library/y"), epoch, now).await;
    assert_eq!(early, Err(MetaError::Refused(Refusal::NotDelivered)), "nothing is stored yet");
    fill(store, session, &blob(1, "library/x")).await;
    let foreign = earn(blob(2, "library/y"), upstream(store, 2).await.epoch, now).await;
    assert_eq!(foreign, Err(MetaError::Refused(Refusal::NotDelivered)), "another origin delivered it");
    let outdated = earn(blob(1, "library/y"), Epoch(epoch.0 + 1), now).await;
    assert_eq!(outdated, Err(MetaError::Refused(Refusal::EpochChanged)));
    assert_eq!(earn(blob(1, "library/y"), epoch, now).await, Ok(Outcome::Done));
    assert!(has_right(store, &blob(1, "library/y")).await);
}

pub(super) async fn a_tag_that_vanished_is_remembered_as_gone<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = tag(1, "1.0");
    let (key, token) = granted(store, session, &entry).await;
    store.complete(manifest_completion(key, token, &entry)).await.expect("recorded");
    let (key, token) = granted(store, session, &entry).await;
    let gone = Completion { delivered: None, tag: Some(TagVerdict::Gone), ..completion(key, token, &entry) };
    assert_eq!(store.complete(gone).await, Ok(Recorded::Live(None)));
    let Reference::Tag(name) = &entry.reference else { unreachable!("made from a tag") };
    let kept = store.tag_entry(UpstreamId(1), &entry.repository, name, Consistency::Linearizable).await;
    let kept = kept.expect("an answer").expect("an entry");
    assert_eq!(kept.digest, digest());
    assert!(kept.gone_since.is_some());
}

pub(super) async fn usage_adds_up<S: MetaStore + Leases>(store: &S) {
    prepared(store).await;
    let touch = |downloads, at| Touch { entry: tag(1, "1.0"), downloads, downloaded_at: Timestamp(at) };
    assert_eq!(store.usage(&tag(1, "1.0"), Consistency::Linearizable).await, Ok(None));
    store.propose(Command::RecordUsage(vec![touch(3, 50), touch(1, 40)])).await.expect("recorded");
    store.propose(Command::RecordUsage(vec![touch(1, 60)])).await.expect("recorded");
    let usage = store.usage(&tag(1, "1.0"), Consistency::Linearizable).await.expect("an answer").expect("a row");
    assert_eq!((usage.downloads, usage.downloaded_at), (5, Timestamp(60)));
}

pub(super) async fn what_lies_in_another_region_is_told<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let key = fill(store, session, &entry).await;
    let from = async |region: RegionId| {
        let query = ContentQuery {
            upstreams: vec![entry.upstream],
            repository: entry.repository.clone(),
            digest: digest(),
            region,
        };
        store.content(&query, Consistency::Linearizable).await.expect("an answer")
    };
    let there = from("elsewhere".parse().expect("a region")).await;
    assert!(there.location.is_none());
    let [(found, location)] = &there.elsewhere[..] else { panic!("one region, and not {:?}", there.elsewhere) };
    assert_eq!((found, &location.key), (&region(), &key));
    let here = from(region()).await;
    assert_eq!(here.location.map(|location| location.key), Some(key));
    assert_eq!(here.elsewhere, [], "it is here");
}
