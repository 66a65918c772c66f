//! Later starts: everything is kept, and the stored configuration is the truth.

use crate::process::Roadstead;
use crate::world::{TAG, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_token_upstreams_and_images() {
    let world = World::new().await;
    let first = world.start();
    world.pull(&first, TAG).await;
    let token = first.field("Admin token");
    let upstreams = first.printed_line("  Upstreams");
    let gateway = std::fs::read(world.data("gateway-id")).unwrap();
    first.stop();
    world.upstream.stop().await.unwrap();

    // Nothing is named: the stored upstreams are no wish against the defaults.
    let second = Roadstead::start(world.serve(&[]));
    let printed = second.printed_so_far();
    assert!(!printed.contains("Warning"), "{printed}");
    assert!(!printed.contains(&token), "{printed}");
    assert_eq!(second.printed_line("  Upstreams"), upstreams);
    assert_eq!(std::fs::read_to_string(world.data("admin-token")).unwrap().trim(), token);
    assert_eq!(std::fs::read(world.data("gateway-id")).unwrap(), gateway);
    world.pull(&second, TAG).await;
    world.pull(&second, world.image.digest()).await;
    second.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_that_was_pulled() {
    let world = World::new().await;
    let first = world.start();
    world.pull(&first, TAG).await;
    // What was answered may still be on its way to the disk.
    world.until_recorded(&first).await;
    first.kill();
    world.upstream.stop().await.unwrap();

    let second = world.start();
    world.pull(&second, TAG).await;
    second.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_upstreams_than_the_stored_ones_are_ignored_aloud() {
    let world = World::new().await;
    world.start().stop();

    let args = ["--upstream", "other=https://other.example", "--cache-validity", "1h"];
    let second = Roadstead::start(world.serve(&args));
    let warning = second.printed_line("Warning: ");
    assert!(warning.contains("apply on the first start only"), "{warning}");
    assert!(warning.contains(&format!("local={} (valid for 24h)", world.upstream.url())), "{warning}");
    world.pull(&second, TAG).await;
    second.stop();

    let third = world.start();
    assert!(!third.printed_so_far().contains("Warning"), "{}", third.printed_so_far());
    third.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_environment_overrides_for_as_long_as_it_is_there() {
    let world = World::new().await;
    let given = "rst_a_token_of_the_operators_own_making";
    let serve = |token: Option<&str>| {
        let mut command = world.serve(&["--upstream", &world.upstream_arg()]);
        if let Some(token) = token {
            command.env("ROADSTEAD_ADMIN_TOKEN", token);
        }
        Roadstead::start(command)
    };
    // Nobody needs a token on loopback; who sends one all the same is judged by it.
    let accepted = |roadstead: &Roadstead, token: &str| {
        let request = world.client.get(format!("{}/v2/", roadstead.url)).bearer_auth(token);
        async move { request.send().await.unwrap().status() == 200 }
    };

    let first = serve(Some(given));
    assert!(first.printed_line("  Admin token").ends_with("from ROADSTEAD_ADMIN_TOKEN"));
    assert!(!world.data("admin-token").exists());
    assert!(accepted(&first, given).await);
    assert!(!first.stop().printed.contains(given));

    let second = serve(None);
    let made = second.field("Admin token");
    assert!(accepted(&second, &made).await);
    assert!(!accepted(&second, given).await);
    second.stop();

    let third = serve(Some(given));
    let line = third.printed_line("  Admin token");
    assert!(line.ends_with("admin-token is not used"), "{line}");
    assert!(accepted(&third, given).await);
    assert!(!accepted(&third, &made).await);
    assert_eq!(std::fs::read_to_string(world.data("admin-token")).unwrap().trim(), made);
    third.stop();
}
