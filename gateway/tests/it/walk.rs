//! The walk down a registry's upstreams: "not here" goes on, a fault stops.

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Auth, Fault, Kind, TokenAuth, TokenRefusal};
use roadstead_proto::domain::upstream::OnError;

use crate::world::{World, blob, manifest};

async fn two() -> World {
    World::with(vec![registry::Config::default(), registry::Config::default()], |_| {}).await
}

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[1_000]).build()
}

#[tokio::test]
async fn the_first_that_has_it_answers() {
    let world = two().await;
    let (here, both) = (image(1), image(2));
    world.upstreams[1].push("a", "below", &here);
    world.upstreams[0].push("a", "both", &both);
    world.upstreams[1].push("a", "both", &here);
    assert_eq!(world.get(&manifest("a", "below")).await.digest(), here.digest());
    assert_eq!(world.get(&manifest("a", "both")).await.digest(), both.digest());
    let layer = here.layers()[0].digest();
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(world.upstreams[0].counters().of(Kind::BlobGet), 0, "blobs go where the manifest came from");
}

#[tokio::test]
async fn what_was_found_below_is_found_after_a_restart_with_every_upstream_down() {
    let mut world = two().await;
    let here = image(3);
    world.upstreams[1].push("a", "x", &here);
    world.get(&manifest("a", "x")).await;
    world.restart().await;
    for upstream in &world.upstreams {
        upstream.stop().await.unwrap();
    }
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), here.digest());
}

#[tokio::test]
async fn no_fault_above_lets_another_image_of_the_name_through() {
    let world = two().await;
    let other = image(4);
    world.upstreams[1].push("a", "x", &other);
    for fault in [
        Fault::status(500, "UNKNOWN"),
        Fault::status(429, "TOOMANYREQUESTS"),
        Fault::bare_status(403, "blocked"),
        Fault::bare_status(401, "who are you"),
        Fault::new(registry::Effect::Disconnect),
    ] {
        world.upstreams[0].set_faults([fault.clone()]);
        let answer = world.get(&manifest("a", "x")).await;
        assert!(matches!(answer.status.as_u16(), 429 | 502), "{fault:?}: {}", answer.status);
    }
    assert_eq!(world.upstreams[1].counters().total(), 0, "the lower upstream was never asked");
}

#[tokio::test]
async fn an_upstream_may_be_passed_over_on_faults() {
    let configs = vec![registry::Config::default(), registry::Config::default()];
    let world = World::with(configs, |settings| settings[0].on_error = OnError::Next).await;
    let other = image(5);
    world.upstreams[1].push("a", "x", &other);
    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN")]);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), other.digest());
    assert_eq!(world.get(&manifest("a", "missing")).await.status.as_u16(), 502, "nobody has it, and one could not say");
}

#[tokio::test]
async fn denied_to_the_public_means_not_here() {
    for refusal in [TokenRefusal::Later, TokenRefusal::Unauthorized, TokenRefusal::Forbidden] {
        let auth = TokenAuth { private: ["a".to_owned()].into(), refusal, ..TokenAuth::default() };
        let first = registry::Config { auth: Auth::Token(auth), ..registry::Config::default() };
        let world = World::with(vec![first, registry::Config::default()], |_| {}).await;
        let below = image(6);
        world.upstreams[1].push("a", "x", &below);
        assert_eq!(world.get(&manifest("a", "x")).await.digest(), below.digest(), "{refusal:?}");
    }
}

#[tokio::test]
async fn credentials_that_are_refused_are_a_fault() {
    let credentials = registry::Credentials::new("user", "right");
    let token = TokenAuth { credentials: Some(credentials.clone()), anonymous: false, ..TokenAuth::default() };
    for auth in [Auth::Token(token), Auth::Basic(credentials)] {
        let first = registry::Config { auth: auth.clone(), ..registry::Config::default() };
        let world = World::with(vec![first, registry::Config::default()], |settings| {
            settings[0].credentials = Some(World::credentials("user", "wrong"));
        })
        .await;
        world.upstreams[1].push("a", "x", &image(7));
        assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 502, "{auth:?}");
        assert_eq!(world.upstreams[1].counters().total(), 0);
    }
}
