//! Layers arrive before they are asked for, unless the operator says otherwise.

use roadstead_loadtest::registry::Kind;

use crate::process::Roadstead;
use crate::world::{TAG, World};

#[tokio::test(flavor = "multi_thread")]
async fn it_prefetches_until_it_is_turned_off() {
    let world = World::new().await;
    let roadstead = world.start();
    assert_eq!(world.get(&roadstead, &format!("manifests/{TAG}")).await.status(), 200);
    world.upstream.wait_for(|counters| counters.blob_gets(world.image.layers()[0].digest()) == 1).await;
    roadstead.stop();

    let world = World::new().await;
    let file = world.write("serve.toml", "prefetch = 0");
    let roadstead = Roadstead::start(world.serve(&["--upstream", &world.upstream_arg(), "--config", &file]));
    assert_eq!(world.get(&roadstead, &format!("manifests/{TAG}")).await.status(), 200);
    roadstead.stop();
    assert_eq!(world.upstream.counters().of(Kind::BlobGet), 0);
}
