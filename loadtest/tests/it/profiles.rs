//! Every registry in its own ways.

use reqwest::{Method, RequestBuilder, Response};
use roadstead_loadtest::registry::{Auth, Config, Kind, Profile, RateLimit, Recipe};
use serde_json::Value;

use crate::world::{REPOSITORY, World, header, manifest_path};

const USER: Option<(&str, &str)> = Some(("user", "secret"));

async fn world(profile: Profile) -> World {
    World::with(profile.config()).await
}

impl World {
    /// What the challenge of `/v2/` says of realm and service, the address taken off.
    async fn challenge(&self) -> (u16, String, String) {
        let refused = self.get("/v2/").await;
        let challenge = header(&refused, "www-authenticate").unwrap().to_owned();
        let value = |name: &str| challenge.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        let realm = value("realm").strip_prefix(&self.upstream.url()).unwrap().to_owned();
        (refused.status().as_u16(), realm, value("service").to_owned())
    }

    async fn asked_token(&self, repository: &str, user: Option<(&str, &str)>) -> Response {
        let (_, realm, service) = self.challenge().await;
        let request =
            self.request(Method::GET, &format!("{realm}?service={service}&scope=repository:{repository}:pull"));
        let request = match user {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        };
        request.send().await.unwrap()
    }

    /// The answer of the token endpoint and the token itself, by whichever name it has.
    async fn signed_in(&self, repository: &str, user: Option<(&str, &str)>) -> (Value, String) {
        let answer = self.asked_token(repository, user).await;
        assert_eq!(answer.status(), 200);
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        let token = answer.get("token").or(answer.get("access_token")).unwrap().as_str().unwrap().to_owned();
        (answer, token)
    }

    fn with_token(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(token)
    }
}

#[tokio::test]
async fn every_registry_challenges_with_its_realm_and_service() {
    for (profile, realm, service) in [
        (Profile::DockerHub, "/token", "registry.docker.io"),
        (Profile::Dhi, "/token", "dhi.io"),
        (Profile::Quay, "/v2/auth", "quay.io"),
        (Profile::Ghcr, "/token", "ghcr.io"),
        (Profile::EcrPublic, "/token/", "public.ecr.aws"),
        (Profile::Acr, "/oauth2/token", "registry.azurecr.io"),
        (Profile::Harbor, "/service/token", "harbor-registry"),
    ] {
        let world = world(profile).await;
        assert_eq!(world.challenge().await, (401, realm.to_owned(), service.to_owned()), "{profile}");
    }
    for profile in [Profile::Mcr, Profile::Plain] {
        let ping = world(profile).await.get("/v2/").await;
        assert_eq!((ping.status().as_u16(), header(&ping, "www-authenticate")), (200, None), "{profile}");
    }
}

#[tokio::test]
async fn tokens_are_spelled_and_live_as_they_do_there() {
    for (profile, fields, expires_in) in [
        (Profile::DockerHub, &["access_token", "expires_in", "token"][..], Some(300)),
        (Profile::Quay, &["expires_in", "token"], Some(3600)),
        (Profile::Ghcr, &["token"], None),
        (Profile::EcrPublic, &["expires_in", "token"], Some(300)),
        (Profile::Acr, &["access_token"], None),
        (Profile::Harbor, &["access_token", "expires_in", "token"], Some(1800)),
    ] {
        let world = world(profile).await;
        let repository = if profile == Profile::Harbor { "proxy/library/demo" } else { REPOSITORY };
        let (answer, token) = world.signed_in(repository, USER).await;
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), fields, "{profile}");
        assert_eq!(answer["expires_in"].as_u64(), expires_in, "{profile}");
        let path = format!("/v2/{repository}/manifests/1");
        let pull = world.with_token(Method::GET, &path, &token).header("accept", "*/*");
        assert_eq!(pull.send().await.unwrap().status(), 200, "{profile}");
    }
}

#[tokio::test]
async fn some_let_nobody_in_without_a_login() {
    for (profile, anonymous) in [
        (Profile::DockerHub, 200),
        (Profile::Dhi, 401),
        (Profile::Quay, 200),
        (Profile::Ghcr, 200),
        (Profile::EcrPublic, 200),
        (Profile::Acr, 401),
    ] {
        let world = world(profile).await;
        assert_eq!(world.asked_token(REPOSITORY, None).await.status(), anonymous, "{profile}");
        assert_eq!(world.asked_token(REPOSITORY, USER).await.status(), 200, "{profile}");
        assert_eq!(world.get(&manifest_path("1")).await.status(), 401, "{profile}");
        assert_eq!(world.asked_token(REPOSITORY, Some(("user", "wrong"))).await.status(), 401, "{profile}");
    }
}

