//! Bad usage and bad configuration: exit code 64, a sentence, and nothing touched.

use crate::process::{Roadstead, command, refused};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn bad_flags_are_refused_with_a_sentence() {
    let world = World::new().await;
    for (args, part) in [
        (&["--listen", "8080"][..], "write an IP address and a port"),
        (&["--admin-listen", "localhost"], "write an IP address and a port"),
        (&["--upstream", "https://quay.io"], "--upstream number 1 is not NAME=URL"),
        (&["--upstream", "a=quay.io"], "the url of upstream `a` cannot be used"),
        (&["--upstream", "a=https://user:hunter2@quay.io"], "must not contain credentials"),
        (&["--cache-validity", "soon"], "`soon` is not a duration"),
        (&["--upstream-ca", "absent.pem"], "cannot read the certificates of --upstream-ca from absent.pem"),
        (&["--config", "absent.toml"], "cannot read the configuration file absent.toml"),
        (&["--log-format", "xml"], "xml"),
        (&["--data-dir", ""], "--data-dir"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["harbour"], "harbour"),
    ] {
        let mut command = command(&world.path(""), &["serve"]);
        command.args(args);
        let (code, said) = refused(command);
        assert_eq!(code, Some(64), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!world.path("roadstead-data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_with_its_line() {
    let world = World::new().await;
    for (text, part) in [
        ("\nlisten = 8080", "line 2: "),
        ("port = 8080", "line 1: unknown field `port`"),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://a.example'\npassword = 'hunter2'",
            "has its password in the configuration",
        ),
        (
            "[[upstream]]\nname = 'a'\nurl = 'https://a.example'\nusername = 'me'\npassword_env = 'ABSENT_PASSWORD'",
            "the environment variable ABSENT_PASSWORD, which is not set",
        ),
        ("upstream_ca = 'serve.toml'", "serve.toml: it holds no readable PEM certificate"),
    ] {
        let file = world.write("serve.toml", text);
        let (code, said) = refused(world.serve(&["--config", &file]));
        assert_eq!(code, Some(64), "{text}: {said}");
        assert!(said.starts_with("roadstead: ") && said.contains(part), "{text}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(!world.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_secrets_of_the_environment_are_refused() {
    let world = World::new().await;
    for name in ["ROADSTEAD_ADMIN_TOKEN", "ROADSTEAD_SECRET_KEY"] {
        for value in ["", "two words"] {
            let mut command = world.serve(&[]);
            command.env(name, value);
            let (code, said) = refused(command);
            assert_eq!(code, Some(64), "{said}");
            assert!(said.contains(name), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_answers_and_touches_nothing() {
    let world = World::new().await;
    let file = world.write("serve.toml", "blob_memory = '1GiB'\n[[upstream]]\nname = 'quay'\nurl = 'https://quay.io'");
    let output = world.serve(&["--config", &file, "--check-config"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for part in ["The configuration is valid.", "1GiB", "1. quay  https://quay.io"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!world.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_are_answers() {
    let world = World::new().await;
    for (args, part) in [
        (&["--version"][..], concat!("roadstead ", env!("CARGO_PKG_VERSION"))),
        (&["--help"], "serve"),
        (&["serve", "--help"], "ROADSTEAD_ADMIN_TOKEN"),
    ] {
        let output = command(&world.path(""), args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8(output.stdout).unwrap().contains(part));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_says_what_flags_do_not() {
    let world = World::new().await;
    let text = format!(
        "log_format = 'json'\ndata_dir = 'elsewhere'\n[[upstream]]\nname = 'filed'\nurl = '{}'",
        world.upstream.url()
    );
    let file = world.write("serve.toml", &text);
    let roadstead = Roadstead::start(world.serve(&["--config", &file]));
    assert!(roadstead.printed_line("  Upstreams").contains("1. filed"));
    world.pull(&roadstead, "1").await;
    let ended = roadstead.stop();
    assert!(
        ended.logged.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{}",
        ended.logged
    );
    assert!(world.path("data").exists() && !world.path("elsewhere").exists(), "the flag wins over the file");
}
