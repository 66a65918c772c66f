//! Lists: the tags of a repository, and what refers to a manifest.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use roadstead_loadtest::image::{Image, Manifest};
use roadstead_loadtest::registry::{Config, Effect, Fault, Kind};
use serde_json::Value;

use crate::world::{Answer, World, blob, manifest};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ABSENT: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const FAULT_MEMORY: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);

fn tags_of(answer: &Answer) -> Vec<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

fn digests_of(answer: &Answer) -> Vec<String> {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&Value::from(2), &Value::from(OCI_INDEX)));
    body["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

fn tag_numbers(count: usize) -> Vec<String> {
    let mut tags: Vec<String> = (0..count).map(|number| format!("v{number}")).collect();
    tags.sort();
    tags
}

async fn with_tags(world: World, count: usize) -> World {
    let image = Image::builder(1).build();
    for tag in tag_numbers(count) {
        world.upstream().push("a/b", &tag, &image);
    }
    world
}

#[tokio::test]
async fn all_tags_in_order_however_many_parts_the_upstream_gives() {
    // One part has a thousand.
    let world = with_tags(World::start().await, 2500).await;
    let answer = world.get("a/b/tags/list").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(tags_of(&answer), tag_numbers(2500));
    assert_eq!((answer.header("link"), world.upstream().counters().of(Kind::Tags)), ("", 3));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["name"], "a/b");
    let head = world.head("a/b/tags/list").await;
    assert_eq!(head.header("content-length"), answer.body.len().to_string());
}

