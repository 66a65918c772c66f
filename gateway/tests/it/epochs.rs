//! What a purge or a changed upstream made wrong while it was on its way is dropped (architecture §4, "Epochs").

use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Effect, Fault, Kind};
use roadstead_proto::domain::entry::EntryRef;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::registry::{RegionId, UpstreamId};
use roadstead_proto::domain::upstream::UpstreamSettings;
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::Command;
use roadstead_proto::state::read::ContentQuery;

use crate::world::{Answer, World, blob, manifest};

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[300_000]).build()
}

fn purge(reference: &str) -> Command {
    let reference: Reference = reference.parse().unwrap();
    Command::PurgeEntry(EntryRef { upstream: UpstreamId(1), repository: "a".parse().unwrap(), reference })
}

/// Whether the metadata knows anything of a digest: bytes, or a right to them.
async fn is_known(world: &World, digest: &str) -> bool {
    let query = ContentQuery {
        upstreams: vec![UpstreamId(1)],
        repository: "a".parse().unwrap(),
        digest: digest.parse().unwrap(),
        region: RegionId::default_region(),
    };
    let found = world.meta.content(&query, Consistency::Local).await.unwrap();
    found.location.is_some() || found.upstreams.iter().any(|at| at.right.is_some())
}

async fn is_tag_known(world: &World) -> bool {
    let (repository, tag) = ("a".parse().unwrap(), "x".parse().unwrap());
    world.meta.tag_entry(UpstreamId(1), &repository, &tag, Consistency::Local).await.unwrap().is_some()
}

/// Pulls while the upstream holds its answer; does `command` meanwhile, and lets the answer come then.
async fn meanwhile(world: &World, path: &str, kind: Kind, commands: Vec<Command>) -> Answer {
    world.upstream().set_faults([Fault::new(Effect::Hold).on(kind)]);
    let change = async {
        world.upstream().wait_for(|counters| counters.of(kind) == 1).await;
        for command in commands {
            world.meta.propose(command).await.unwrap();
        }
        world.upstream().set_faults([]);
        world.upstream().release();
    };
    tokio::join!(world.get(path), change).0
}

#[tokio::test]
async fn a_manifest_that_was_purged_on_its_way_is_served_and_not_recorded() {
    let mut world = World::start().await;
    let image = image(1);
    world.upstream().push("a", "x", &image);
    let commands = vec![purge("x"), purge(image.digest())];
    let answer = meanwhile(&world, &manifest("a", "x"), Kind::ManifestGet, commands).await;
    assert_eq!(answer.digest(), image.digest(), "whoever asked has it");
    // The drain waits for what is done behind the answer.
    world.restart().await;
    assert!(!is_tag_known(&world).await && !is_known(&world, image.digest()).await);
    let objects = std::fs::read_dir(world.folder.path().join("blobs/sha256")).unwrap().count();
    assert_eq!(objects, 0, "the object that nothing refers to is deleted");
    assert_eq!(world.get(&manifest("a", "x")).await.header("cache-status"), "roadstead; fwd=uri-miss; fwd-status=200");
    assert_eq!(world.upstream().counters().of(Kind::ManifestGet), 2);
}

#[tokio::test]
async fn a_manifest_that_was_purged_on_its_way_is_in_no_memory_either() {
    let world = World::start().await;
    let image = image(2);
    world.upstream().push("a", "x", &image);
    let commands = vec![purge("x"), purge(image.digest())];
    meanwhile(&world, &manifest("a", "x"), Kind::ManifestGet, commands).await;
    // The purge arrives by watch, or with the refusal of what was to be recorded.
    let asked = async || {
        world.get(&manifest("a", "x")).await;
        world.upstream().counters().of(Kind::ManifestGet) == 2
    };
    crate::world::eventually("the next pull asks anew", asked).await;
}

#[tokio::test]
async fn a_blob_that_was_purged_on_its_way_is_served_and_not_recorded() {
    let mut world = World::start().await;
    let image = image(3);
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let answer = meanwhile(&world, &blob("a", layer), Kind::BlobGet, vec![purge(layer)]).await;
    assert_eq!(answer.digest(), layer, "whoever asked has it, whole and verified");
    world.restart().await;
    assert!(!is_known(&world, layer).await);
    assert_eq!(world.get(&blob("a", layer)).await.digest(), layer);
    assert_eq!(world.upstream().counters().blob_gets(layer), 2);
}

#[tokio::test]
async fn a_purge_of_the_whole_upstream_drops_what_is_on_its_way() {
    let mut world = World::start().await;
    let image = image(4);
    world.upstream().push("a", "x", &image);
    let layer = image.layers()[0].digest();
    let purge = || vec![Command::PurgeUpstream(UpstreamId(1))];
    let answer = meanwhile(&world, &manifest("a", "x"), Kind::ManifestGet, purge()).await;
    assert_eq!(answer.digest(), image.digest());
    assert_eq!(meanwhile(&world, &blob("a", layer), Kind::BlobGet, purge()).await.digest(), layer);
    world.restart().await;
    assert!(!is_tag_known(&world).await);
    assert!(!is_known(&world, image.digest()).await && !is_known(&world, layer).await);
}

#[tokio::test]
async fn an_upstream_with_another_address_records_nothing_of_the_old_one() {
    let mut world = World::start().await;
    let (old, new) = (image(5), image(6));
    world.upstream().push("a", "x", &old);
    let elsewhere = registry::Upstream::start(registry::Config::default()).await.unwrap();
    elsewhere.push("a", "x", &new);
    let settings = UpstreamSettings::new("first", elsewhere.url().parse().unwrap());
    let change = vec![Command::UpdateUpstream { id: UpstreamId(1), settings, if_updated_at: None }];
    let answer = meanwhile(&world, &manifest("a", "x"), Kind::ManifestGet, change).await;
    assert_eq!(answer.digest(), old.digest(), "asked before the change");
    world.restart().await;
    assert!(!is_tag_known(&world).await && !is_known(&world, old.digest()).await);
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), new.digest());
    assert_eq!(world.get(&manifest("a", old.digest())).await.status.as_u16(), 404);
}

#[tokio::test]
async fn a_pull_from_after_a_change_does_not_join_a_question_from_before() {
    let world = World::start().await;
    let (old, new) = (image(7), image(8));
    world.upstream().push("a", "x", &old);
    let elsewhere = registry::Upstream::start(registry::Config::default()).await.unwrap();
    elsewhere.push("a", "x", &new);
    world.upstream().set_faults([Fault::new(Effect::Hold).on(Kind::ManifestGet)]);
    let settings = UpstreamSettings::new("first", elsewhere.url().parse().unwrap());
    let path = manifest("a", "x");
    let before = world.get(&path);
    let after = async {
        world.upstream().wait_for(|counters| counters.of(Kind::ManifestGet) == 1).await;
        world.meta.propose(Command::UpdateUpstream { id: UpstreamId(1), settings, if_updated_at: None }).await.unwrap();
        // Until the change has arrived, pulls join the question that is held: none of them may be the only one.
        let url = world.url(&path);
        let asked = async || {
            let hurried = tokio::time::timeout(std::time::Duration::from_millis(100), world.get_url(&url)).await;
            hurried.is_ok_and(|answer| answer.digest() == new.digest())
        };
        crate::world::eventually("the new address is asked, while the old one still holds", asked).await;
        world.upstream().release();
    };
    let (before, ()) = tokio::join!(before, after);
    assert_eq!(before.digest(), old.digest());
}
