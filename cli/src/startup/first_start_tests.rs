use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::clock::SystemClock;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::upstream::OnError;
use roadstead_proto::meta::memory::InMemoryMeta;
use roadstead_proto::meta::{Consistency, MetaStore as _};
use roadstead_proto::state::command::Command;

use super::*;
use crate::directory::secret_key;
use crate::settings::named::SignIn;
use crate::settings::{self, PullFlags, RoleDefaults};

fn settings() -> Settings {
    let role = RoleDefaults { data_dir: "./data", drain_delay: std::time::Duration::ZERO };
    settings::resolve(PullFlags::default(), None, role, |_| None).unwrap()
}

fn with_password(mut settings: Settings) -> Settings {
    let password = Secret::new("hunter2hunter2");
    settings.upstreams[1].sign_in = Some(SignIn { username: "me".to_owned(), password });
    settings
}

async fn stored(settings: &Settings, keyring: &Keyring) -> Configuration {
    let meta = InMemoryMeta::new(Arc::new(SystemClock));
    meta.propose(Command::Bootstrap(bootstrap(settings, keyring).unwrap())).await.unwrap();
    meta.configuration(Consistency::Linearizable).await.unwrap()
}

#[tokio::test]
async fn the_first_registry_has_what_was_named_in_order() {
    let keyring = Keyring::generate().unwrap();
    let configuration = stored(&with_password(settings()), &keyring).await;
    assert_eq!(configuration.groups[0].path, "default");
    let (registry, upstreams) = first_registry(&configuration).unwrap();
    assert_eq!(registry.id, RegistryId(1));
    let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.settings.name.as_str()).collect();
    assert_eq!(names, ["docker-hub", "mcr", "quay"]);
    let credentials = upstreams[1].settings.credentials.as_ref().unwrap();
    assert_eq!(credentials.username, "me");
    assert_eq!(keyring.open(&credentials.password).unwrap().expose(), "hunter2hunter2");
}

#[tokio::test]
async fn the_same_upstreams_are_no_difference() {
    let keyring = Keyring::generate().unwrap();
    let settings = with_password(settings());
    let configuration = stored(&settings, &keyring).await;
    let (_, upstreams) = first_registry(&configuration).unwrap();
    assert_eq!(difference(&settings.upstreams, &upstreams, &keyring, StartOver::NewDirectory), None);
}

#[tokio::test]
async fn every_difference_is_reported_with_what_is_stored() {
    let keyring = Keyring::generate().unwrap();
    let settings = with_password(settings());
    let configuration = stored(&settings, &keyring).await;
    let (_, upstreams) = first_registry(&configuration).unwrap();
    let changes: [fn(&mut Vec<NamedUpstream>); 7] = [
        |named| named.swap(0, 1),
        |named| named.truncate(2),
        |named| named[0].name.push('x'),
        |named| named[0].url = "https://other.example".parse().unwrap(),
        |named| named[0].validity = Duration::from_secs(1),
        |named| named[0].on_error = OnError::Next,
        |named| named[1].sign_in.as_mut().unwrap().password = Secret::new("other"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut named = settings.upstreams.clone();
        change(&mut named);
        let told = difference(&named, &upstreams, &keyring, StartOver::NewDirectory)
            .unwrap_or_else(|| panic!("change {number} went unnoticed"));
        assert!(told.contains("docker-hub=https://registry-1.docker.io (valid for 24h)"), "{told}");
        assert!(told.contains("mcr=https://mcr.microsoft.com (valid for 24h, as me)"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn another_key_or_none_is_refused_where_something_is_sealed() {
    let keyring = Keyring::generate().unwrap();
    let configuration = stored(&with_password(settings()), &keyring).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret-key");
    let obtain = |environment: Option<&Secret>| secret_key::obtain(&path, environment, &configuration);

    let lost = obtain(None).unwrap_err().to_string();
    assert!(lost.contains("`mcr` is sealed under a key that is not here"), "{lost}");
    assert!(!path.exists());
    let other = Keyring::generate().unwrap().to_hex();
    let wrong = obtain(Some(&other)).unwrap_err().to_string();
    assert!(wrong.contains("cannot be opened with the key of ROADSTEAD_SECRET_KEY"), "{wrong}");
    assert!(obtain(Some(&keyring.to_hex())).is_ok());

    std::fs::write(&path, "nonsense").unwrap();
    assert!(obtain(None).unwrap_err().to_string().contains("holds no key"));
    std::fs::write(&path, keyring.to_hex().expose()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(obtain(None).unwrap().warning.unwrap().contains("chmod 600"));
}

#[tokio::test]
async fn a_key_is_made_where_nothing_is_sealed() {
    let keyring = Keyring::generate().unwrap();
    let configuration = stored(&settings(), &keyring).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret-key");
    let made = secret_key::obtain(&path, None, &configuration).unwrap().keyring;
    let kept = secret_key::obtain(&path, None, &configuration).unwrap().keyring;
    assert_eq!(made.to_hex(), kept.to_hex());
}
