//! Who may pull: Basic, and the token flow with its corners.

use reqwest::{Method, Response};
use roadstead_loadtest::registry::{Auth, Config, Counters, Credentials, Kind, TokenAuth, TokenField, TokenRefusal};
use serde_json::Value;

use crate::world::{REPOSITORY, World, header, manifest_path};

const SCOPE: &str = "repository:library/demo:pull";

async fn world(auth: TokenAuth) -> World {
    World::with(Config { auth: Auth::Token(auth), ..Config::default() }).await
}

fn private() -> TokenAuth {
    TokenAuth {
        credentials: Some(Credentials::new("user", "secret")),
        private: [REPOSITORY.to_owned()].into(),
        ..TokenAuth::default()
    }
}

impl World {
    async fn ask_token(&self, scope: &str, credentials: Option<(&str, &str)>) -> Response {
        let request = self.request(Method::GET, &format!("/token?service=synthetic&scope={scope}"));
        match credentials {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        }
        .send()
        .await
        .unwrap()
    }

    async fn token(&self, scope: &str, credentials: Option<(&str, &str)>) -> String {
        let answer = self.ask_token(scope, credentials).await.bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    async fn get_with(&self, token: &str) -> Response {
        self.request(Method::GET, &manifest_path("1")).bearer_auth(token).send().await.unwrap()
    }
}

#[tokio::test]
async fn basic_wants_the_password_every_time() {
    let auth = Auth::Basic(Credentials::new("user", "secret"));
    let world = World::with(Config { auth, ..Config::default() }).await;
    let refused = world.get("/v2/").await;
    assert_eq!(refused.status(), 401);
    assert_eq!(header(&refused, "www-authenticate"), Some("Basic realm=\"synthetic\""));
    for (password, status) in [("wrong", 401), ("secret", 200)] {
        let request = world.request(Method::GET, &manifest_path("1")).basic_auth("user", Some(password));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn the_challenge_leads_to_a_token_that_opens_the_repository() {
    let world = world(TokenAuth::default()).await;
    let url = world.upstream.url();
    let ping = world.get("/v2/").await;
    assert_eq!(ping.status(), 401);
    let expected = format!("Bearer realm=\"{url}/token\",service=\"synthetic\"");
    assert_eq!(header(&ping, "www-authenticate"), Some(expected.as_str()));
    let refused = world.get(&manifest_path("1")).await;
    let expected = format!("{expected},scope=\"{SCOPE}\"");
    assert_eq!(header(&refused, "www-authenticate"), Some(expected.as_str()));
    let token = world.token(SCOPE, None).await;
    assert_eq!(world.get_with(&token).await.status(), 200);
    assert_eq!(world.upstream.counters().of_key(Kind::Token, SCOPE), 1);
}

#[tokio::test]
async fn a_token_for_something_else_is_not_enough() {
    let world = world(TokenAuth::default()).await;
    let token = world.token("repository:other:pull", None).await;
    let refused = world.get_with(&token).await;
    assert_eq!(refused.status(), 401);
    assert!(header(&refused, "www-authenticate").unwrap().ends_with(",error=\"insufficient_scope\""));
    let refused = world.get_with("made-up").await;
    assert!(header(&refused, "www-authenticate").unwrap().ends_with(",error=\"invalid_token\""));
}

#[tokio::test]
async fn a_private_repository_wants_credentials() {
    let world = world(private()).await;
    let anonymous = world.token(SCOPE, None).await;
    assert_eq!(world.get_with(&anonymous).await.status(), 401);
    let token = world.token(SCOPE, Some(("user", "secret"))).await;
    assert_eq!(world.get_with(&token).await.status(), 200);
    assert_eq!(world.ask_token(SCOPE, Some(("user", "wrong"))).await.status(), 401);
    // What is not private stays open.
    world.upstream.push("open", "1", &world.image);
    let token = world.token("repository:open:pull", None).await;
    let request = world.request(Method::GET, "/v2/open/manifests/1").bearer_auth(token);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn some_token_endpoints_refuse_at_once() {
    for (refusal, status) in [(TokenRefusal::Unauthorized, 401), (TokenRefusal::Forbidden, 403)] {
        let world = world(TokenAuth { refusal, ..private() }).await;
        assert_eq!(world.ask_token(SCOPE, None).await.status(), status);
        assert_eq!(world.ask_token(SCOPE, Some(("user", "secret"))).await.status(), 200);
    }
    let world = world(TokenAuth { anonymous: false, ..private() }).await;
    assert_eq!(world.ask_token("repository:open:pull", None).await.status(), 401);
}

#[tokio::test]
async fn the_service_has_to_be_the_one_of_the_challenge() {
    let world = world(TokenAuth::default()).await;
    assert_eq!(world.get(&format!("/token?service=other&scope={SCOPE}")).await.status(), 400);
    assert_eq!(world.get(&format!("/token?scope={SCOPE}")).await.status(), 400);
}

#[tokio::test]
async fn tokens_expire_and_are_revoked() {
    let world = world(TokenAuth { expires_in: Some(0), ..TokenAuth::default() }).await;
    let expired = world.token(SCOPE, None).await;
    assert_eq!(world.get_with(&expired).await.status(), 401);
    world.upstream.set_auth(Auth::Token(TokenAuth::default()));
    let token = world.token(SCOPE, None).await;
    assert_eq!(world.get_with(&token).await.status(), 200);
    world.upstream.revoke_tokens();
    assert_eq!(world.get_with(&token).await.status(), 401);
}

#[tokio::test]
async fn the_answer_is_spelled_as_wanted() {
    for (field, expires_in, keys) in [
        (TokenField::Both, Some(300), vec!["access_token", "expires_in", "token"]),
        (TokenField::Token, None, vec!["token"]),
        (TokenField::AccessToken, None, vec!["access_token"]),
    ] {
        let world = world(TokenAuth { field, expires_in, ..TokenAuth::default() }).await;
        let answer = world.ask_token(SCOPE, None).await.bytes().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    }
}

#[tokio::test]
async fn a_placeholder_scope_misleads_who_believes_it() {
    let scope = "repository:user/image:pull";
    let world = world(TokenAuth { challenge_scope: Some(scope.into()), ..TokenAuth::default() }).await;
    let refused = world.get(&manifest_path("1")).await;
    assert!(header(&refused, "www-authenticate").unwrap().ends_with(&format!(",scope=\"{scope}\"")));
    let believed = world.token(scope, None).await;
    assert_eq!(world.get_with(&believed).await.status(), 401);
    let own = world.token(SCOPE, None).await;
    assert_eq!(world.get_with(&own).await.status(), 200);
}

#[tokio::test]
async fn secrets_are_not_recorded() {
    let world = world(private()).await;
    let token = world.token(SCOPE, Some(("user", "secret"))).await;
    world.get_with(&token).await;
    let counters: Counters = world.upstream.counters();
    assert_eq!(counters.last(Kind::Token).unwrap().authorization.as_deref(), Some("Basic"));
    assert_eq!(counters.last(Kind::ManifestGet).unwrap().authorization.as_deref(), Some("Bearer"));
    assert!(!format!("{counters:?}").contains(&token));
}

#[tokio::test]
async fn the_token_endpoint_may_be_at_another_host() {
    let world = world(TokenAuth { realm_host: Some("localhost".into()), ..TokenAuth::default() }).await;
    let refused = world.get("/v2/").await;
    let expected = format!("realm=\"http://localhost:{}/token\"", world.upstream.addr().port());
    assert!(header(&refused, "www-authenticate").unwrap().contains(&expected));
}
