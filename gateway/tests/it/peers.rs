//! Several gateways, one download: whoever leads it is followed, outlived and replaced.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::{Blob, Image};
use roadstead_loadtest::registry::{Effect, Fault, Kind};
use roadstead_proto::domain::limits;

use crate::line::Line;
use crate::world::{Second, World, blob, eventually, manifest, read};

const SIZE: u64 = 3_000_000;

fn hang(after: u64) -> Fault {
    Fault::new(Effect::Hang { after }).on(Kind::BlobGet)
}

/// An upstream with one layer, whose first download stands still after a million bytes.
async fn halfway() -> (World, Image) {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[SIZE]).build();
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([hang(1_000_000).times(1)]);
    (world, image)
}

fn layer(image: &Image) -> &Blob {
    &image.layers()[0]
}

/// A pull through another gateway, its headers here and its body still to come.
async fn begin_at(world: &World, gateway: &Second, path: &str) -> reqwest::Response {
    world.send(Method::GET, &gateway.url(path), &[]).await.unwrap()
}

/// Reads so many bytes of a body.
async fn read_some(response: &mut reqwest::Response, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        got.extend_from_slice(&response.chunk().await.unwrap().expect("more of it"));
    }
    got
}

async fn read_rest(mut response: reqwest::Response, mut got: Vec<u8>) -> Vec<u8> {
    while let Some(piece) = response.chunk().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    got
}

#[tokio::test]
async fn three_gateways_are_one_download() {
    let (world, image) = halfway().await;
    let (second, third) = (world.gateway_called("second").await, world.gateway_called("third").await);
    let path = blob("a", layer(&image).digest());
    let mut bodies = Vec::new();
    for _ in 0..8 {
        bodies.push(world.begin(&path).await);
        bodies.push(begin_at(&world, &second, &path).await);
        bodies.push(begin_at(&world, &third, &path).await);
    }
    // Bytes stream at all of them before the end is here.
    let mut first = begin_at(&world, &third, &path).await;
    let begun = read_some(&mut first, 500_000).await;
    world.upstream().release();
    for body in bodies {
        assert_eq!(digest_of(&read(body).await.unwrap()), layer(&image).digest());
    }
    assert_eq!(digest_of(&read_rest(first, begun).await), layer(&image).digest());
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(layer(&image).digest()), counters.bytes_of(layer(&image).digest())), (1, SIZE));
}

#[tokio::test]
async fn every_offset_is_served_from_the_followers_own_spool() {
    let (world, image) = halfway().await;
    let second = world.second_gateway().await;
    let path = blob("a", layer(&image).digest());
    let leading = world.begin(&path).await;
    let mut parts = Vec::new();
    for from in [0, 999_000, 1_500_000, 2_999_990] {
        let range = [("range", format!("bytes={from}-{}", from + 9))];
        let range: Vec<_> = range.iter().map(|(name, value)| (*name, value.as_str())).collect();
        parts.push((from, world.send(Method::GET, &second.url(&path), &range).await.unwrap()));
    }
    world.upstream().release();
    for (from, part) in parts {
        assert_eq!(part.status(), 206);
        assert_eq!(read(part).await.unwrap(), layer(&image).content().read(from, 10), "from {from}");
    }
    assert_eq!(digest_of(&read(leading).await.unwrap()), layer(&image).digest());
    assert_eq!(world.upstream().counters().blob_gets(layer(&image).digest()), 1);
}

#[tokio::test]
async fn a_follower_takes_over_at_the_byte_it_has() {
    let (world, image) = halfway().await;
    let second = world.second_gateway().await;
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    let leading = begin_at(&world, &second, &path).await;
    let mut following = world.begin(&path).await;
    let begun = read_some(&mut following, 900_000).await;
    second.die_and_be_missed(&world).await;
    drop(leading);
    assert_eq!(digest_of(&read_rest(following, begun).await), digest);
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(digest), counters.ranged()), (2, 1), "asked for the rest, and only for that");
    assert!(counters.bytes_of(digest) <= SIZE + 200_000, "{}", counters.bytes_of(digest));
    // What it brought home is kept for all.
    world.settle(digest).await;
    assert_eq!(world.get(&path).await.digest(), digest);
    assert_eq!(world.upstream().counters().blob_gets(digest), 2);
}

