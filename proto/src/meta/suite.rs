//! Conformance suites: every promise of [`MetaStore`] and [`Leases`] as a check that any implementation must pass.
//!
//! [`run_all`] runs them; `make` gives a fresh, empty store each time, and what has to live as long as it. A failure panics
//! with the check's name.

use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Deref;
use std::time::Duration;

use super::{Consistency, Leases, MetaError, MetaStore, WatchEvent};
use crate::domain::digest::Digest;
use crate::domain::entry::{ContentKind, Descriptor, EntryRef, ObjectKey, TagKey, Touch};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::{RateReading, Registration, Report, SourceStanding, Wait};
use crate::domain::image::Reference;
use crate::domain::lease::{
    AcquireRequest, Acquired, Completion, Delivered, EarnedByHead, FencingToken, GatewayId, LeaseKey, SessionId,
    TagVerdict,
};
use crate::domain::media::MediaType;
use crate::domain::principal::{Role, TokenHash};
use crate::domain::registry::{GroupId, RegionId, RegistryId, UpstreamId};
use crate::domain::time::Timestamp;
use crate::domain::upstream::{Upstream, UpstreamSettings};
use crate::state::command::{Bootstrap, Changed, Command, Outcome, PutToken, Recorded, Refusal};
use crate::state::read::{ContentQuery, ContentView};

/// Runs every check, each on a store of its own.
pub async fn run_all<S, P, K, F>(make: impl Fn() -> F)
where
    S: MetaStore + Leases,
    P: Deref<Target = S>,
    F: Future<Output = (P, K)>,
{
    macro_rules! run {
        ($($check:ident),* $(,)?) => {
            $(
                eprintln!("meta suite: {}", stringify!($check));
                let (store, _kept) = make().await;
                $check(&*store).await;
            )*
        };
    }
    run!(
        bootstrap_happens_once,
        a_write_is_read_back,
        a_refused_write_changes_nothing,
        one_holder_per_key,
        tokens_strictly_increase,
        an_ended_session_frees_its_leases,
        a_new_session_of_a_gateway_ends_the_old_one,
        an_older_token_records_nothing,
        a_completion_records_all_of_it,
        the_second_writer_of_a_digest_learns_of_the_first,
        a_distrusted_object_is_replaced,
        a_copy_says_where_content_lies_and_nothing_else,
        a_copy_takes_a_right_that_is_there,
        a_right_belongs_to_one_repository,
        a_right_by_head_needs_a_delivery_of_the_origin,
        a_purge_drops_what_was_on_its_way,
        a_change_of_url_voids_everything,
        a_change_of_validity_voids_nothing,
        a_tag_that_vanished_is_remembered_as_gone,
        usage_adds_up,
        watchers_hear_every_change_in_order,
        progress_never_overtakes_a_change,
        a_sign_of_life_tells_of_the_fleet,
        standings_are_merged,
        a_wait_ends_with_the_lease,
        a_wait_for_a_lease_that_stays_ends_by_itself,
        what_lies_in_another_region_is_told,
        many_writers_lose_nothing,
    );
}

/// How long a check waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

const LAYER: &[u8] = b"layer";

fn digest() -> Digest {
    Digest::sha256(LAYER)
}

fn region() -> RegionId {
    RegionId::default_region()
}

fn settings(name: &str, url: &str) -> UpstreamSettings {
    UpstreamSettings::new(name, url.parse().expect("a valid url"))
}

fn two_upstreams() -> Command {
    Command::Bootstrap(Bootstrap {
        group_path: "default".into(),
        registry_name: "default".into(),
        upstreams: vec![settings("a", "https://a.example"), settings("b", "https://b.example")],
    })
}

/// A store with registry 1 and upstreams 1 and 2.
async fn prepared<S: MetaStore + Leases>(store: &S) -> SessionId {
    store.propose(two_upstreams()).await.expect("bootstrap");
    session(store, "gateway-1").await
}

