//! The edges of an outage of the metadata: each gateway notices by itself when it begins and when it is over, and each thing is
//! still fetched once.

use std::sync::Arc;

use reqwest::{Method, Response};
use roadstead_gateway::Components;
use roadstead_gateway::config::Config;
use roadstead_gateway::telemetry::Telemetry;
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

    async fn outage_begins(&self) {
        self.world.meta.set_outage(true);
        for gateway in [&self.one.0, &self.other.0] {
            eventually("the outage is noticed", async || !is_there(&self.world, gateway).await).await;
        }
    }

    /// For the other one; this one has not noticed yet.
    async fn outage_ends(&self) {
        self.one.1.is_cut(true);
        self.world.meta.set_outage(false);
        eventually("the other one is back", async || is_there(&self.world, &self.other.0).await).await;
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

async fn is_there(world: &World, gateway: &Second) -> bool {
    let said = world.get_url(&format!("{}/readyz", gateway.base())).await;
    !String::from_utf8_lossy(&said.body).contains("the metadata takes no writes")
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
    assert!(!two.other.1.granted().is_empty(), "some downloads are led without a lease");
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

/// A gateway alone in an outage, and one that knows nothing of that, to be started.
struct Lonely {
    world: World,
    one: Second,
    line: Arc<Line>,
    digest: String,
    other: (Config, Components),
}

impl Lonely {
    async fn start() -> Self {
        let mut world = World::start().await;
        let line = Line::of(&world);
        let one = world.gateway_over(&line, "one").await;
        let image = Image::builder(1).layers(&[3_000_000]).build();
        world.upstream().push("a", "x", &image);
        let other = world.parts("other", Telemetry::new().unwrap());
        world.stop().await;
        eventually("it is alone", async || one.counted("roadstead_fleet_gateways", " 1").await).await;
        world.meta.set_outage(true);
        eventually("it notices the outage", async || !is_there(&world, &one).await).await;
        let digest = image.layers()[0].digest().to_owned();
        Self { world, one, line, digest, other }
    }
}

#[tokio::test]
async fn a_lease_that_is_granted_when_the_download_has_failed_is_given_back() {
    let Lonely { world, one, line, digest, other } = Lonely::start().await;
    let corrupt = Fault::new(Effect::Corrupt { at: 2_000_000 }).on(Kind::BlobGet);
    world.upstream().set_faults([hang(), corrupt]);
    let path = blob("a", &digest);
    let body = world.send(Method::GET, &one.url(&path), &[]).await.unwrap();
    line.is_slow(true);
    world.meta.set_outage(false);
    eventually("the lease is granted", async || line.granted().len() == 1).await;
    world.upstream().release();
    assert!(read(body).await.is_err());
    line.is_slow(false);
    world.upstream().set_faults([]);
    let other = Second::start("other", other.0, other.1).await;
    let body = world.send(Method::GET, &other.url(&path), &[]).await.unwrap();
    assert_eq!(digest_of(&read(body).await.unwrap()), digest);
    world.settle(&digest).await;
}

#[tokio::test]
async fn one_that_loses_the_lease_again_follows_whoever_has_it() {
    let Lonely { world, one, line, digest, other } = Lonely::start().await;
    world.upstream().set_faults([hang()]);
    let path = blob("a", &digest);
    let first = world.send(Method::GET, &one.url(&path), &[]).await.unwrap();
    world.meta.set_outage(false);
    eventually("the lease is granted", async || line.granted().len() == 1).await;
    let other = Second::start("other", other.0, other.1).await;
    line.is_silent(true);
    world.meta.lose("one").await.unwrap();
    let second = world.send(Method::GET, &other.url(&path), &[]).await.unwrap();
    eventually("the other one leads", async || world.upstream().counters().blob_gets(&digest) == 2).await;
    line.is_silent(false);
    eventually("the loss is noticed", async || one.counted("roadstead_fills_total", "lease_lost").await).await;
    world.upstream().release();
    for body in [first, second] {
        assert_eq!(digest_of(&read(body).await.unwrap()), digest);
    }
    let bytes = world.upstream().counters().bytes_of(&digest);
    assert!(bytes < 3_500_000, "{bytes} of 3,000,000 bytes");
}

#[tokio::test]
async fn whoever_is_chosen_and_sees_another_at_work_follows_it_for_nobody() {
    let mut world = World::start().await;
    let image = Image::builder(1).layers(&[300_000; 12]).build();
    world.upstream().push("a", "x", &image);
    let mut gateways = Vec::new();
    for name in ["leads", "second", "third", "fourth", "comes"] {
        gateways.push(world.gateway_called(name).await);
    }
    world.stop().await;
    for gateway in &gateways {
        eventually("they know of each other", async || gateway.counted("roadstead_fleet_gateways", " 5").await).await;
    }
    world.upstream().set_faults([hang()]);
    let mut bodies = Vec::new();
    for layer in image.layers() {
        bodies.push(world.send(Method::GET, &gateways[0].url(&blob("a", layer.digest())), &[]).await.unwrap());
    }
    world.meta.set_outage(true);
    for gateway in &gateways {
        eventually("the outage is noticed", async || !is_there(&world, gateway).await).await;
    }
    for layer in image.layers() {
        bodies.push(world.send(Method::GET, &gateways[4].url(&blob("a", layer.digest())), &[]).await.unwrap());
    }
    world.upstream().release();
    for body in bodies {
        read(body).await.unwrap();
    }
    // Whoever follows hears at the same time what became of the bytes.
    let whole = async || gateways[4].counted("roadstead_fills_followed_total", "ended\"} 12").await;
    eventually("the one that came has followed to the end", whole).await;
    for gateway in &gateways[1..4] {
        assert!(!gateway.counted("roadstead_fills_followed_total", "ended").await);
    }
    for layer in image.layers() {
        assert_eq!(world.upstream().counters().blob_gets(layer.digest()), 1);
    }
}
