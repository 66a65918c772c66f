//! "Not here", "not now" and "not allowed" stay apart: every fault and every refusal, for every operation (architecture §5).

use std::time::Duration;

use reqwest::{Method, StatusCode};
use roadstead_gateway::config::Timeouts;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Auth, Config, Credentials, Effect, Fault, Kind, TokenAuth, TokenRefusal};
use roadstead_proto::domain::upstream::OnError;

use crate::world::{Answer, World, blob, eventually, manifest};

/// Little time for silence, and the usual for everything else: machines are slow at times.
fn patience(case: &Case) -> Timeouts {
    let timeouts = Timeouts::default();
    if case.name.starts_with("silence") {
        Timeouts { answer: Duration::from_millis(500), ..timeouts }
    } else {
        timeouts
    }
}

/// Longer than anything is remembered of an answer that was no content, and than a breaker stays open.
const LATER: Duration = Duration::from_secs(3600);

fn image() -> Image {
    Image::builder(1).layers(&[1_000]).build()
}

/// Every operation, of what only the second upstream has.
fn operations() -> Vec<(&'static str, Method, String)> {
    let (digest, layer) = (image().digest().to_owned(), image().layers()[0].digest().to_owned());
    vec![
        ("tag", Method::GET, manifest("a", "x")),
        ("head of a tag", Method::HEAD, manifest("a", "x")),
        ("digest", Method::GET, manifest("a", &digest)),
        ("blob", Method::GET, blob("a", &layer)),
        ("head of a blob", Method::HEAD, blob("a", &layer)),
        ("tags", Method::GET, "a/tags/list".to_owned()),
    ]
}

/// What goes wrong with the first upstream.
struct Case {
    name: &'static str,
    auth: Auth,
    credentials: Option<(&'static str, &'static str)>,
    faults: fn(&World) -> Vec<Fault>,
}

fn case(name: &'static str, faults: fn(&World) -> Vec<Fault>) -> Case {
    Case { name, auth: Auth::None, credentials: None, faults }
}

fn with_tokens(name: &'static str, faults: fn(&World) -> Vec<Fault>) -> Case {
    let known = TokenAuth { credentials: Some(Credentials::new("user", "right")), ..TokenAuth::default() };
    Case { name, auth: Auth::Token(known), credentials: Some(("user", "right")), faults }
}

/// A registry that says 401 whatever it is shown, and why.
fn unmoved(world: &World, error: &str) -> Vec<Fault> {
    let realm = format!("{}/token", world.upstreams[0].url());
    let challenge = format!("Bearer realm=\"{realm}\",service=\"synthetic\",error=\"{error}\"");
    let registry = |fault: Fault| {
        [Kind::ManifestHead, Kind::BlobGet, Kind::BlobHead, Kind::Tags, Kind::Referrers]
            .into_iter()
            .fold(fault.on(Kind::ManifestGet), Fault::on)
    };
    vec![registry(Fault::status(401, "UNAUTHORIZED")), registry(Fault::header("www-authenticate", &challenge))]
}

async fn world(case: &Case, on_error: OnError) -> World {
    let first = Config { auth: case.auth.clone(), ..Config::default() };
    let credentials = case.credentials.map(|(user, password)| World::credentials(user, password));
    let world = World::tuned(vec![first, Config::default()], patience(case), |settings| {
        settings[0].credentials = credentials;
        settings[0].on_error = on_error;
    })
    .await;
    world.upstreams[1].push("a", "x", &image());
    world.upstreams[0].set_faults((case.faults)(&world));
    world
}