fn registration(gateway: &str) -> Registration {
    Registration {
        gateway: GatewayId(gateway.into()),
        region: region(),
        address: "127.0.0.1:1".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

async fn session<S: Leases>(store: &S, gateway: &str) -> SessionId {
    store.open_session(&registration(gateway)).await.expect("a session")
}

async fn upstream<S: MetaStore>(store: &S, id: u64) -> Upstream {
    let configuration = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    configuration.upstreams.into_iter().find(|upstream| upstream.id.0 == id).expect("the upstream")
}

fn entry(upstream: u64, repository: &str, reference: Reference) -> EntryRef {
    EntryRef { upstream: UpstreamId(upstream), repository: repository.parse().expect("a name"), reference }
}

fn blob(upstream: u64, repository: &str) -> EntryRef {
    entry(upstream, repository, Reference::Digest(digest()))
}

fn tag(upstream: u64, name: &str) -> EntryRef {
    entry(upstream, "library/x", Reference::Tag(name.parse().expect("a tag")))
}

fn fill_key(upstream: &Upstream) -> LeaseKey {
    LeaseKey::Fill { region: region(), source: upstream.source(), digest: digest() }
}

async fn request<S: MetaStore>(store: &S, session: SessionId, entry: &EntryRef) -> AcquireRequest {
    let upstream = upstream(store, entry.upstream.0).await;
    let key = match &entry.reference {
        Reference::Digest(_) => fill_key(&upstream),
        Reference::Tag(_) => LeaseKey::Manifest(entry.clone()),
    };
    AcquireRequest {
        session,
        key,
        entry: entry.clone(),
        upstream_epoch: upstream.epoch,
        region: region(),
        distrusts: None,
    }
}

async fn granted<S: MetaStore + Leases>(store: &S, session: SessionId, entry: &EntryRef) -> (LeaseKey, FencingToken) {
    let request = request(store, session, entry).await;
    match store.acquire(request.clone()).await.expect("an answer") {
        Acquired::Granted(token) => (request.key, token),
        other => panic!("expected a grant, got {other:?}"),
    }
}

fn delivered(token: FencingToken) -> Delivered {
    Delivered {
        object: ObjectKey { digest: digest(), token },
        region: region(),
        size: LAYER.len() as u64,
        media_type: MediaType::octet_stream(),
        kind: ContentKind::Blob,
        sha1: Some([7; 20]),
        children: Vec::new(),
        replaces: None,
        copied: false,
    }
}

fn completion(key: LeaseKey, token: FencingToken, entry: &EntryRef) -> Completion {
    Completion {
        key,
        token,
        began: Revision(token.0),
        entry: entry.clone(),
        delivered: Some(delivered(token)),
        tag: None,
    }
}

/// Fills `entry` from its upstream, as a gateway would.
async fn fill<S: MetaStore + Leases>(store: &S, session: SessionId, entry: &EntryRef) -> ObjectKey {
    let (key, token) = granted(store, session, entry).await;
    match store.complete(completion(key, token, entry)).await.expect("recorded") {
        Recorded::Live(Some(location)) => location.key,
        other => panic!("expected a live object, got {other:?}"),
    }
}

async fn content<S: MetaStore>(store: &S, entry: &EntryRef) -> ContentView {
    let query = ContentQuery {
        upstreams: vec![entry.upstream],
        repository: entry.repository.clone(),
        digest: digest(),
        region: region(),
    };
    store.content(&query, Consistency::Linearizable).await.expect("an answer")
}

async fn has_right<S: MetaStore>(store: &S, entry: &EntryRef) -> bool {
    content(store, entry).await.upstreams[0].right.is_some()
}

async fn bootstrap_happens_once<S: MetaStore + Leases>(store: &S) {
    assert_eq!(store.propose(two_upstreams()).await, Ok(Outcome::Bootstrapped { created: true }));
    assert_eq!(store.propose(two_upstreams()).await, Ok(Outcome::Bootstrapped { created: false }));
    let configuration = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    assert_eq!((configuration.groups.len(), configuration.registries.len(), configuration.upstreams.len()), (1, 1, 2));
    let positions: Vec<_> = configuration.links.iter().map(|link| (link.upstream.0, link.position)).collect();
    assert_eq!(positions, [(1, 1), (2, 2)]);
}

async fn a_write_is_read_back<S: MetaStore + Leases>(store: &S) {
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

async fn a_refused_write_changes_nothing<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let before = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    let refused = store
        .propose(Command::UpdateUpstream { id: UpstreamId(9), settings: settings("x", "https://x.example") })
        .await;
    assert_eq!(refused, Err(MetaError::Refused(Refusal::NoUpstream(UpstreamId(9)))));
    let after = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    assert_eq!((before.upstreams, before.tokens), (after.upstreams, after.tokens));
}

async fn one_holder_per_key<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let (key, token) = granted(store, first, &blob(1, "library/x")).await;
    let request = request(store, second, &blob(1, "library/x")).await;
    match store.acquire(request.clone()).await.expect("an answer") {
        Acquired::Held(holder) => {
            assert_eq!((holder.session, holder.token, holder.address.as_str()), (first, token, "127.0.0.1:1"));
        }
        other => panic!("expected a holder, got {other:?}"),
    }
    store.release(&key, token).await.expect("released");
    assert!(matches!(store.acquire(request).await, Ok(Acquired::Granted(_))));
    granted(store, first, &blob(2, "library/x")).await;
}

async fn tokens_strictly_increase<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let mut last = FencingToken(0);
    for _ in 0..5 {
        let (key, token) = granted(store, session, &blob(1, "library/x")).await;
        assert!(token > last);
        last = token;
        store.release(&key, token).await.expect("released");
    }
    let (_, again) = granted(store, session, &blob(1, "library/x")).await;
    let (_, regrant) = granted(store, session, &blob(1, "library/x")).await;
    assert!(again > last && regrant > again, "a holder that asks again is granted anew");
}