#[tokio::test]
async fn of_two_followers_one_takes_over_and_the_other_follows_it() {
    let (world, image) = halfway().await;
    let (second, third) = (world.gateway_called("second").await, world.gateway_called("third").await);
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    let leading = begin_at(&world, &second, &path).await;
    let (mut one, mut other) = (world.begin(&path).await, begin_at(&world, &third, &path).await);
    let (of_one, of_other) = (read_some(&mut one, 900_000).await, read_some(&mut other, 900_000).await);
    second.die_and_be_missed(&world).await;
    drop(leading);
    assert_eq!(digest_of(&read_rest(one, of_one).await), digest);
    assert_eq!(digest_of(&read_rest(other, of_other).await), digest);
    let counters = world.upstream().counters();
    assert_eq!(counters.blob_gets(digest), 2);
    assert!(counters.bytes_of(digest) <= SIZE + 200_000, "{}", counters.bytes_of(digest));
}

#[tokio::test]
async fn a_leader_that_lost_its_session_leads_again_at_the_byte_it_has() {
    // In memory, and in a file of the store's.
    for size in [SIZE, 6_000_000] {
        let world = World::start().await;
        let image = Image::builder(size).layers(&[size]).build();
        let digest = layer(&image).digest();
        world.upstream().push("a", "x", &image);
        world.upstream().set_faults([hang(1_000_000).times(1)]);
        let line = Line::of(&world);
        let second = world.gateway_over(&line, "second").await;
        let mut leading = begin_at(&world, &second, &blob("a", digest)).await;
        let begun = read_some(&mut leading, 900_000).await;
        world.meta.lose("second").await.unwrap();
        // The first download stands for good.
        assert_eq!(digest_of(&read_rest(leading, begun).await), digest, "{size}");
        world.settle(digest).await;
        let counters = world.upstream().counters();
        assert_eq!(
            (counters.blob_gets(digest), counters.ranged()),
            (2, 1),
            "{size}: asked for the rest, and only for that"
        );
        assert!(counters.bytes_of(digest) <= size + 200_000, "{size}: {}", counters.bytes_of(digest));
        assert!(second.counted("roadstead_fills_total", "outcome=\"lease_lost\"").await, "{size}");
        let granted = line.granted();
        assert_eq!(
            (granted.len(), line.completed()),
            (2, granted[1..].to_vec()),
            "{size}: the old token completes nothing"
        );
    }
}

#[tokio::test]
async fn a_leader_that_lost_its_session_follows_whoever_has_the_lease_now() {
    let world = World::start().await;
    let image = Image::builder(6).layers(&[SIZE]).build();
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    world.upstream().push("a", "x", &image);
    world.upstream().set_faults([hang(100_000).times(1)]);
    let line = Line::of(&world);
    let (second, third) = (world.gateway_over(&line, "second").await, world.gateway_called("third").await);
    let mut leading = begin_at(&world, &second, &path).await;
    let begun = read_some(&mut leading, 50_000).await;
    // It has not heard of it when the third one is granted the lease.
    line.is_silent(true);
    world.meta.lose("second").await.unwrap();
    world.upstream().set_faults([hang(2_000_000).times(1)]);
    let mut new = begin_at(&world, &third, &path).await;
    let of_new = read_some(&mut new, 1_900_000).await;
    line.is_silent(false);
    let mut of_old = begun;
    // More than its own upstream ever sent.
    of_old.extend(read_some(&mut leading, 1_500_000).await);
    world.upstream().release();
    assert_eq!(digest_of(&read_rest(leading, of_old).await), digest);
    assert_eq!(digest_of(&read_rest(new, of_new).await), digest);
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(digest), counters.ranged()), (2, 0), "one lost the lease, one was granted it");
    assert!(counters.bytes_of(digest) <= SIZE + 200_000, "{}", counters.bytes_of(digest));
    world.settle(digest).await;
    assert!(second.counted("roadstead_fills_total", "outcome=\"lease_lost\"").await);
    assert_eq!((line.granted().len(), line.completed()), (1, vec![]), "the old token completes nothing");
}

