//! Signing in: at upstreams, and at the gateway.

use reqwest::Method;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Auth, Credentials, Fault, Kind, TokenAuth, TokenField};
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::meta::MetaStore as _;
use roadstead_proto::state::command::{Command, PutToken};

use crate::world::{World, blob, eventually, manifest};

fn image(seed: u64) -> Image {
    Image::builder(seed).layers(&[200_000]).build()
}

async fn pull(world: &World, image: &Image) {
    world.upstream().push("team/app", "x", image);
    assert_eq!(world.get(&manifest("team/app", "x")).await.digest(), image.digest());
    for part in image.blobs() {
        assert_eq!(world.get(&blob("team/app", part.digest())).await.digest(), part.digest());
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_for_the_whole_repository() {
    for field in [TokenField::Both, TokenField::Token, TokenField::AccessToken] {
        let auth =
            TokenAuth { field, challenge_scope: Some("repository:user/image:pull".into()), ..TokenAuth::default() };
        let config = registry::Config { auth: Auth::Token(auth), ..registry::Config::default() };
        let world = World::with(vec![config], |_| {}).await;
        pull(&world, &image(1)).await;
        let counters = world.upstream().counters();
        assert_eq!(counters.of(Kind::Token), 1, "{field:?}");
        assert_eq!(counters.status(401), 1, "one challenge, then tokens are sent ahead");
    }
}

#[tokio::test]
async fn stored_credentials_sign_in_by_token_and_by_basic() {
    let credentials = Credentials::new("robot", "pass:word");
    let token = TokenAuth { credentials: Some(credentials.clone()), anonymous: false, ..TokenAuth::default() };
    for auth in [Auth::Token(token), Auth::Basic(credentials)] {
        let config = registry::Config { auth, ..registry::Config::default() };
        let world = World::with(vec![config], |settings| {
            settings[0].credentials = Some(World::credentials("robot", "pass:word"));
        })
        .await;
        pull(&world, &image(2)).await;
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced() {
    let config = registry::Config { auth: Auth::Token(TokenAuth::default()), ..registry::Config::default() };
    let world = World::with(vec![config], |_| {}).await;
    pull(&world, &image(3)).await;
    world.upstream().revoke_tokens();
    let next = image(4);
    world.upstream().push("team/app", "y", &next);
    assert_eq!(world.get(&manifest("team/app", "y")).await.digest(), next.digest());
    assert_eq!(world.upstream().counters().of(Kind::Token), 2);
}

async fn token(world: &World, group: u64, role: Role, text: &str) {
    let put = PutToken { name: text.into(), hash: TokenHash::of(text), group: GroupId(group), role, expires_at: None };
    world.meta.propose(Command::PutToken(put)).await.unwrap();
}

#[tokio::test]
async fn a_closed_gateway_wants_a_token() {
    let world = World::closed().await;
    let image = image(7);
    world.upstream().push("a", "x", &image);
    for url in [world.url(&manifest("a", "x")), format!("{}/v2/", world.base())] {
        for headers in [&[][..], &[("authorization", "Bearer rst_wrong")][..], &[("authorization", "Nonsense")][..]] {
            let refused = world.send(Method::GET, &url, headers).await.unwrap();
            assert_eq!(refused.status().as_u16(), 401, "{url} {headers:?}");
            assert!(refused.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
            assert!(refused.text().await.unwrap().contains("UNAUTHORIZED"));
        }
    }
    assert_eq!(world.upstream().counters().total(), 0);
    token(&world, 1, Role::Reader, "rst_reader").await;
    // The configuration arrives by watch.
    let signed_in = [("authorization", "Bearer rst_reader")];
    let accepted = async || world.request(Method::GET, "a/manifests/x", &signed_in).await.digest() == image.digest();
    eventually("the new token is accepted", accepted).await;
}

/// A registry that wants tokens.
async fn with_tokens() -> World {
    let auth = Auth::Token(TokenAuth::default());
    World::with(vec![registry::Config { auth, ..registry::Config::default() }], |_| {}).await
}

#[tokio::test]
async fn a_token_that_is_revoked_before_its_first_use_is_asked_for_once_more() {
    let world = with_tokens().await;
    let image = Image::builder(21).layers(&[10]).build();
    world.upstream().push("a", "x", &image);
    let refusal =
        format!(r#"Bearer realm="{}/token",service="synthetic",error="invalid_token""#, world.upstream().url());
    let revoked = |times| {
        [
            Fault::status(401, "UNAUTHORIZED").on(Kind::ManifestGet).skip(1).times(times),
            Fault::header("www-authenticate", &refusal).on(Kind::ManifestGet).skip(1).times(times),
        ]
    };
    world.upstream().set_faults(revoked(1));
    assert_eq!(world.get(&manifest("a", "x")).await.digest(), image.digest());
    assert_eq!(world.upstream().counters().of(Kind::Token), 2);
    // And where it is so each time, nobody has said that the image is not there.
    let other = Image::builder(22).layers(&[10]).build();
    world.upstream().push("b", "x", &other);
    world.upstream().set_faults(revoked(9));
    assert_eq!(world.get(&manifest("b", "x")).await.status.as_u16(), 502);
}

#[tokio::test]
async fn a_token_endpoint_that_moved_is_found_again() {
    let world = with_tokens().await;
    for (seed, tag) in [(23, "x"), (24, "y")] {
        world.upstream().push("a", tag, &Image::builder(seed).layers(&[10]).build());
    }
    assert_eq!(world.get(&manifest("a", "x")).await.status.as_u16(), 200);
    world.upstream().revoke_tokens();
    world.clock.advance(std::time::Duration::from_secs(3600));
    world.upstream().set_faults([Fault::status(500, "UNKNOWN").on(Kind::Token)]);
    assert_eq!(world.get(&manifest("a", "y")).await.status.as_u16(), 502);
    // The old address is dead, and the registry knows a new one: here it wants no token any more.
    world.upstream().set_auth(Auth::None);
    world.clock.advance(std::time::Duration::from_secs(3600));
    assert_eq!(world.get(&manifest("a", "y")).await.status.as_u16(), 200);
}

#[tokio::test]
async fn a_void_token_is_replaced_once_for_all_who_had_it() {
    let world = with_tokens().await;
    for n in 0..40 {
        world.upstream().push("a", &format!("t{n}"), &Image::builder(100 + n).layers(&[1000]).build());
    }
    world.get(&manifest("a", "t0")).await;
    let before = world.upstream().counters().of(Kind::Token);
    world.upstream().revoke_tokens();
    let paths: Vec<String> = (1..40).map(|n| manifest("a", &format!("t{n}"))).collect();
    let answers = futures::future::join_all(paths.iter().map(|path| world.get(path))).await;
    assert!(answers.iter().all(|answer| answer.status.is_success()));
    let tokens = world.upstream().counters().of(Kind::Token) - before;
    assert!(tokens <= 3, "{tokens} requests for one token");
}

#[tokio::test]
async fn only_denied_is_about_the_repository() {
    let world = World::start().await;
    for (n, (status, code, expected)) in
        [(401, "UNAUTHORIZED", 502), (403, "UNAUTHORIZED", 502), (403, "DENIED", 404)].into_iter().enumerate()
    {
        world.upstream().set_faults([Fault::status(status, code)]);
        world.clock.advance(std::time::Duration::from_secs(3600));
        let answer = world.get(&manifest("a", &format!("x{n}"))).await;
        assert_eq!(answer.status.as_u16(), expected, "{status} {code}");
    }
}