#[tokio::test]
async fn parts_lead_to_each_other_and_cost_no_more_than_the_whole() {
    let world = with_tags(World::start().await, 25).await;
    let (mut seen, mut path) = (Vec::new(), "/v2/a/b/tags/list?n=10&ns=first.example".to_owned());
    let mut parts = Vec::new();
    // The link is followed as it stands, as a client does.
    path = path.replace("&ns=first.example", "");
    loop {
        let answer = world.request_url(Method::GET, &format!("{}{path}", world.base()), &[]).await;
        parts.push(tags_of(&answer).len());
        seen.extend(tags_of(&answer));
        let Some(link) = answer.header("link").strip_prefix('<').map(str::to_owned) else { break };
        let (target, rest) = link.split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        path = target.to_owned();
    }
    assert_eq!((seen, parts), (tag_numbers(25), vec![10, 10, 5]));
    assert_eq!(world.upstream().counters().of(Kind::Tags), 1);
    let rest = world.get("a/b/tags/list?last=v7").await;
    assert_eq!(tags_of(&rest), ["v8", "v9"]);
    let none = world.get("a/b/tags/list?n=0").await;
    assert_eq!((tags_of(&none).len(), none.header("link")), (0, ""));
    let bad = world.get("a/b/tags/list?n=-1").await;
    assert_eq!((bad.status, bad.code().as_str()), (StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID"));
}

#[tokio::test]
async fn a_new_tag_shows_within_a_minute_and_an_outage_shows_the_last_list() {
    let world = with_tags(World::start().await, 1).await;
    assert_eq!(tags_of(&world.get("a/b/tags/list").await), ["v0"]);
    world.upstream().push("a/b", "v1", &Image::builder(2).build());
    assert_eq!(world.get("a/b/tags/list").await.header("cache-status"), "roadstead; hit");
    world.clock.advance(MINUTE);
    let answer = world.get("a/b/tags/list").await;
    assert_eq!((tags_of(&answer).len(), answer.header("cache-status")), (2, "roadstead; fwd=uri-miss; fwd-status=200"));
    world.clock.advance(MINUTE);
    world.upstream().stop().await.unwrap();
    let answer = world.get("a/b/tags/list").await;
    assert_eq!((answer.status, tags_of(&answer).len()), (StatusCode::OK, 2));
    assert!(answer.header("cache-status").contains("detail=connection"), "{}", answer.header("cache-status"));
    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(world.get("a/b/tags/list").await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn tags_are_those_of_the_first_upstream_that_has_the_repository() {
    let world = World::with(vec![Config::default(), Config::default()], |_| {}).await;
    let image = Image::builder(1).build();
    world.upstreams[0].push("both", "first", &image);
    world.upstreams[1].push("both", "second", &image);
    world.upstreams[1].push("only/second", "x", &image);
    assert_eq!(tags_of(&world.get("both/tags/list").await), ["first"]);
    assert_eq!(tags_of(&world.get("only/second/tags/list").await), ["x"]);
    let none = world.get("none/tags/list").await;
    assert_eq!((none.status, none.code().as_str()), (StatusCode::NOT_FOUND, "NAME_UNKNOWN"));
    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN").on(Kind::Tags)]);
    let fault = world.get("other/tags/list").await;
    assert_eq!(fault.status, StatusCode::BAD_GATEWAY, "a fault is no 'not here'");
}

#[tokio::test]
async fn lists_that_cannot_be_believed_are_no_lists() {
    let world = with_tags(World::start().await, 1).await;
    let link = |target: &str| Effect::Headers { headers: vec![("link".into(), format!("<{target}>; rel=\"next\""))] };
    for effect in [link("/v2/a/b/tags/list?n=1000"), link("/v2/a/b/tags/list"), Effect::Truncate { after: 3 }] {
        world.upstream().set_faults([Fault::new(effect.clone()).on(Kind::Tags)]);
        assert_eq!(world.get("a/b/tags/list").await.status, StatusCode::BAD_GATEWAY, "{effect:?}");
        world.clock.advance(FAULT_MEMORY);
    }
    // A link that always leads on leads in a circle, and whoever asks again at once is not led round it again.
    world.upstream().reset_counters();
    world.upstream().set_faults([Fault::new(link("/v2/a/b/tags/list?n=1")).on(Kind::Tags)]);
    for _ in 0..3 {
        assert_eq!(world.get("a/b/tags/list").await.status, StatusCode::BAD_GATEWAY);
    }
    assert_eq!(world.upstream().counters().of(Kind::Tags), 2);
    world.clock.advance(FAULT_MEMORY);
    world.upstream().set_faults([]);
    assert_eq!(tags_of(&world.get("a/b/tags/list").await), ["v0"]);
}

/// An image with a signature and a bill of materials.
fn signed(seed: u64) -> (Image, Image, Image) {
    let image = Image::builder(seed).layers(&[100]).build();
    let signature = Image::artifact(seed + 1, "application/x-signature", image.manifest(), 50);
    let materials = Image::artifact(seed + 2, "application/x-sbom", image.manifest(), 60);
    (image, signature, materials)
}

#[tokio::test]
async fn referrers_come_through_byte_for_byte_and_can_be_pulled() {
    let world = World::start().await;
    let (image, signature, materials) = signed(10);
    for (tag, pushed) in [("1", &image), ("sig", &signature), ("sbom", &materials)] {
        world.upstream().push("a", tag, pushed);
    }
    let path = format!("a/referrers/{}", image.digest());
    let direct = reqwest::get(format!("{}/v2/{path}", world.upstream().url())).await.unwrap().bytes().await.unwrap();
    for status in ["roadstead; fwd=uri-miss; fwd-status=200", "roadstead; hit"] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, OCI_INDEX));
        assert_eq!((answer.header("cache-status"), &answer.body), (status, &direct));
    }
    let head = world.head(&path).await;
    assert_eq!((head.header("content-length"), head.header("content-type")), (&*direct.len().to_string(), OCI_INDEX));

    let filtered = world.get(&format!("{path}?artifactType=application%2Fx-sbom")).await;
    assert_eq!(digests_of(&filtered), [materials.digest()]);
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    assert_eq!(world.upstream().counters().of(Kind::Referrers), 2, "ours, and the direct one");

    let pulled = world.get(&manifest("a", signature.digest())).await;
    assert_eq!(&pulled.body, signature.manifest().bytes());
    let payload = signature.layers()[0].digest();
    assert_eq!(world.get(&blob("a", payload)).await.digest(), payload);
}

#[tokio::test]
async fn nothing_refers_to_it_is_an_empty_index() {
    let world = World::start().await;
    world.upstream().push("a", "1", &Image::builder(1).build());
    for path in [format!("a/referrers/{ABSENT}"), format!("unknown/referrers/{ABSENT}")] {
        let answer = world.get(&path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, OCI_INDEX), "{path}");
        assert!(digests_of(&answer).is_empty(), "{path}");
    }
}

