//! Passwords of upstreams: they reach the upstream, and nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roadstead_loadtest::registry::{Auth, Config, Credentials, TokenAuth};

use crate::process::{Roadstead, files, refused};
use crate::world::{TAG, World};

const USER: &str = "somebody";
const PASSWORD: &str = "correct-horse-battery-staple";

/// An upstream that lets nobody else in.
async fn guarded() -> World {
    let credentials = Credentials::new(USER, PASSWORD);
    let auth = TokenAuth { credentials: Some(credentials), anonymous: false, ..TokenAuth::default() };
    World::with(Config { auth: Auth::Token(auth), ..Config::default() }).await
}

/// A configuration file that names the password by `source`.
fn configured(world: &World, source: &str) -> String {
    let text =
        format!("[[upstream]]\nname = 'guarded'\nurl = '{}'\nusername = '{USER}'\n{source}\n", world.upstream.url());
    world.write("serve.toml", &text)
}

fn with_password_file(world: &World) -> String {
    let path = world.write("password", &format!("{PASSWORD}\n"));
    configured(world, &format!("password_file = '{path}'"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_signs_in_and_is_nowhere_to_be_found() {
    let world = guarded().await;
    let file = with_password_file(&world);
    let mut command = world.serve(&["--config", &file]);
    command.env("RUST_LOG", "trace");
    let roadstead = Roadstead::start(command);
    world.pull(&roadstead, TAG).await;
    let first = roadstead.stop();
    // Another start reads it again, and compares.
    let second = Roadstead::start(world.serve(&["--config", &file])).stop();
    assert!(!second.printed.contains("Warning"), "{}", second.printed);

    let forms = [PASSWORD.to_owned(), STANDARD.encode(PASSWORD), STANDARD.encode(format!("{USER}:{PASSWORD}"))];
    for form in &forms {
        for said in [&first.printed, &first.logged, &second.printed, &second.logged] {
            assert!(!said.contains(form), "the password was printed or logged as {form}");
        }
    }
    for path in files(&world.data("")) {
        let bytes = std::fs::read(&path).unwrap();
        for form in &forms {
            let found = bytes.windows(form.len()).any(|window| window == form.as_bytes());
            assert!(!found, "{} holds the password as {form}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_the_environment_signs_in() {
    let world = guarded().await;
    let file = configured(&world, "password_env = 'GUARDED_PASSWORD'");
    let mut command = world.serve(&["--config", &file]);
    command.env("GUARDED_PASSWORD", PASSWORD);
    let roadstead = Roadstead::start(command);
    world.pull(&roadstead, TAG).await;
    roadstead.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_is_a_difference() {
    let world = guarded().await;
    let file = with_password_file(&world);
    Roadstead::start(world.serve(&["--config", &file])).stop();
    world.write("password", "another");
    let roadstead = Roadstead::start(world.serve(&["--config", &file]));
    let warning = roadstead.printed_line("Warning: ");
    assert!(warning.contains(&format!("as {USER}")), "{warning}");
    world.pull(&roadstead, TAG).await;
    roadstead.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_key_is_told_before_anything_is_served() {
    let world = guarded().await;
    let file = with_password_file(&world);
    Roadstead::start(world.serve(&["--config", &file])).stop();

    let mut command = world.serve(&[]);
    command.env("ROADSTEAD_SECRET_KEY", "00".repeat(32));
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("upstream `guarded` cannot be opened with the key of ROADSTEAD_SECRET_KEY"), "{said}");

    let key = std::fs::read_to_string(world.data("secret-key")).unwrap();
    std::fs::remove_file(world.data("secret-key")).unwrap();
    let (code, said) = refused(world.serve(&[]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("sealed under a key that is not here"), "{said}");
    assert!(!world.data("secret-key").exists(), "a new key would hide that the old one is lost");

    // The key may come from the environment just as well.
    let mut command = world.serve(&[]);
    command.env("ROADSTEAD_SECRET_KEY", key.trim());
    let roadstead = Roadstead::start(command);
    world.pull(&roadstead, TAG).await;
    roadstead.stop();
    assert!(!world.data("secret-key").exists());
}