async fn an_ended_session_frees_its_leases<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let (key, token) = granted(store, first, &blob(1, "library/x")).await;
    store.keep_alive(first, &Report::default()).await.expect("alive");
    store.close_session(first).await.expect("closed");
    assert_eq!(store.keep_alive(first, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
    let by_the_dead = store.complete(completion(key, token, &blob(1, "library/x"))).await;
    assert_eq!(by_the_dead, Err(MetaError::Refused(Refusal::LeaseLost)));
    granted(store, second, &blob(1, "library/x")).await;
    let request = request(store, first, &blob(1, "library/y")).await;
    assert_eq!(store.acquire(request).await, Err(MetaError::Refused(Refusal::NoSession)));
}

async fn a_new_session_of_a_gateway_ends_the_old_one<S: MetaStore + Leases>(store: &S) {
    let old = prepared(store).await;
    granted(store, old, &blob(1, "library/x")).await;
    let new = session(store, "gateway-1").await;
    assert!(new > old);
    granted(store, new, &blob(1, "library/x")).await;
    assert_eq!(store.keep_alive(old, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
}

async fn an_older_token_records_nothing<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let entry = blob(1, "library/x");
    let (key, old) = granted(store, first, &entry).await;
    store.close_session(first).await.expect("closed");
    let second = session(store, "gateway-2").await;
    let (_, new) = granted(store, second, &entry).await;
    let late = store.complete(completion(key.clone(), old, &entry)).await;
    assert_eq!(late, Err(MetaError::Refused(Refusal::LeaseLost)));
    assert!(content(store, &entry).await.location.is_none());
    store.release(&key, old).await.expect("releasing under an older token does nothing");
    assert!(matches!(store.complete(completion(key, new, &entry)).await, Ok(Recorded::Live(Some(_)))));
}

fn manifest_completion(key: LeaseKey, token: FencingToken, entry: &EntryRef) -> Completion {
    let child = Digest::sha256(b"child");
    let mut delivered = delivered(token);
    delivered.kind = ContentKind::Manifest;
    delivered.media_type = crate::domain::media::OCI_MANIFEST.parse().expect("a media type");
    delivered.children =
        vec![Descriptor { digest: child, size: 5, media_type: MediaType::octet_stream(), kind: ContentKind::Blob }];
    let verdict = TagVerdict::Names {
        digest: digest(),
        upstream_etag: Some("\"etag\"".into()),
        registry: Some(RegistryId(1)),
        not_here: vec![UpstreamId(1)],
        routing: Revision(3),
        age: Duration::ZERO,
    };
    Completion { delivered: Some(delivered), tag: Some(verdict), ..completion(key, token, entry) }
}

async fn a_completion_records_all_of_it<S: MetaStore + Leases>(store: &S) {
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

async fn the_second_writer_of_a_digest_learns_of_the_first<S: MetaStore + Leases>(store: &S) {
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

async fn a_distrusted_object_is_replaced<S: MetaStore + Leases>(store: &S) {
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

async fn a_copy_says_where_content_lies_and_nothing_else<S: MetaStore + Leases>(store: &S) {
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

async fn a_copy_takes_a_right_that_is_there<S: MetaStore + Leases>(store: &S) {
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

async fn a_right_belongs_to_one_repository<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    assert!(has_right(store, &blob(1, "library/x")).await);
    assert!(!has_right(store, &blob(1, "library/y")).await, "another repository of the upstream");
    assert!(!has_right(store, &blob(2, "library/x")).await, "another upstream");
    let asks = request(store, session, &blob(1, "library/y")).await;
    let answer = store.acquire(asks).await.expect("an answer");
    assert!(matches!(answer, Acquired::Granted(_)), "stored bytes are not offered without a right: {answer:?}");
}

async fn a_right_by_head_needs_a_delivery_of_the_origin<S: MetaStore + Leases>(store: &S) {
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

async fn a_purge_drops_what_was_on_its_way<S: MetaStore + Leases>(store: &S) {
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

async fn a_change_of_url_voids_everything<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let (key, token) = granted(store, session, &tag(1, "1.0")).await;
    store.complete(manifest_completion(key, token, &tag(1, "1.0"))).await.expect("recorded");
    let before = request(store, session, &blob(1, "library/x")).await;
    let (running_key, running) = granted(store, session, &tag(1, "2.0")).await;
    let moved = Command::UpdateUpstream { id: UpstreamId(1), settings: settings("a", "https://elsewhere.example") };
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

async fn a_change_of_validity_voids_nothing<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    let mut longer = settings("renamed", "https://a.example");
    longer.validity = Duration::from_secs(60);
    store.propose(Command::UpdateUpstream { id: UpstreamId(1), settings: longer }).await.expect("updated");
    assert!(has_right(store, &blob(1, "library/x")).await);
    assert_eq!(upstream(store, 1).await.settings.validity, Duration::from_secs(60));
}

async fn a_tag_that_vanished_is_remembered_as_gone<S: MetaStore + Leases>(store: &S) {
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

async fn usage_adds_up<S: MetaStore + Leases>(store: &S) {
    prepared(store).await;
    let touch = |downloads, at| Touch { entry: tag(1, "1.0"), downloads, downloaded_at: Timestamp(at) };
    assert_eq!(store.usage(&tag(1, "1.0"), Consistency::Linearizable).await, Ok(None));
    store.propose(Command::RecordUsage(vec![touch(3, 50), touch(1, 40)])).await.expect("recorded");
    store.propose(Command::RecordUsage(vec![touch(1, 60)])).await.expect("recorded");
    let usage = store.usage(&tag(1, "1.0"), Consistency::Linearizable).await.expect("an answer").expect("a row");
    assert_eq!((usage.downloads, usage.downloaded_at), (5, Timestamp(60)));
}

async fn watchers_hear_every_change_in_order<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let start = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let mut early = store.watch(start).await.expect("a watch");
    store.propose(Command::PurgeUpstream(UpstreamId(1))).await.expect("purged");
    store.propose(Command::PurgeEntry(tag(1, "1.0"))).await.expect("purged");
    let mut late = store.watch(start).await.expect("a watch");
    for watch in [&mut early, &mut late] {
        let first = watch.next_change().await.expect("a change");
        let second = watch.next_change().await.expect("a change");
        assert_eq!(first.what, Changed::Configuration);
        assert_eq!(second.what, Changed::Purged(tag(1, "1.0")));
        assert!(start < first.revision && first.revision < second.revision);
        let seen = store.configuration(Consistency::Local).await.expect("the configuration").revision;
        assert!(seen >= second.revision, "a change is announced once it can be read");
    }
}

async fn progress_never_overtakes_a_change<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let start = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let mut watch = store.watch(start).await.expect("a watch");
    for _ in 0..20 {
        store.propose(Command::PurgeEntry(tag(1, "1.0"))).await.expect("purged");
    }
    let end = store.configuration(Consistency::Linearizable).await.expect("the configuration").revision;
    let (mut heard, mut reached) = (Vec::new(), start);
    while reached < end {
        match tokio::time::timeout(PATIENCE, watch.next()).await.expect("progress in time").expect("an event") {
            WatchEvent::Changed(change) => {
                assert!(change.revision > reached, "{change:?} after progress {reached:?}");
                heard.push(change.revision);
            }
            WatchEvent::Progress(revision) => reached = reached.max(revision),
        }
    }
    assert_eq!((heard.len(), heard.last()), (20, Some(&end)), "progress {reached:?} after {heard:?}");
    let mut resumed = store.watch(reached).await.expect("it resumes from progress");
    store.propose(Command::PurgeEntry(tag(1, "2.0"))).await.expect("purged");
    let change = tokio::time::timeout(PATIENCE, resumed.next_change()).await.expect("in time").expect("a change");
    assert_eq!(change.what, Changed::Purged(tag(1, "2.0")), "what was heard is not heard again");
}

async fn a_sign_of_life_tells_of_the_fleet<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let report = Report { draining: true, fills: 3, requests: 5, standings: Vec::new() };
    store.keep_alive(second, &report).await.expect("alive");
    let fleet = store.keep_alive(first, &Report::default()).await.expect("alive");
    assert_eq!(fleet.gateways.iter().map(|member| member.session).collect::<Vec<_>>(), [first, second]);
    assert_eq!(fleet.gateways[0].report, Some(Report::default()));
    assert_eq!(fleet.gateways[1].report, Some(report));
    assert_eq!(fleet.gateways[1].registration, registration("gateway-2"));
    store.close_session(second).await.expect("closed");
    let fleet = store.keep_alive(first, &Report::default()).await.expect("alive");
    assert_eq!(fleet.gateways.iter().map(|member| member.session).collect::<Vec<_>>(), [first]);
}

async fn standings_are_merged<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let source = upstream(store, 1).await.source();
    let standing = |remaining, age, wait: Option<Duration>| {
        let (window, age) = (Duration::from_secs(3600), Duration::from_secs(age));
        let rate = RateReading { limit: Some(100), remaining, window, age };
        let manifests = wait.map(|left| Wait { left, status: 429 });
        SourceStanding { source: source.clone(), counted: None, rate: Some(rate), blobs: None, manifests }
    };
    let wait = Duration::from_secs(600);
    let older = Report { standings: vec![standing(9, 60, Some(wait))], ..Report::default() };
    let newer = Report { standings: vec![standing(7, 1, None)], ..Report::default() };
    store.keep_alive(first, &older).await.expect("alive");
    let fleet = store.keep_alive(second, &newer).await.expect("alive");
    let [known] = &fleet.standings[..] else { panic!("one source, and not {:?}", fleet.standings) };
    assert_eq!(known.source, source);
    assert_eq!(known.rate.as_ref().map(|rate| rate.remaining), Some(7), "the latest reading");
    assert!(
        known.manifests.is_some_and(|known| known.left <= wait && known.left > wait / 2),
        "the longest wait: {known:?}"
    );
}

async fn a_wait_ends_with_the_lease<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let (key, token) = granted(store, session, &entry).await;
    let released = async { store.release(&key, token).await.expect("released") };
    let (waited, ()) = tokio::join!(store.await_release(&key, token, PATIENCE), released);
    assert_eq!(waited, Ok(true), "released");
    assert_eq!(store.await_release(&key, token, PATIENCE).await, Ok(true), "it is over already");

    let (key, token) = granted(store, session, &entry).await;
    let completed = async { store.complete(completion(key.clone(), token, &entry)).await.expect("recorded") };
    let (waited, _) = tokio::join!(store.await_release(&key, token, PATIENCE), completed);
    assert_eq!(waited, Ok(true), "completed");

    let (key, token) = granted(store, session, &blob(2, "library/y")).await;
    let closed = async { store.close_session(session).await.expect("closed") };
    let (waited, ()) = tokio::join!(store.await_release(&key, token, PATIENCE), closed);
    assert_eq!(waited, Ok(true), "its session has ended");
}

async fn a_wait_for_a_lease_that_stays_ends_by_itself<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let (key, token) = granted(store, session, &blob(1, "library/x")).await;
    assert_eq!(store.await_release(&key, token, Duration::from_millis(50)).await, Ok(false));
    let (_, newer) = granted(store, session, &blob(1, "library/x")).await;
    assert_eq!(store.await_release(&key, token, PATIENCE).await, Ok(true), "another grant took its place");
    assert_eq!(store.await_release(&key, newer, Duration::from_millis(50)).await, Ok(false));
}

async fn what_lies_in_another_region_is_told<S: MetaStore + Leases>(store: &S) {
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

async fn many_writers_lose_nothing<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let names: Vec<String> = (0..50).map(|n| format!("library/image-{n}")).collect();
    let requests: Vec<_> = {
        let upstream = upstream(store, 1).await;
        let request = |name: &String| AcquireRequest {
            session,
            key: LeaseKey::Manifest(blob(1, name)),
            entry: blob(1, name),
            upstream_epoch: upstream.epoch,
            region: region(),
            distrusts: None,
        };
        names.iter().map(request).collect()
    };
    let mut pending: Vec<_> = requests.into_iter().map(|request| Box::pin(store.acquire(request))).collect();
    let mut tokens = BTreeSet::new();
    // Polled together, so that the store sees them at once.
    std::future::poll_fn(|context| {
        pending.retain_mut(|acquire| match acquire.as_mut().poll(context) {
            std::task::Poll::Ready(Ok(Acquired::Granted(token))) => {
                tokens.insert(token);
                false
            }
            std::task::Poll::Ready(other) => panic!("expected a grant, got {other:?}"),
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(tokens.len(), names.len(), "every grant has a token of its own");
}