#[tokio::test]
async fn blobs_are_elsewhere_at_most_of_them() {
    for (profile, status, head) in [
        (Profile::DockerHub, 307, 200),
        (Profile::Dhi, 307, 200),
        (Profile::Mcr, 307, 200),
        (Profile::Quay, 302, 200),
        (Profile::Ghcr, 307, 200),
        (Profile::EcrPublic, 307, 307),
        (Profile::Acr, 307, 200),
        (Profile::Plain, 200, 200),
    ] {
        let world = world(profile).await;
        world.upstream.set_auth(Auth::None);
        let blob = world.get_layer().await;
        assert_eq!(blob.status(), status, "{profile}");
        assert_eq!(world.head(&world.layer_path()).await.status(), head, "{profile}");
        if status != 200 {
            // The signature covers nothing but a GET without credentials.
            let location = header(&blob, "location").unwrap();
            assert_eq!(world.client.head(location).send().await.unwrap().status(), 403, "{profile}");
            assert_eq!(world.client.get(location).bearer_auth("t").send().await.unwrap().status(), 400, "{profile}");
            assert_eq!(world.client.get(location).send().await.unwrap().status(), 200, "{profile}");
        }
    }
}

#[tokio::test]
async fn docker_hub_counts_pulls_down_to_a_429() {
    let config = Config { rates: vec![RateLimit { spent: 98, ..RateLimit::default() }], ..Profile::DockerHub.config() };
    let world = World::with(config).await;
    let (_, token) = world.signed_in(REPOSITORY, None).await;
    let path = manifest_path("1");
    let ask = |method| world.with_token(method, &path, &token).send();
    let remaining = |answer: &Response| header(answer, "ratelimit-remaining").map(str::to_owned);
    for _ in 0..3 {
        let head = ask(Method::HEAD).await.unwrap();
        assert_eq!((head.status().as_u16(), remaining(&head).as_deref()), (200, Some("2;w=21600")));
        assert_eq!(header(&head, "ratelimit-limit"), Some("100;w=21600"));
        assert_eq!(header(&head, "docker-ratelimit-source"), Some("127.0.0.1"));
    }
    for left in ["1;w=21600", "0;w=21600"] {
        let pulled = ask(Method::GET).await.unwrap();
        assert_eq!((pulled.status().as_u16(), remaining(&pulled).as_deref()), (200, Some(left)));
    }
    let refused = ask(Method::GET).await.unwrap();
    assert_eq!((refused.status().as_u16(), remaining(&refused).as_deref()), (429, Some("0;w=21600")));
    let text = refused.text().await.unwrap();
    assert!(text.contains("TOOMANYREQUESTS") && text.contains("https://www.docker.com/increase-rate-limit"), "{text}");
    // Asking is still free, what is not there costs nothing, and whoever signs in has a budget of his own.
    assert_eq!(ask(Method::HEAD).await.unwrap().status(), 200);
    let missing = world.with_token(Method::GET, &manifest_path("none"), &token).send().await.unwrap();
    assert_eq!(missing.status(), 404);
    let (_, token) = world.signed_in(REPOSITORY, USER).await;
    let pulled = world.with_token(Method::GET, &path, &token).send().await.unwrap();
    assert_eq!(header(&pulled, "ratelimit-remaining"), Some("101;w=21600"));
    // Every one of them was counted.
    assert_eq!(world.upstream.counters().of_key(Kind::ManifestGet, "library/demo:1"), 4);
}

#[tokio::test]
async fn docker_hub_refuses_abuse_without_a_word() {
    let config = Config { rates: vec![RateLimit::abuse(3, 60)], ..Profile::DockerHub.config() };
    let world = World::with(config).await;
    // The challenge and the token are requests too.
    let (_, token) = world.signed_in(REPOSITORY, USER).await;
    let head = world.with_token(Method::HEAD, &manifest_path("1"), &token).send().await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "ratelimit-limit")), (200, None));
    let refused = world.with_token(Method::GET, &world.layer_path(), &token).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (429, None));
    assert_eq!(refused.text().await.unwrap(), "Too Many Requests");
    assert_eq!(world.upstream.counters().of(Kind::BlobGet), 1);
}