#[tokio::test]
async fn of_a_leader_that_lost_its_session_and_its_followers_one_goes_on() {
    let (world, image) = halfway().await;
    let (second, third) = (world.gateway_called("second").await, world.gateway_called("third").await);
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    let mut leading = begin_at(&world, &second, &path).await;
    let of_leading = read_some(&mut leading, 900_000).await;
    let mut following = Vec::new();
    for mut body in [world.begin(&path).await, begin_at(&world, &third, &path).await] {
        let begun = read_some(&mut body, 900_000).await;
        following.push((body, begun));
    }
    world.meta.lose("second").await.unwrap();
    assert_eq!(digest_of(&read_rest(leading, of_leading).await), digest);
    for (body, begun) in following {
        assert_eq!(digest_of(&read_rest(body, begun).await), digest);
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(digest), counters.ranged()), (2, 1), "asked for the rest, and only for that");
    assert!(counters.bytes_of(digest) <= SIZE + 200_000, "{}", counters.bytes_of(digest));
    assert!(second.counted("roadstead_fills_total", "outcome=\"lease_lost\"").await);
    world.settle(digest).await;
}

#[tokio::test]
async fn whoever_waits_for_another_gateway_holds_up_nobody_who_downloads_here() {
    let (world, turns) = (World::start().await, limits::FILLS_OF_A_SOURCE_MAX);
    let second = world.second_gateway().await;
    let sizes: Vec<u64> = (1_000..).take(turns + 1).collect();
    let image = Image::builder(7).layers(&sizes).build();
    world.upstream().push("a", "x", &image);
    let (own, others) = image.layers().split_last().unwrap();
    let paths: Vec<_> = others.iter().map(|layer| blob("a", layer.digest())).collect();
    // The other one has all its turns taken, and this one waits for it as often.
    world.upstream().set_faults([hang(500)]);
    let mut bodies = join_all(paths.iter().map(|path| begin_at(&world, &second, path))).await;
    bodies.extend(join_all(paths.iter().map(|path| world.begin(path))).await);
    world.upstream().set_faults([]);
    assert_eq!(world.get(&blob("a", own.digest())).await.digest(), own.digest());
    world.upstream().release();
    for (layer, body) in others.iter().chain(others).zip(bodies) {
        assert_eq!(digest_of(&read(body).await.unwrap()), layer.digest());
    }
    assert_eq!(world.upstream().counters().of(Kind::BlobGet), sizes.len() as u64);
}

#[tokio::test]
async fn a_gateway_that_drains_hands_over_and_its_own_clients_notice_nothing() {
    let (world, image) = halfway().await;
    let mut second = world.second_gateway().await;
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    let mut leading = begin_at(&world, &second, &path).await;
    let of_leading = read_some(&mut leading, 900_000).await;
    let mut following = world.begin(&path).await;
    let of_following = read_some(&mut following, 900_000).await;
    // The first download still stands: what is missing can only come from the second.
    second.begin_stop();
    assert_eq!(digest_of(&read_rest(following, of_following).await), digest);
    assert_eq!(digest_of(&read_rest(leading, of_leading).await), digest);
    second.ended().await;
    let counters = world.upstream().counters();
    assert_eq!((counters.blob_gets(digest), counters.ranged()), (2, 1));
    world.settle(digest).await;
    assert_eq!(world.get(&path).await.digest(), digest);
}

