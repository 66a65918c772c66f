//! Every shape of content comes through byte for byte: nested indexes, attestations, signatures under tags, artifacts,
//! SHA-512.

use reqwest::StatusCode;
use roadstead_loadtest::image::{Image, Manifest};
use roadstead_loadtest::registry::Kind;

use crate::world::{World, blob, manifest};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn index_of(entries: &[(&Manifest, &str)]) -> Manifest {
    let entries: Vec<String> = entries
        .iter()
        .map(|(manifest, rest)| {
            let of = manifest.descriptor();
            format!(r#"{{"mediaType":"{}","digest":"{}","size":{}{rest}}}"#, of.media_type, of.digest, of.size)
        })
        .collect();
    // Spaces and order are the upstream's own: nobody may write it anew.
    Manifest::raw(OCI_INDEX, format!("{{ \"manifests\": [ {} ],\n  \"schemaVersion\":2 }}\n", entries.join(" , ")))
}

#[tokio::test]
async fn a_nested_index_with_attestations() {
    let world = World::start().await;
    let image = Image::builder(1).layers(&[1000]).build();
    let attestation = Image::builder(2).layers(&[500]).platform("unknown", "unknown").build();
    let inner = index_of(&[
        (image.manifest(), r#","platform":{"os":"linux","architecture":"amd64"}"#),
        (
            attestation.manifest(),
            r#","platform":{"os":"unknown","architecture":"unknown"},"annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#,
        ),
    ]);
    let outer = index_of(&[(&inner, "")]);
    for pushed in [&image, &attestation] {
        world.upstream().push("a", "parts", pushed);
    }
    world.upstream().push("a", "inner", &inner);
    world.upstream().push("a", "outer", &outer);

    let top = world.get(&manifest("a", "outer")).await;
    assert_eq!((&top.body, top.header("content-type")), (outer.bytes(), OCI_INDEX));
    let middle = world.get(&manifest("a", inner.digest())).await;
    assert_eq!((&middle.body, middle.header("content-type")), (inner.bytes(), OCI_INDEX));
    for pushed in [&image, &attestation] {
        assert_eq!(&world.get(&manifest("a", pushed.digest())).await.body, pushed.manifest().bytes());
        for part in pushed.blobs() {
            assert_eq!(world.get(&blob("a", part.digest())).await.digest(), part.digest());
        }
    }
}

#[tokio::test]
async fn a_signature_under_a_tag_and_an_artifact() {
    let world = World::start().await;
    let image = Image::builder(3).layers(&[10]).build();
    let signature = Image::builder(4).layers(&[20]).build();
    let artifact = Image::artifact(5, "application/vnd.example.config", image.manifest(), 0);
    let tag = format!("{}.sig", image.digest().replace(':', "-"));
    world.upstream().push("a", &tag, &signature);
    world.upstream().push("a", "artifact", &artifact);
    assert_eq!(&world.get(&manifest("a", &tag)).await.body, signature.manifest().bytes());
    let answer = world.get(&manifest("a", "artifact")).await;
    assert_eq!((&answer.body, answer.header("content-type")), (artifact.manifest().bytes(), OCI_MANIFEST));
    // An empty blob is a blob.
    let empty = world.get(&blob("a", artifact.layers()[0].digest())).await;
    assert_eq!((empty.status, empty.header("content-length"), empty.body.len()), (StatusCode::OK, "0", 0));
}

#[tokio::test]
async fn sha512_all_the_way() {
    let mut world = World::start().await;
    let image = Image::builder(6).layers(&[5_000_000, 10]).sha512().build();
    assert!(image.digest().starts_with("sha512:"));
    world.upstream().push("a", "1", &image);
    for round in ["cold", "warm", "after a restart"] {
        for reference in ["1", image.digest()] {
            let answer = world.get(&manifest("a", reference)).await;
            assert_eq!(
                (answer.status, &answer.body),
                (StatusCode::OK, image.manifest().bytes()),
                "{round} {reference}"
            );
            assert_eq!(answer.header("docker-content-digest"), image.digest(), "{round} {reference}");
            assert_eq!(answer.header("etag"), format!("\"{}\"", image.digest()), "{round} {reference}");
        }
        for part in image.blobs() {
            let answer = world.get(&blob("a", part.digest())).await;
            assert_eq!((answer.status, answer.header("docker-content-digest")), (StatusCode::OK, part.digest()));
            assert!(answer.body == part.content().bytes(), "{round}");
            world.settle(part.digest()).await;
        }
        if round == "warm" {
            world.restart().await;
        }
    }
    let counters = world.upstream().counters();
    assert_eq!((counters.of(Kind::ManifestGet), counters.of(Kind::BlobGet)), (1, 3));

    // The upstream's name for the content is the one that a revalidation compares.
    world.clock.advance(std::time::Duration::from_secs(25 * 3600));
    let answer = world.get(&manifest("a", "1")).await;
    assert_eq!(answer.header("cache-status"), "roadstead; fwd=stale; fwd-status=200; detail=revalidated");
}
