//! Leases find their way back to the cluster.

use roadstead_proto::clock::ManualClock;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, ObjectKey};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::lease::Delivered;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{CredentialId, Origin, SourceId, UpstreamSettings};
use roadstead_proto::meta::MetaStore as _;
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::state::command::{Bootstrap, Command};
use tokio::time::Instant;

use super::*;

/// Sessions here never end by themselves, so that a lease that nobody gives back is never another's.
struct Cluster {
    meta: Arc<InMemoryMeta>,
    epoch: Epoch,
}

impl Cluster {
    async fn new() -> Self {
        let meta = Arc::new(InMemoryMeta::new(Arc::new(ManualClock::at(Timestamp(1_000)))));
        let bootstrap = Bootstrap {
            group_path: "default".into(),
            registry_name: "default".into(),
            upstreams: vec![UpstreamSettings::new("one", "https://one".parse().unwrap())],
        };
        meta.propose(Command::Bootstrap(bootstrap)).await.unwrap();
        let configuration = meta.configuration(roadstead_proto::meta::Consistency::Local).await.unwrap();
        Self { meta, epoch: configuration.upstreams[0].epoch }
    }

    fn gateway(&self, name: &str) -> Arc<Session> {
        let registration = Registration::alone(GatewayId(name.into()), RegionId::default_region());
        Arc::new(Session::new(Arc::clone(&self.meta) as Arc<_>, registration))
    }

    async fn asks(&self, gateway: &Arc<Session>) -> Lease {
        gateway.acquire(key(), entry(), self.epoch, None).await.unwrap()
    }

    async fn holds(&self, gateway: &Arc<Session>) -> Held {
        match self.asks(gateway).await {
            Lease::Held(held) => held,
            other => panic!("it should be granted: {other:?}"),
        }
    }

    /// How long a gateway waits for a lease that another one gives back.
    async fn waits(&self, gateway: &Arc<Session>) -> Duration {
        let began = Instant::now();
        while let Lease::Elsewhere(holder) = self.asks(gateway).await {
            gateway.ended(&key(), &holder, Duration::from_secs(5)).await;
            assert!(began.elapsed() < Duration::from_secs(60), "it is never given back");
        }
        began.elapsed()
    }
}

fn digest() -> Digest {
    Digest::sha256(b"a layer")
}

fn key() -> LeaseKey {
    let source =
        SourceId { origin: Origin::from_stored("https://one:443".into()), credential: CredentialId::default() };
    LeaseKey::Fill { region: RegionId::default_region(), source, digest: digest() }
}

fn entry() -> EntryRef {
    EntryRef { upstream: UpstreamId(1), repository: "a".parse().unwrap(), reference: Reference::Digest(digest()) }
}

fn completion(key: LeaseKey, token: FencingToken) -> Completion {
    let delivered = Delivered {
        object: ObjectKey { digest: digest(), token },
        region: RegionId::default_region(),
        size: 7,
        media_type: MediaType::octet_stream(),
        kind: ContentKind::Blob,
        sha1: None,
        children: Vec::new(),
        replaces: None,
        copied: false,
    };
    Completion { key, token, began: Revision(token.0), entry: entry(), delivered: Some(delivered), tag: None }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_could_not_be_given_back_is_given_back_when_that_goes_again() {
    let cluster = Cluster::new().await;
    let (one, other) = (cluster.gateway("one"), cluster.gateway("other"));
    let held = cluster.holds(&one).await;
    cluster.meta.set_outage(true);
    drop(held);
    // Twice in vain.
    tokio::time::sleep(RELEASE_AGAIN * 3 / 2).await;
    cluster.meta.set_outage(false);
    assert!(cluster.waits(&other).await <= RELEASE_AGAIN);
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_result_could_not_be_recorded_is_given_back_when_that_goes_again() {
    let cluster = Cluster::new().await;
    let (one, other) = (cluster.gateway("one"), cluster.gateway("other"));
    let held = cluster.holds(&one).await;
    cluster.meta.set_outage(true);
    assert!(held.complete(completion).await.is_err());
    cluster.meta.set_outage(false);
    assert!(cluster.waits(&other).await <= RELEASE_AGAIN);
}