/// Faults, with the answer's status, the metric's outcome, and `Retry-After` where the upstream's own is handed on.
fn faults() -> Vec<(Case, u16, &'static str, &'static str)> {
    vec![
        (case("429", |_| vec![Fault::status(429, "TOOMANYREQUESTS")]), 429, "rate_limited", ""),
        (case("429, bare", |_| vec![Fault::bare_status(429, "Too Many Requests")]), 429, "rate_limited", ""),
        (
            case("429 with a time", |_| {
                vec![Fault::status(429, "TOOMANYREQUESTS"), Fault::header("retry-after", "17")]
            }),
            429,
            "rate_limited",
            "17",
        ),
        (case("500", |_| vec![Fault::status(500, "UNKNOWN")]), 502, "server_error", ""),
        (case("502", |_| vec![Fault::bare_status(502, "bad gateway")]), 502, "server_error", ""),
        (
            case("503 with a date", |_| {
                let date = Fault::header("retry-after", "Thu, 01 Jan 1970 00:17:10 GMT");
                vec![Fault::bare_status(503, "Remote Auto Blocked"), date]
            }),
            502,
            "server_error",
            "30",
        ),
        (case("504", |_| vec![Fault::bare_status(504, "gateway time-out")]), 504, "server_error", ""),
        (
            case("403 that is not about the repository", |_| vec![Fault::bare_status(403, "blocked")]),
            502,
            "forbidden",
            "",
        ),
        (case("401 without a challenge", |_| vec![Fault::bare_status(401, "who?")]), 502, "unauthorized", ""),
        (case("418", |_| vec![Fault::bare_status(418, "teapot")]), 502, "status", ""),
        (case("disconnect", |_| vec![Fault::new(Effect::Disconnect)]), 502, "connection", ""),
        (case("silence", |_| vec![Fault::new(Effect::Hold)]), 504, "timeout", ""),
        (
            case("a redirect in a circle", |_| {
                let location = Fault::header("location", "/v2/");
                vec![Fault::bare_status(302, ""), location]
            }),
            502,
            "redirect",
            "",
        ),
        (
            with_tokens("429 of the token endpoint", |_| vec![Fault::bare_status(429, "slow").on(Kind::Token)]),
            429,
            "rate_limited",
            "",
        ),
        (
            with_tokens("500 of the token endpoint", |_| vec![Fault::bare_status(500, "oops").on(Kind::Token)]),
            502,
            "server_error",
            "",
        ),
        (
            with_tokens("silence of the token endpoint", |_| vec![Fault::new(Effect::Hold).on(Kind::Token)]),
            504,
            "timeout",
            "",
        ),
        (
            with_tokens("a token endpoint that says nonsense", |_| {
                vec![Fault::bare_status(200, "hello").on(Kind::Token)]
            }),
            502,
            "bad_answer",
            "",
        ),
        (
            with_tokens("a fresh token that is no token to it", |world| unmoved(world, "invalid_token")),
            502,
            "unauthorized",
            "",
        ),
        (
            Case {
                credentials: Some(("user", "wrong")),
                ..with_tokens("credentials that the token endpoint refuses", |_| vec![])
            },
            502,
            "credentials_refused",
            "",
        ),
        (
            Case {
                name: "credentials that the registry refuses",
                auth: Auth::Basic(Credentials::new("user", "right")),
                credentials: Some(("user", "wrong")),
                faults: |_| vec![],
            },
            502,
            "credentials_refused",
            "",
        ),
    ]
}

fn is_oci(answer: &Answer) -> bool {
    !answer.code().is_empty() && !answer.message().is_empty() && answer.header("content-type") == "application/json"
}

#[tokio::test]
async fn row_nothing_cached_and_the_upstream_fails_is_its_own_answer_and_never_another_upstreams() {
    for (case, status, outcome, retry_after) in faults() {
        for (operation, method, path) in operations() {
            let world = world(&case, OnError::Stop).await;
            let answer = world.request(method.clone(), &path, &[]).await;
            let what = format!("{} × {operation}", case.name);
            assert_eq!(answer.status.as_u16(), status, "{what}");
            assert!(method == Method::HEAD || is_oci(&answer), "{what}");
            match retry_after {
                "" => assert!(!answer.header("retry-after").is_empty(), "{what}"),
                named => assert_eq!(answer.header("retry-after"), named, "{what}"),
            }
            assert_eq!(world.upstreams[1].counters().total(), 0, "{what}: the lower upstream was asked");
            let outcome = format!("outcome=\"{outcome}\"");
            // The client's patience and the request's may end in either order.
            let counted = async || world.counted("roadstead_upstream_requests_total", &outcome).await;
            eventually(&format!("{what}: {outcome} is counted"), counted).await;
            // Nothing of it is taken for "not here": when it is over, it is over.
            world.upstreams[0].set_faults([]);
            if outcome.contains("credentials") {
                world.upstreams[0].set_auth(Auth::None);
            }
            world.upstreams[0].release();
            world.clock.advance(LATER);
            let after = world.request(method, &path, &[]).await;
            assert_eq!(after.status, StatusCode::OK, "{what}: the first now says that it is not there");
        }
    }
}