/// The list that clients keep under a tag where a registry has no referrers API.
fn fallback(of: &Image) -> (String, Manifest) {
    let entry = of.manifest().descriptor();
    let list = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{{"mediaType":"{}","digest":"{}","size":{},"artifactType":"application/x-signature","annotations":{{"kept":"as it is"}}}}]}}"#,
        entry.media_type, entry.digest, entry.size
    );
    (of.manifest().subject().unwrap().replace(':', "-"), Manifest::raw(OCI_INDEX, list))
}

#[tokio::test]
async fn without_the_api_the_fallback_tag_has_the_list() {
    for unsupported in [
        Fault::status(404, "UNSUPPORTED"),
        Fault::status(405, "UNSUPPORTED"),
        Fault::bare_status(400, "bad request"),
        Fault::new(Effect::Headers { headers: vec![("content-type".into(), "text/html".into())] }),
    ] {
        let mut world = World::start().await;
        let (image, signature, _) = signed(20);
        let (tag, list) = fallback(&signature);
        world.upstream().push("a", "1", &image);
        world.upstream().push("a", &tag, &list);
        world.upstream().set_faults([unsupported.clone().on(Kind::Referrers)]);
        let path = format!("a/referrers/{}", image.digest());
        let answer = world.get(&path).await;
        assert_eq!((answer.status, &answer.body), (StatusCode::OK, list.bytes()), "{unsupported:?}");
        world.settle(list.digest()).await;
        // It is a tag like any other: kept over a restart, and served while the upstream is away.
        world.restart().await;
        assert_eq!(&world.get(&manifest("a", &tag)).await.body, list.bytes());
    }
}

#[tokio::test]
async fn a_part_of_the_referrers_is_marked_and_a_missing_source_is_an_error() {
    let world = World::with(vec![Config::default(), Config::default()], |_| {}).await;
    let (image, signature, _) = signed(40);
    world.upstreams[1].push("a", "1", &image);
    world.upstreams[1].push("a", "sig", &signature);
    world.get(&manifest("a", "1")).await;
    world.settle(image.digest()).await;
    let path = format!("a/referrers/{}", image.digest());

    world.upstreams[0].set_faults([Fault::status(500, "UNKNOWN").on(Kind::Referrers)]);
    let part = world.get(&path).await;
    assert_eq!((part.status, digests_of(&part)), (StatusCode::OK, vec![signature.digest().to_owned()]));
    assert_eq!(part.header("cache-control"), "no-store");

    world.upstreams[0].set_faults([]);
    world.clock.advance(FAULT_MEMORY);
    let whole = world.get(&path).await;
    assert_eq!((whole.header("cache-control"), digests_of(&whole).len()), ("", 1));

    world.clock.advance(MINUTE);
    world.upstreams[1].set_faults([Fault::status(500, "UNKNOWN").on(Kind::Referrers)]);
    let stale = world.get(&path).await;
    assert_eq!((stale.status, digests_of(&stale)), (StatusCode::OK, vec![signature.digest().to_owned()]));
    assert!(stale.header("cache-status").starts_with("roadstead; hit; ttl=-5; detail="), "{stale:?}");

    world.clock.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(world.get(&path).await.status, StatusCode::BAD_GATEWAY, "an empty list would be a lie");
}

#[tokio::test]
async fn what_a_lower_upstream_lists_hides_nothing_of_a_higher_one() {
    let world = World::with(vec![Config::default(), Config::default()], |_| {}).await;
    let (image, signature, _) = signed(50);
    world.upstreams[0].push("a", "sig", &signature);
    // The second one lists what it does not have.
    let (tag, list) = fallback(&signature);
    world.upstreams[1].push("a", &tag, &list);
    for upstream in &world.upstreams {
        upstream.set_faults([Fault::status(404, "UNSUPPORTED").on(Kind::Referrers)]);
    }
    let listed = world.get(&format!("a/referrers/{}", image.digest())).await;
    assert_eq!(digests_of(&listed), [signature.digest()]);
    assert_eq!(&world.get(&manifest("a", signature.digest())).await.body, signature.manifest().bytes());
    // The same for a blob that only a manifest of the second one names.
    let (naming, having) = (Image::builder(51).layers(&[900]).build(), Image::builder(51).layers(&[900]).build());
    world.upstreams[1].push("b", "named", naming.manifest());
    world.upstreams[0].push("b", "had", &having);
    assert_eq!(world.get(&manifest("b", "named")).await.status, StatusCode::OK);
    let layer = having.layers()[0].digest();
    assert_eq!(world.get(&blob("b", layer)).await.digest(), layer);
}
