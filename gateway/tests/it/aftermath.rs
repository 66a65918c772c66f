//! The edges of an outage of the metadata: each gateway notices by itself when it begins and when it is over, and each thing is
//! still fetched once.

use std::sync::Arc;

use reqwest::{Method, Response};
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Effect, Fault, Kind};

use crate::line::Line;
use crate::world::{Second, World, blob, eventually, read};

/// Blobs enough for each of two gateways to be chosen for some.
const LAYERS: [u64; 6] = [300_000; 6];

/// Two gateways that know of each other, by lines that can be cut.
struct Two {
    world: World,
    one: (Second, Arc<Line>),
    other: (Second, Arc<Line>),
    digests: Vec<String>,
}

impl Two {
    async fn start() -> Self {
        let mut world = World::start().await;
        let lines = [Line::of(&world), Line::of(&world)];
        let one = (world.gateway_over(&lines[0], "one").await, Arc::clone(&lines[0]));
        let other = (world.gateway_over(&lines[1], "other").await, Arc::clone(&lines[1]));
        let image = Image::builder(1).layers(&LAYERS).build();
        world.upstream().push("a", "x", &image);
        let digests = image.layers().iter().map(|layer| layer.digest().to_owned()).collect();
        world.stop().await;
        let two = Self { world, one, other, digests };
        let know = async || {
            two.one.0.counted("roadstead_fleet_gateways", " 2").await
                && two.other.0.counted("roadstead_fleet_gateways", " 2").await
        };
        eventually("the gateways know of each other", know).await;
        two
    }

    async fn is_there(&self, gateway: &Second) -> bool {
        let said = self.world.get_url(&format!("{}/readyz", gateway.base())).await;
        !String::from_utf8_lossy(&said.body).contains("the metadata takes no writes")
    }

    async fn outage_begins(&self) {
        self.world.meta.set_outage(true);
        for gateway in [&self.one.0, &self.other.0] {
            eventually("the outage is noticed", async || !self.is_there(gateway).await).await;
        }
    }

    /// For the other one; this one has not noticed yet.
    async fn outage_ends(&self) {
        self.one.1.is_cut(true);
        self.world.meta.set_outage(false);
        eventually("the other one is back", async || self.is_there(&self.other.0).await).await;
    }

    async fn begin(&self, gateway: &Second) -> Vec<Response> {
        let mut bodies = Vec::new();
        for digest in &self.digests {
            bodies.push(self.world.send(Method::GET, &gateway.url(&blob("a", digest)), &[]).await.unwrap());
        }
        bodies
    }

    async fn arrive(&self, bodies: Vec<Response>) {
        for (body, digest) in bodies.into_iter().zip(&self.digests) {
            assert_eq!(digest_of(&read(body).await.unwrap()), *digest);
        }
    }

    async fn pull(&self, gateway: &Second) {
        let bodies = self.begin(gateway).await;
        self.arrive(bodies).await;
    }

    async fn unrecorded(&self) -> usize {
        let mut unrecorded = 0;
        for digest in &self.digests {
            unrecorded += usize::from(!self.world.is_recorded(digest).await);
        }
        unrecorded
    }

    fn fetched_once(&self) {
        for digest in &self.digests {
            assert_eq!(self.world.upstream().counters().blob_gets(digest), 1, "{digest}");
        }
    }
}

fn hang() -> Fault {
    Fault::new(Effect::Hang { after: 100_000 }).on(Kind::BlobGet)
}

#[tokio::test]
async fn what_was_begun_by_a_lease_is_followed_by_those_who_cannot_hear_of_it() {
    let two = Two::start().await;
    two.world.upstream().set_faults([hang()]);
    let led = two.begin(&two.one.0).await;
    two.outage_begins().await;
    let followed = two.begin(&two.other.0).await;
    two.world.upstream().release();
    two.arrive(led).await;
    two.arrive(followed).await;
    two.fetched_once();
}

#[tokio::test]
async fn what_was_begun_without_a_lease_is_followed_by_those_who_are_granted_one() {
    let two = Two::start().await;
    two.world.upstream().set_faults([hang()]);
    two.outage_begins().await;
    let led = two.begin(&two.one.0).await;
    two.outage_ends().await;
    let followed = two.begin(&two.other.0).await;
    assert!(two.other.1.granted().len() > 0, "some downloads are led without a lease");
    two.world.upstream().release();
    two.arrive(led).await;
    two.arrive(followed).await;
    two.fetched_once();
}

#[tokio::test]
async fn what_waits_to_be_recorded_is_waited_for_by_those_who_are_granted_a_lease() {
    let two = Two::start().await;
    two.outage_begins().await;
    two.pull(&two.one.0).await;
    two.outage_ends().await;
    let known = two.other.1.granted().len();
    let pulled = async { two.pull(&two.other.0).await };
    let line_is_mended = async {
        eventually("the other one is granted a lease", async || two.other.1.granted().len() > known).await;
        assert!(two.unrecorded().await > 0);
        two.one.1.is_cut(false);
    };
    tokio::join!(pulled, line_is_mended);
    two.fetched_once();
    eventually("all is recorded", async || two.unrecorded().await == 0).await;
}

#[tokio::test]
async fn a_download_that_began_without_a_lease_takes_the_lease_when_it_is_to_be_had() {
    let two = Two::start().await;
    two.world.upstream().set_faults([hang()]);
    two.outage_begins().await;
    let bodies = two.begin(&two.one.0).await;
    two.world.meta.set_outage(false);
    let leases = || two.one.1.granted().len() + two.other.1.granted().len();
    eventually("each running download has its lease", async || leases() == LAYERS.len()).await;
    two.world.upstream().release();
    two.arrive(bodies).await;
    eventually("all is recorded", async || two.unrecorded().await == 0).await;
    two.fetched_once();
}
