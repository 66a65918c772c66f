//! A store with something in it, and what a gateway does to it.

use std::time::Duration;

use crate::domain::digest::Digest;
use crate::domain::entry::{ContentKind, Descriptor, EntryRef, ObjectKey};
use crate::domain::epoch::Revision;
use crate::domain::fleet::Registration;
use crate::domain::image::Reference;
use crate::domain::lease::{
    AcquireRequest, Acquired, Completion, Delivered, FencingToken, GatewayId, LeaseKey, SessionId, TagVerdict,
};
use crate::domain::media::MediaType;
use crate::domain::registry::{RegionId, RegistryId, UpstreamId};
use crate::domain::upstream::{Upstream, UpstreamSettings};
use crate::meta::{Consistency, Leases, MetaStore};
use crate::state::command::{Bootstrap, Command, Recorded};
use crate::state::read::{ContentQuery, ContentView};

/// How long a check waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const LAYER: &[u8] = b"layer";

pub(super) fn digest() -> Digest {
    Digest::sha256(LAYER)
}

pub(super) fn region() -> RegionId {
    RegionId::default_region()
}

pub(super) fn settings(name: &str, url: &str) -> UpstreamSettings {
    UpstreamSettings::new(name, url.parse().expect("a valid url"))
}

pub(super) fn two_upstreams() -> Command {
    Command::Bootstrap(Bootstrap {
        group_path: "default".into(),
        registry_name: "default".into(),
        upstreams: vec![settings("a", "https://a.example"), settings("b", "https://b.example")],
    })
}

/// A store with registry 1 and upstreams 1 and 2.
pub(super) async fn prepared<S: MetaStore + Leases>(store: &S) -> SessionId {
    store.propose(two_upstreams()).await.expect("bootstrap");
    session(store, "gateway-1").await
}

pub(super) fn registration(gateway: &str) -> Registration {
    Registration {
        gateway: GatewayId(gateway.into()),
        region: region(),
        address: "127.0.0.1:1".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

pub(super) async fn session<S: Leases>(store: &S, gateway: &str) -> SessionId {
    store.open_session(&registration(gateway)).await.expect("a session")
}

pub(super) async fn upstream<S: MetaStore>(store: &S, id: u64) -> Upstream {
    let configuration = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    configuration.upstreams.into_iter().find(|upstream| upstream.id.0 == id).expect("the upstream")
}

pub(super) fn entry(upstream: u64, repository: &str, reference: Reference) -> EntryRef {
    EntryRef { upstream: UpstreamId(upstream), repository: repository.parse().expect("a name"), reference }
}

pub(super) fn blob(upstream: u64, repository: &str) -> EntryRef {
    entry(upstream, repository, Reference::Digest(digest()))
}

pub(super) fn tag(upstream: u64, name: &str) -> EntryRef {
    entry(upstream, "library/x", Reference::Tag(name.parse().expect("a tag")))
}

pub(super) fn fill_key(upstream: &Upstream) -> LeaseKey {
    LeaseKey::Fill { region: region(), source: upstream.source(), digest: digest() }
}

pub(super) async fn request<S: MetaStore>(store: &S, session: SessionId, entry: &EntryRef) -> AcquireRequest {
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

pub(super) async fn granted<S: MetaStore + Leases>(
    store: &S,
    session: SessionId,
    entry: &EntryRef,
) -> (LeaseKey, FencingToken) {
    let request = request(store, session, entry).await;
    match store.acquire(request.clone()).await.expect("an answer") {
        Acquired::Granted(token) => (request.key, token),
        other => panic!("expected a grant, got {other:?}"),
    }
}

pub(super) fn delivered(token: FencingToken) -> Delivered {
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

pub(super) fn completion(key: LeaseKey, token: FencingToken, entry: &EntryRef) -> Completion {
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
pub(super) async fn fill<S: MetaStore + Leases>(store: &S, session: SessionId, entry: &EntryRef) -> ObjectKey {
    let (key, token) = granted(store, session, entry).await;
    match store.complete(completion(key, token, entry)).await.expect("recorded") {
        Recorded::Live(Some(location)) => location.key,
        other => panic!("expected a live object, got {other:?}"),
    }
}

pub(super) async fn content<S: MetaStore>(store: &S, entry: &EntryRef) -> ContentView {
    let query = ContentQuery {
        upstreams: vec![entry.upstream],
        repository: entry.repository.clone(),
        digest: digest(),
        region: region(),
    };
    store.content(&query, Consistency::Linearizable).await.expect("an answer")
}

pub(super) async fn has_right<S: MetaStore>(store: &S, entry: &EntryRef) -> bool {
    content(store, entry).await.upstreams[0].right.is_some()
}

pub(super) fn manifest_completion(key: LeaseKey, token: FencingToken, entry: &EntryRef) -> Completion {
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