#[tokio::test]
async fn on_error_next_passes_over_every_fault_for_every_operation() {
    for (case, ..) in faults() {
        for (operation, method, path) in operations() {
            let world = world(&case, OnError::Next).await;
            let answer = world.request(method, &path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{} × {operation}", case.name);
        }
    }
}

#[tokio::test]
async fn row_nothing_cached_and_not_here_asks_the_next_upstream() {
    let private =
        |refusal| Auth::Token(TokenAuth { private: ["a".to_owned()].into(), refusal, ..TokenAuth::default() });
    let cases = [
        case("404", |_| vec![Fault::status(404, "NAME_UNKNOWN")]),
        case("404, bare", |_| vec![Fault::bare_status(404, "not found")]),
        case("403 DENIED", |_| vec![Fault::status(403, "DENIED")]),
        with_tokens("403 DENIED to accepted credentials", |_| {
            let all = [Kind::ManifestHead, Kind::BlobGet, Kind::BlobHead, Kind::Tags];
            vec![all.into_iter().fold(Fault::status(403, "DENIED").on(Kind::ManifestGet), Fault::on)]
        }),
        with_tokens("401 insufficient_scope to accepted credentials", |world| unmoved(world, "insufficient_scope")),
        Case { auth: private(TokenRefusal::Later), ..case("401 insufficient_scope to anybody", |_| vec![]) },
        Case { auth: private(TokenRefusal::Unauthorized), ..case("401 of the token endpoint to anybody", |_| vec![]) },
        Case { auth: private(TokenRefusal::Forbidden), ..case("403 of the token endpoint to anybody", |_| vec![]) },
    ];
    for case in cases {
        for (operation, method, path) in operations() {
            let world = world(&case, OnError::Stop).await;
            let answer = world.request(method, &path, &[]).await;
            assert_eq!(answer.status, StatusCode::OK, "{} × {operation}", case.name);
        }
    }
}

#[tokio::test]
async fn row_nothing_cached_and_nobody_has_it_is_404_that_names_it_and_is_remembered_briefly() {
    let world = World::with(vec![Config::default(), Config::default()], |_| {}).await;
    for (path, code, named) in [
        (manifest("a/b", "missing"), "MANIFEST_UNKNOWN", "a/b:missing"),
        (blob("a/b", image().digest()), "BLOB_UNKNOWN", image().digest()),
        ("a/b/tags/list".to_owned(), "NAME_UNKNOWN", "a/b"),
    ] {
        world.clock.advance(LATER);
        let mut asked = world.upstream().counters().total();
        for round in 0..3 {
            let answer = world.get(&path).await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, code), "{path}");
            assert!(answer.message().contains(named), "{path}: {}", answer.message());
            assert_eq!(answer.header("retry-after"), "", "{path}: it is no fault");
            let now = world.upstream().counters().total();
            assert!(round == 0 || now == asked, "{path}: asked again at once");
            asked = now;
        }
        world.clock.advance(Duration::from_secs(10));
        world.get(&path).await;
        assert!(world.upstream().counters().total() > asked, "{path}: remembered for too long");
    }
}

#[tokio::test]
async fn row_nothing_cached_one_word_at_docker_hub_gets_the_hint() {
    let world = World::of_docker_hub().await;
    world.upstream().push("library/alpine", "3", &image());
    let answer = world.get(&manifest("alpine", "3")).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN"));
    assert!(answer.message().contains("library/alpine"), "{}", answer.message());
    assert_eq!(world.get(&manifest("library/alpine", "3")).await.digest(), image().digest());
    assert!(!world.get(&manifest("other/alpine", "3")).await.message().contains("library/"));
}

#[tokio::test]
async fn referrers_of_an_image_whose_own_upstream_fails_are_no_other_upstreams_list() {
    for (case, status, ..) in faults() {
        // Without a token there is no image to begin with.
        if case.credentials.is_some() {
            continue;
        }
        let world = World::tuned(vec![Config::default(), Config::default()], patience(&case), |_| {}).await;
        let signature = Image::artifact(2, "application/x-signature", image().manifest(), 50);
        world.upstreams[0].push("a", "x", &image());
        world.upstreams[1].push("a", "sig", &signature);
        world.get(&manifest("a", "x")).await;
        world.settle(image().digest()).await;
        world.upstreams[0].set_faults((case.faults)(&world));
        let answer = world.get(&format!("a/referrers/{}", image().digest())).await;
        // Some registries say 4xx to the question itself, and are asked for the fallback tag, which fails then.
        assert_eq!(answer.status.as_u16(), status, "{}", case.name);
        assert!(is_oci(&answer), "{}", case.name);
    }
}