#[tokio::test]
async fn docker_hub_does_not_tell_missing_from_private_and_takes_forms() {
    let world = world(Profile::DockerHub).await;
    let (_, token) = world.signed_in("library/none", None).await;
    let refused = world.with_token(Method::GET, "/v2/library/none/manifests/1", &token).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(header(&refused, "www-authenticate").unwrap().contains("error=\"insufficient_scope\""));
    let form = "grant_type=password&client_id=c&service=registry.docker.io&username=user&password=secret\
                &scope=repository:library/demo:pull";
    let answer = world.request(Method::POST, "/token").body(form).send().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let token = answer["access_token"].as_str().unwrap();
    assert_eq!(world.with_token(Method::GET, &manifest_path("1"), token).send().await.unwrap().status(), 200);
    assert_eq!(world.upstream.counters().of_key(Kind::Token, "repository:library/demo:pull"), 1);
    let wrong = world.request(Method::POST, "/token").body(form.replace("secret", "wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
}

#[tokio::test]
async fn quay_leaves_the_type_out_and_tags_in_its_own_way() {
    let world = world(Profile::Quay).await;
    world.upstream.set_auth(Auth::None);
    let recipe = Recipe { repository: "a/b".into(), tag: "1".into(), seed: 1, layers: vec![10], tar: false };
    let made = world.upstream.make(recipe).await;
    let manifest = world.get("/v2/a/b/manifests/1").await;
    assert_eq!(header(&manifest, "content-type"), Some("application/vnd.oci.image.manifest.v1+json"));
    let etag = header(&manifest, "etag").unwrap().to_owned();
    assert!(!etag.contains(&made.digest["sha256:".len()..]), "{etag}");
    let body: Value = serde_json::from_slice(&manifest.bytes().await.unwrap()).unwrap();
    assert_eq!((body.get("mediaType"), &body["schemaVersion"]), (None, &2.into()));
    let again = world.request(Method::GET, "/v2/a/b/manifests/1").header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
}

#[tokio::test]
async fn ghcr_is_strict_about_types_and_says_no_at_its_token_endpoint() {
    let world = world(Profile::Ghcr).await;
    assert_eq!(world.asked_token("library/none", None).await.status(), 403);
    assert_eq!(world.asked_token("library/none", USER).await.status(), 403);
    let (_, token) = world.signed_in(REPOSITORY, None).await;
    let ask = |accept: &'static str| {
        world.with_token(Method::GET, &manifest_path("1"), &token).header("accept", accept).send()
    };
    let refused = ask("application/vnd.docker.distribution.manifest.v2+json").await.unwrap();
    assert_eq!(refused.status(), 404);
    assert!(refused.text().await.unwrap().contains("MANIFEST_UNKNOWN"));
    assert_eq!(ask("application/vnd.oci.image.manifest.v1+json").await.unwrap().status(), 200);
    // A personal token has to be exchanged first.
    assert_eq!(world.with_token(Method::GET, &manifest_path("1"), "ghp_secret").send().await.unwrap().status(), 403);
    world.upstream.revoke_tokens();
    assert_eq!(ask("*/*").await.unwrap().status(), 401);
    // Its token endpoint knows nothing of forms.
    assert_eq!(world.request(Method::POST, "/token").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn the_public_ecr_has_so_many_pulls_a_second_and_no_tags() {
    // An hour, so that the second does not end in the middle of the test.
    let mut config = Profile::EcrPublic.config();
    assert_eq!(
        (config.rates[0].window_seconds, config.rates[0].anonymous, config.rates[0].signed_in),
        (1, Some(1), Some(10))
    );
    config.rates[0].window_seconds = 3600;
    let world = World::with(config).await;
    let (_, token) = world.signed_in(REPOSITORY, None).await;
    let pull = || world.with_token(Method::GET, &manifest_path("1"), &token).send();
    let pulled = pull().await.unwrap();
    assert_eq!((pulled.status().as_u16(), header(&pulled, "etag")), (200, None));
    assert_eq!(header(&pulled, "ratelimit-limit"), None);
    let refused = pull().await.unwrap();
    assert_eq!(refused.status(), 429);
    let text = refused.text().await.unwrap();
    assert!(text.contains("TOOMANYREQUESTS") && text.contains("Rate exceeded"), "{text}");
}

#[tokio::test]
async fn acr_wants_a_get_where_others_take_a_post() {
    let world = world(Profile::Acr).await;
    let form = "grant_type=password&service=registry.azurecr.io&username=user&password=secret\
                &scope=repository:library/demo:pull";
    assert_eq!(world.request(Method::POST, "/oauth2/token").body(form).send().await.unwrap().status(), 400);
    assert_eq!(world.asked_token(REPOSITORY, USER).await.status(), 200);
    assert_eq!(world.upstream.counters().of_key(Kind::Token, "repository:library/demo:pull"), 2);
}

#[tokio::test]
async fn harbor_has_projects_and_does_not_know_what_it_has_not_fetched() {
    let world = world(Profile::Harbor).await;
    world.upstream.set_auth(Auth::None);
    assert_eq!(world.get("/v2/library/demo/manifests/1").await.status(), 404);
    assert_eq!(world.get("/v2/proxy/library/demo/manifests/1").await.status(), 200);
    let moved = world.get("/v2/proxy/demo/manifests/1").await;
    assert_eq!(
        (moved.status().as_u16(), header(&moved, "location")),
        (301, Some("/v2/proxy/library/demo/manifests/1"))
    );
    let blob = format!("/v2/proxy/library/demo/blobs/{}", world.layer().digest());
    assert_eq!(world.head(&blob).await.status(), 404);
    assert_eq!(world.get(&blob).await.status(), 200);
    assert_eq!(world.head(&blob).await.status(), 200);
    let counters = world.upstream.counters();
    assert_eq!(counters.of_key(Kind::ManifestGet, "proxy/demo:1"), 1);
    assert_eq!(counters.of_key(Kind::ManifestGet, "proxy/library/demo:1"), 1);
}
