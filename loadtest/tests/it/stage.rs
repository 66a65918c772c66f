//! The stage: everything can be changed while it runs, over HTTP and by a scenario.

use reqwest::{Method, Response};
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Config, Kind, Scenario};
use serde_json::{Value, json};

use crate::world::{REPOSITORY, World, header, manifest_path};

/// A world whose stage has a port of its own.
async fn world() -> World {
    World::with(Config { stage_listen: Some(([127, 0, 0, 1], 0).into()), ..Config::default() }).await
}

impl World {
    async fn stage(&self, method: Method, knob: &str, body: &str) -> Response {
        let url = format!("{}/_stage/{knob}", self.upstream.stage_url().unwrap());
        self.client.request(method, url).body(body.to_owned()).send().await.unwrap()
    }

    /// Turns a knob that has nothing to answer.
    async fn turn(&self, method: Method, knob: &str, body: &str) {
        let answer = self.stage(method, knob, body).await;
        assert_eq!(answer.status(), 204, "{knob} {body}: {}", answer.text().await.unwrap());
    }

    async fn shown(&self, what: &str) -> Value {
        let answer = self.stage(Method::GET, what, "").await;
        assert_eq!(answer.status(), 200);
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn faults_are_set_added_and_shown_with_how_many_they_met() {
    let world = world().await;
    world.turn(Method::PUT, "faults", r#"[{"kinds":["manifest_get"],"effect":{"status":{"status":503}}}]"#).await;
    world
        .turn(
            Method::POST,
            "faults",
            r#"{"kinds":["manifest_get"],"effect":{"headers":{"headers":[["retry-after","9"]]}}}"#,
        )
        .await;
    world.turn(Method::POST, "faults", r#"[{"kinds":["ping"],"effect":"hold"}]"#).await;
    let broken = world.get(&manifest_path("1")).await;
    assert_eq!((broken.status().as_u16(), header(&broken, "retry-after")), (503, Some("9")));
    let met: Vec<u64> =
        world.shown("faults").await.as_array().unwrap().iter().map(|fault| fault["met"].as_u64().unwrap()).collect();
    assert_eq!(met, [1, 1, 0]);
    world.turn(Method::PUT, "faults", "[]").await;
    assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
    assert_eq!(world.shown("counters").await["requests"]["manifest_get"]["library/demo:1"], 2);
    world.turn(Method::POST, "counters/reset", "").await;
    assert_eq!(world.upstream.counters().total(), 0);
}

#[tokio::test]
async fn redirects_and_their_addresses_are_changed() {
    let world = world().await;
    world.turn(Method::PUT, "redirect", r#"{"status":302}"#).await;
    let redirected = world.get_layer().await;
    assert_eq!(redirected.status(), 302);
    let location = header(&redirected, "location").unwrap();
    world.turn(Method::POST, "expire_redirects", "").await;
    assert_eq!(world.client.get(location).send().await.unwrap().status(), 403);
    world.turn(Method::PUT, "redirect", "true").await;
    assert_eq!(world.get_layer().await.status(), 307);
    world.turn(Method::PUT, "redirect", "false").await;
    assert_eq!(world.get_layer().await.status(), 200);
}

#[tokio::test]
async fn who_may_pull_is_changed_and_tokens_are_revoked() {
    let world = world().await;
    world.turn(Method::PUT, "auth", r#"{"basic":{"user":"u","password":"p"}}"#).await;
    assert_eq!(world.get("/v2/").await.status(), 401);
    world.turn(Method::PUT, "auth", r#"{"token":{"service":"s","realm":"/t"}}"#).await;
    let scope = format!("/t?service=s&scope=repository:{REPOSITORY}:pull");
    let answer: Value = serde_json::from_slice(&world.get(&scope).await.bytes().await.unwrap()).unwrap();
    let pull = || {
        let token = answer["token"].as_str().unwrap();
        world.request(Method::HEAD, &manifest_path("1")).bearer_auth(token).send()
    };
    assert_eq!(pull().await.unwrap().status(), 200);
    world.turn(Method::POST, "revoke_tokens", "").await;
    assert_eq!(pull().await.unwrap().status(), 401);
    world.turn(Method::PUT, "auth", "\"none\"").await;
    assert_eq!(world.get("/v2/").await.status(), 200);
}

#[tokio::test]
async fn budgets_are_set_and_shown() {
    let world = world().await;
    world.turn(Method::PUT, "rates", r#"[{"anonymous":5,"spent":3}]"#).await;
    world.get(&manifest_path("1")).await;
    let rates = world.shown("rates").await;
    assert_eq!((&rates[0]["anonymous_remaining"], &rates[0]["limit"]["anonymous"]), (&json!(1), &json!(5)));
}

#[tokio::test]
async fn bandwidth_is_changed_and_what_hangs_is_released() {
    let world = world().await;
    world.turn(Method::PUT, "bandwidth", r#"{"total":2000}"#).await;
    let mut slow = world.get_layer().await;
    assert!(slow.chunk().await.unwrap().unwrap().len() <= 2000);
    world.turn(Method::PUT, "bandwidth", "{}").await;
    while slow.chunk().await.unwrap().is_some() {}
    world.turn(Method::PUT, "faults", r#"[{"effect":{"hang":{"after":10}}}]"#).await;
    let hanging = world.get_layer().await;
    world.turn(Method::POST, "release", "").await;
    assert_eq!(hanging.bytes().await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn images_are_made_renamed_and_removed() {
    let world = world().await;
    let recipe = r#"{"repository":"a/b","tag":"1","seed":7,"layers":[1000,2048]}"#;
    let made = world.stage(Method::POST, "images", recipe).await;
    assert_eq!(made.status(), 201);
    let made: Value = serde_json::from_slice(&made.bytes().await.unwrap()).unwrap();
    let image = Image::builder(7).layers(&[1000, 2048]).build();
    assert_eq!(made[0]["digest"], image.digest());
    assert_eq!(made[0]["blobs"][1], json!({ "digest": image.layers()[0].digest(), "size": 1000 }));
    assert_eq!(header(&world.head("/v2/a/b/manifests/1").await, "docker-content-digest"), Some(image.digest()));
    let retag = json!({ "repository": "a/b", "tag": "2", "digest": image.digest() }).to_string();
    world.turn(Method::POST, "tags", &retag).await;
    world.turn(Method::POST, "remove", r#"[{"repository":"a/b","reference":"1"}]"#).await;
    assert_eq!(world.head("/v2/a/b/manifests/1").await.status(), 404);
    assert_eq!(world.head("/v2/a/b/manifests/2").await.status(), 200);
    let unknown = world.stage(Method::POST, "remove", r#"{"repository":"a/b","reference":"1"}"#).await;
    assert_eq!((unknown.status().as_u16(), unknown.text().await.unwrap()), (404, "a/b has no 1".into()));
}

#[tokio::test]
async fn the_stage_stays_reachable_while_the_upstream_is_down() {
    let world = world().await;
    world.turn(Method::POST, "down", "").await;
    assert!(world.request(Method::GET, "/v2/").send().await.unwrap_err().is_connect());
    assert!(world.client.get(world.upstream.cdn_url()).send().await.unwrap_err().is_connect());
    assert_eq!(world.shown("counters").await["requests"], json!({}));
    world.turn(Method::POST, "up", "").await;
    assert_eq!(world.get("/v2/").await.status(), 200);
    // What is asked of the stage is not counted, nor are its connections.
    assert_eq!((world.upstream.counters().total(), world.upstream.counters().connections()), (1, 1));
}

#[tokio::test]
async fn the_upstream_comes_back_when_its_time_is_over() {
    let world = world().await;
    world.turn(Method::POST, "down", "\"300ms\"").await;
    assert!(world.request(Method::GET, "/v2/").send().await.is_err());
    // Refused connections end at once, so this asks again and again until it is answered.
    while world.request(Method::GET, "/v2/").send().await.is_err() {}
    // A time that was overtaken ends nothing: the upstream is down for good until it is told otherwise.
    world.turn(Method::POST, "down", "\"1ms\"").await;
    world.turn(Method::POST, "down", "true").await;
    world.turn(Method::POST, "up", "").await;
    assert_eq!(world.get("/v2/").await.status(), 200);
}

#[tokio::test]
async fn nobody_closes_the_port_that_he_speaks_by() {
    let world = World::start().await;
    let down = world.request(Method::POST, "/_stage/down").send().await.unwrap();
    assert_eq!(down.status(), 409);
    assert!(down.text().await.unwrap().contains("--stage-listen"));
    assert_eq!(world.get("/v2/").await.status(), 200);
}

#[tokio::test]
async fn many_changes_come_together() {
    let world = world().await;
    let change = json!({
        "redirect": true,
        "rates": [{ "anonymous": 0 }],
        "quirks": [{ "effect": "omit_digest" }],
        "images": [{ "repository": "a", "tag": "1" }],
    });
    assert_eq!(world.stage(Method::POST, "change", &change.to_string()).await.status(), 201);
    assert_eq!(world.get_layer().await.status(), 307);
    assert_eq!(world.get("/v2/a/manifests/1").await.status(), 429);
    let head = world.head("/v2/a/manifests/1").await;
    assert_eq!((head.status().as_u16(), header(&head, "docker-content-digest")), (200, None));
    // Faults come and go without the registry's own ways.
    world.turn(Method::PUT, "faults", "[]").await;
    assert_eq!(header(&world.head("/v2/a/manifests/1").await, "docker-content-digest"), None);
    assert_eq!(world.shown("quirks").await[0]["fault"]["effect"], "omit_digest");
}

#[tokio::test]
async fn bad_input_is_refused_with_its_reason_and_changes_nothing() {
    let world = world().await;
    for (method, knob, body, status, reason) in [
        (Method::PUT, "faults", r#"[{"effect":"no such"}]"#, 400, "unknown variant `no such`"),
        (Method::PUT, "faults", "[", 400, "the body is no JSON"),
        (Method::PUT, "faults", "", 400, "the body is no JSON"),
        (Method::POST, "faults", r#"{"effect":{"status":{"status":99}}}"#, 400, "status 99"),
        (Method::PUT, "redirect", r#"{"status":200}"#, 400, "status 200"),
        (Method::POST, "down", "\"soon\"", 400, "`soon` is no duration"),
        (Method::POST, "images", r#"{"repository":"a"}"#, 400, "missing field `tag`"),
        (Method::POST, "change", r#"{"redirects":true}"#, 400, "unknown field `redirects`"),
        (Method::PUT, "nothing", "", 404, "there is no PUT /_stage/nothing"),
        (Method::GET, "nothing", "", 404, "there is no GET /_stage/nothing"),
    ] {
        let refused = world.stage(method, knob, body).await;
        assert_eq!(refused.status(), status, "{knob} {body}");
        let text = refused.text().await.unwrap();
        assert!(text.contains(reason), "{knob} {body}: {text}");
    }
    assert_eq!(world.shown("faults").await, json!([]));
    assert_eq!(world.get_layer().await.status(), 200);
    let elsewhere = format!("{}/v2/", world.upstream.stage_url().unwrap());
    assert_eq!(world.client.get(elsewhere).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_scenario_plays_its_steps_in_time() {
    let world = world().await;
    let scenario = r#"
        [[steps]]
        at = "50ms"
        release = true
        faults = []
        images = [{ repository = "late", tag = "1", layers = [10] }]

        [[steps]]
        faults = [{ kinds = ["manifest_get"], effect = "hold" }]
    "#;
    let scenario = Scenario::from_toml(scenario).unwrap();
    // The first step has no time of its own: it is played at once, and this request is held by it until the second.
    let held = async {
        while world.upstream.faults().is_empty() {
            tokio::task::yield_now().await;
        }
        world.get(&manifest_path("1")).await
    };
    let ((), answer) = tokio::join!(world.upstream.play(&scenario), held);
    assert_eq!((answer.status().as_u16(), world.upstream.faults().len()), (200, 0));
    assert_eq!(world.get("/v2/late/manifests/1").await.status(), 200);
}

#[tokio::test]
async fn a_scenario_begins_anew() {
    let world = world().await;
    let scenario = r#"{"every":"30ms","steps":[{"release":true}]}"#;
    let scenario = Scenario::from_json(scenario).unwrap();
    let kind = Kind::ManifestGet;
    world.turn(Method::PUT, "faults", r#"[{"kinds":["manifest_get"],"effect":"hold"}]"#).await;
    let pulls = async {
        for _ in 0..3 {
            assert_eq!(world.get(&manifest_path("1")).await.status(), 200);
        }
    };
    tokio::select! {
        () = world.upstream.play(&scenario) => panic!("it has an end"),
        () = pulls => {}
    }
    assert_eq!(world.upstream.counters().of(kind), 3);
}