#[tokio::test]
async fn a_failure_is_one_failure_for_all() {
    let world = World::start().await;
    let second = world.second_gateway().await;
    let image = Image::builder(3).layers(&[SIZE]).build();
    world.upstream().push("a", "x", &image);
    let digest = layer(&image).digest();
    world.upstream().set_faults([
        Fault::latency(Duration::from_millis(700)).on(Kind::BlobGet),
        Fault::bare_status(503, "busy").on(Kind::BlobGet),
    ]);
    let path = blob("a", digest);
    let url = second.url(&path);
    let (one, other) = tokio::join!(world.get(&path), world.get_url(&url));
    assert_eq!((one.status.as_u16(), other.status.as_u16()), (502, 502), "{one:?} {other:?}");
    assert_eq!(world.upstream().counters().blob_gets(digest), 1);
}

#[tokio::test]
async fn another_repository_proves_that_it_has_the_blob_before_it_follows() {
    let (world, image) = halfway().await;
    let second = world.second_gateway().await;
    let digest = layer(&image).digest();
    world.upstream().push("b", "x", &image);
    let leading = world.begin(&blob("a", digest)).await;
    // First, so that it cannot be let in to what the second gateway follows already.
    let refused = world.get_url(&second.url(&blob("c", digest))).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let proven = begin_at(&world, &second, &blob("b", digest)).await;
    world.upstream().release();
    assert_eq!(digest_of(&read(proven).await.unwrap()), digest);
    assert_eq!(digest_of(&read(leading).await.unwrap()), digest);
    let counters = world.upstream().counters();
    assert_eq!(counters.blob_gets(digest), 1, "the bytes came once");
    // The right that it earned is kept: the upstream is gone, and both repositories are served.
    for repository in ["a", "b"] {
        let path = blob(repository, digest);
        eventually("the right is recorded", async || world.get(&path).await.header("cache-status").contains("hit"))
            .await;
    }
}

#[tokio::test]
async fn wrong_bytes_end_cleanly_nowhere() {
    let world = World::start().await;
    let second = world.second_gateway().await;
    let image = Image::builder(4).layers(&[SIZE]).build();
    world.upstream().push("a", "x", &image);
    let digest = layer(&image).digest();
    world.upstream().set_faults([
        Fault::latency(Duration::from_millis(300)).on(Kind::BlobGet),
        Fault::new(Effect::Corrupt { at: 1_500_000 }).on(Kind::BlobGet),
    ]);
    let path = blob("a", digest);
    let (one, other) = tokio::join!(world.begin(&path), begin_at(&world, &second, &path));
    assert!(read(one).await.is_err());
    assert!(read(other).await.is_err());
}

#[tokio::test]
async fn a_leader_that_is_there_and_cannot_be_reached_is_passed_by_in_the_end() {
    let (world, image) = halfway().await;
    let cut_off = world.gateway_cut_off("second").await;
    let digest = layer(&image).digest();
    let path = blob("a", digest);
    let leading = begin_at(&world, &cut_off, &path).await;
    // The second download does not stand still; it comes only once the first leader was waited for.
    assert_eq!(world.get(&path).await.digest(), digest);
    assert_eq!(world.upstream().counters().blob_gets(digest), 2);
    assert!(!world.is_recorded(digest).await, "who leads records it, and nobody else");
    world.upstream().release();
    assert_eq!(digest_of(&read(leading).await.unwrap()), digest);
    world.settle(digest).await;
}

#[tokio::test]
async fn a_tag_is_asked_for_once_by_all_and_so_is_whether_it_still_stands() {
    let world = World::start().await;
    let (second, third) = (world.gateway_called("second").await, world.gateway_called("third").await);
    let image = Image::builder(5).build();
    world.upstream().push("a", "x", &image);
    // As long as this, all of them are there before there is an answer.
    world.upstream().set_faults([Fault::latency(Duration::from_millis(500)).on_manifests()]);
    let path = manifest("a", "x");
    let urls = [world.url(&path), second.url(&path), third.url(&path)];
    let pull = async || {
        let pulls = urls.iter().map(|url| world.get_url(url));
        for answer in futures::future::join_all(pulls).await {
            assert_eq!(answer.digest(), image.digest());
        }
    };
    pull().await;
    world.tag_recorded("a", "x").await;
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 0));
    world.clock.advance(Duration::from_secs(25 * 3600));
    pull().await;
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::ManifestHead)), (1, 1));
}
