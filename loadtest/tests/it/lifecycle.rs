//! Down, up again, and the end.

use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::registry::{Config, Effect, Fault, Kind, Redirect};

use crate::world::{World, header, manifest_path};

#[tokio::test]
async fn a_stopped_upstream_refuses_connections_and_comes_back() {
    let world = World::start().await;
    let addr = world.upstream.addr();
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
    for _ in 0..3 {
        world.upstream.stop().await.unwrap();
        world.upstream.stop().await.unwrap();
        let error = world.request(reqwest::Method::GET, "/v2/").send().await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        world.upstream.resume().await.unwrap();
        world.upstream.resume().await.unwrap();
        assert_eq!(world.upstream.addr(), addr);
        assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
    }
    assert_eq!(world.upstream.counters().of(Kind::ManifestGet), 4);
}

#[tokio::test]
async fn a_stop_cuts_off_what_is_on_its_way() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hang { after: 1000 })]);
    let response = world.get_layer().await;
    world.upstream.stop().await.unwrap();
    assert!(response.bytes().await.is_err());
    assert_eq!(world.upstream.counters().in_flight(Kind::BlobGet), 0);
}

#[tokio::test]
async fn the_other_origin_stops_too() {
    let world = World::with(Config { redirect: Some(Redirect::default()), ..Config::default() }).await;
    let location = header(&world.get_layer().await, "location").unwrap().to_owned();
    world.upstream.stop().await.unwrap();
    assert!(world.client.get(&location).send().await.unwrap_err().is_connect());
    world.upstream.resume().await.unwrap();
    assert_eq!(world.client.get(&location).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_shutdown_lets_answers_end() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hang { after: 1000 })]);
    let response = world.get_layer().await;
    let (bytes, ()) = tokio::join!(response.bytes(), world.upstream.shutdown());
    assert_eq!(digest_of(&bytes.unwrap()), world.image.layers()[0].digest());
}

#[tokio::test]
async fn a_dropped_upstream_is_gone() {
    let World { upstream, client, .. } = World::start().await;
    let url = format!("{}/v2/", upstream.url());
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    drop(upstream);
    // The listener goes with its task, which has to run once more to end.
    while client.get(&url).send().await.is_ok() {}
}

#[tokio::test]
async fn hundreds_of_clients_at_once() {
    let world = World::start().await;
    world.upstream.set_faults([Fault::new(Effect::Hold).on(Kind::BlobGet)]);
    let clients: Vec<_> = (0..300).map(|_| world.get_layer()).collect();
    let released = async {
        world.upstream.wait_for(|counters| counters.in_flight(Kind::BlobGet) == 300).await;
        world.upstream.release();
    };
    let (responses, ()) = tokio::join!(futures::future::join_all(clients), released);
    assert!(responses.iter().all(|response| response.status() == 200));
}
