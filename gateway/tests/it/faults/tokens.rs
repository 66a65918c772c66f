//! What goes wrong at the token endpoint.

use roadstead_loadtest::registry::{self, Auth, Credentials, Effect, Fault, Kind, TokenAuth, TokenField, TokenRefusal};

use super::lines;
use super::play::{Case, Pull, Sees, case};

fn registry(auth: TokenAuth) -> registry::Config {
    registry::Config { auth: Auth::Token(auth), ..registry::Config::default() }
}

/// A tag is pulled from a registry that wants a token.
fn tag(fault: &'static str, by: impl IntoIterator<Item = Fault>) -> Case {
    let case = case(fault).at(registry(TokenAuth::default())).by(by).pulling(Pull::Tag).layer(1000);
    case.asked([(Kind::ManifestGet, 1), (Kind::Token, 1)]).seen(BAD_GATEWAY)
}

fn at_endpoint(effect: Effect) -> Fault {
    Fault::new(effect).on(Kind::Token)
}

const BAD_GATEWAY: Sees = Sees::Refused(502, "UNAVAILABLE");

fn credentials() -> Option<Credentials> {
    Some(Credentials::new("user", "right"))
}

lines! {
    "Tokens",

    the_endpoint_fails => tag("the token endpoint says 500", [Fault::status(500, "UNKNOWN").on(Kind::Token)]),
    the_endpoint_limits => tag("the token endpoint says 429", [Fault::status(429, "TOOMANYREQUESTS").on(Kind::Token)])
        .seen(Sees::Refused(429, "TOOMANYREQUESTS")),
    the_endpoint_is_silent => tag("the token endpoint does not answer", [at_endpoint(Effect::Hold)]).impatient()
        .seen(Sees::Refused(504, "UNAVAILABLE")),
    the_endpoint_gives_a_page => tag("200 and an HTML page in place of a token", [at_endpoint(Effect::Garbage)]),
    the_endpoint_is_endless => tag("the token endpoint's answer never ends", [at_endpoint(Effect::Endless)]),
    the_endpoint_refuses_strangers => tag("the token endpoint refuses an anonymous pull of this repository (401)", [])
        .at(registry(TokenAuth { private: ["a/b".to_owned()].into(), refusal: TokenRefusal::Unauthorized, ..TokenAuth::default() }))
        .seen(Sees::Refused(404, "MANIFEST_UNKNOWN")),
    the_registry_refuses_a_good_token => tag("the token is issued without the scope, and the registry says 401", [])
        .at(registry(TokenAuth { private: ["a/b".to_owned()].into(), ..TokenAuth::default() }))
        .seen(Sees::Refused(404, "MANIFEST_UNKNOWN")).asked([(Kind::ManifestGet, 2), (Kind::Token, 1)]),
    our_credentials_are_refused => tag("the token endpoint refuses the stored credentials (401)", [])
        .at(registry(TokenAuth { credentials: credentials(), anonymous: false, ..TokenAuth::default() }))
        .signed_in("user", "wrong"),
    the_challenge_names_another_scope => tag("the challenge names a placeholder as scope", [])
        .at(registry(TokenAuth { challenge_scope: Some("repository:user/image:pull".into()), ..TokenAuth::default() }))
        .seen(Sees::Whole).kept().asked([(Kind::ManifestGet, 2), (Kind::Token, 1)]),
    only_access_token_is_there => tag("the answer has `access_token` only, and no lifetime", [])
        .at(registry(TokenAuth { field: TokenField::AccessToken, expires_in: None, ..TokenAuth::default() }))
        .seen(Sees::Whole).kept().asked([(Kind::ManifestGet, 2), (Kind::Token, 1)]),
}
