//! The registries of this world, each as a [`Config`]. What is known of them and from where stands in
//! `docs/developers/stage.md`.

use std::fmt;
use std::str::FromStr;

use super::{Auth, Config, Credentials, Effect, Fault, Kind, RateLimit, Redirect, TokenAuth, TokenField, TokenRefusal};

/// A registry whose ways are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Docker Hub, `registry-1.docker.io`.
    DockerHub,
    /// Docker Hardened Images, `dhi.io`.
    Dhi,
    /// Microsoft's, `mcr.microsoft.com`.
    Mcr,
    /// Quay, `quay.io`.
    Quay,
    /// GitHub's, `ghcr.io`.
    Ghcr,
    /// The public ECR, `public.ecr.aws`.
    EcrPublic,
    /// Azure's, `*.azurecr.io`.
    Acr,
    /// A Harbor that keeps what it has of another registry in the project `proxy`.
    Harbor,
    /// A registry without any ways of its own: everybody may pull, nothing is redirected.
    Plain,
}

/// The project of [`Profile::Harbor`].
const HARBOR_PROJECT: &str = "proxy";

impl Profile {
    /// All of them.
    pub const ALL: [Profile; 9] = [
        Profile::DockerHub,
        Profile::Dhi,
        Profile::Mcr,
        Profile::Quay,
        Profile::Ghcr,
        Profile::EcrPublic,
        Profile::Acr,
        Profile::Harbor,
        Profile::Plain,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Profile::DockerHub => "docker-hub",
            Profile::Dhi => "dhi",
            Profile::Mcr => "mcr",
            Profile::Quay => "quay",
            Profile::Ghcr => "ghcr",
            Profile::EcrPublic => "ecr-public",
            Profile::Acr => "acr",
            Profile::Harbor => "harbor",
            Profile::Plain => "plain",
        }
    }

    /// The user that every registry with a login knows: `user`, whose password is `secret`.
    pub fn credentials() -> Credentials {
        Credentials::new("user", "secret")
    }

    /// Its ways. Addresses, TLS and faults are as of [`Config::default`].
    pub fn config(self) -> Config {
        let plain = Config::default();
        let redirect = Some(Redirect::default());
        let token = TokenAuth { credentials: Some(Self::credentials()), ..TokenAuth::default() };
        match self {
            Profile::DockerHub => Config {
                auth: Auth::Token(TokenAuth {
                    service: "registry.docker.io".into(),
                    missing_is_private: true,
                    post: None,
                    ..token
                }),
                redirect,
                rates: vec![RateLimit::default()],
                ..plain
            },
            Profile::Dhi => Config {
                auth: Auth::Token(TokenAuth { service: "dhi.io".into(), anonymous: false, ..token }),
                redirect,
                ..plain
            },
            Profile::Mcr => Config { redirect, ..plain },
            Profile::Quay => Config {
                auth: Auth::Token(TokenAuth {
                    realm: "/v2/auth".into(),
                    service: "quay.io".into(),
                    expires_in: Some(3600),
                    field: TokenField::Token,
                    ..token
                }),
                redirect: Some(Redirect { status: 302, ..Redirect::default() }),
                quirks: vec![Fault::new(Effect::OpaqueEtag).on_manifests()],
                untyped_manifests: true,
                ..plain
            },
            Profile::Ghcr => Config {
                auth: Auth::Token(TokenAuth {
                    service: "ghcr.io".into(),
                    expires_in: None,
                    field: TokenField::Token,
                    refusal: TokenRefusal::Forbidden,
                    missing_is_private: true,
                    foreign_token: Some(403),
                    ..token
                }),
                redirect,
                quirks: vec![Fault::new(Effect::StrictAccept).on_manifests()],
                ..plain
            },
            Profile::EcrPublic => Config {
                auth: Auth::Token(TokenAuth {
                    realm: "/token/".into(),
                    service: "public.ecr.aws".into(),
                    field: TokenField::Token,
                    ..token
                }),
                redirect: Some(Redirect { heads: true, ..Redirect::default() }),
                rates: vec![RateLimit::per_second(1, 10)],
                quirks: vec![Fault::new(Effect::OmitEtag).on_manifests()],
                ..plain
            },
            Profile::Acr => Config {
                auth: Auth::Token(TokenAuth {
                    realm: "/oauth2/token".into(),
                    service: "registry.azurecr.io".into(),
                    anonymous: false,
                    expires_in: None,
                    field: TokenField::AccessToken,
                    post: Some(400),
                    ..token
                }),
                redirect,
                ..plain
            },
            Profile::Harbor => Config {
                auth: Auth::Token(TokenAuth {
                    realm: "/service/token".into(),
                    service: "harbor-registry".into(),
                    expires_in: Some(1800),
                    ..token
                }),
                quirks: vec![Fault::new(Effect::ColdHead).on(Kind::BlobGet).on(Kind::BlobHead)],
                project: Some(HARBOR_PROJECT.into()),
                ..plain
            },
            Profile::Plain => plain,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        Self::ALL.into_iter().find(|profile| profile.name() == name).ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

/// Nobody plays a registry of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile `{0}`; there are {names}", names = Profile::ALL.map(Profile::name).join(", "))]
pub struct UnknownProfile(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_has_its_name() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
        }
        let unknown = "hub".parse::<Profile>().unwrap_err().to_string();
        assert!(unknown.contains("`hub`") && unknown.contains("docker-hub, dhi"), "{unknown}");
    }
}
