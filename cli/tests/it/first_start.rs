//! The first start: what is printed, what is written, and that nobody is asked.

use std::os::unix::fs::PermissionsExt as _;

use crate::process::{Roadstead, files};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_to_pull_from_whom_and_with_which_token() {
    let world = World::new().await;
    let second = ["--upstream", "second=https://second.example/v2/project"];
    let first = world.upstream_arg();
    let mut args = vec!["--upstream", &*first];
    args.extend(second);
    let roadstead = Roadstead::start(world.serve(&args));

    assert!(roadstead.prefix.starts_with("127.0.0.1:"), "{}", roadstead.prefix);
    assert!(roadstead.prefix.ends_with("/virtual_registries/container/1/"), "{}", roadstead.prefix);
    assert!(!roadstead.prefix.contains(":0/"), "{}", roadstead.prefix);
    let upstreams = roadstead.printed_line("  Upstreams");
    assert!(upstreams.contains("1. local") && upstreams.ends_with(&world.upstream.url()), "{upstreams}");
    let printed = roadstead.printed_so_far();
    assert!(printed.contains("2. second  https://second.example/v2/project"), "{printed}");

    let token = roadstead.field("Admin token");
    assert!(token.starts_with("rst_") && token.len() == 68, "{token}");
    assert_eq!(std::fs::read_to_string(world.data("admin-token")).unwrap().trim(), token);

    let command = roadstead.printed_line("  docker pull ");
    assert!(command.starts_with(&format!("  docker pull {}", roadstead.prefix)), "{command}");
    assert_eq!(world.status(&format!("{}/metrics", roadstead.admin_url)).await, 200);
    let ended = roadstead.stop();
    assert!(!ended.logged.contains(&token), "the token belongs on a terminal, not into a log");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_it_serves_docker_hub_mcr_and_quay() {
    let world = World::new().await;
    let roadstead = Roadstead::start(world.serve(&[]));
    let printed = roadstead.printed_so_far();
    let positions: Vec<usize> = ["1. docker-hub", "2. mcr", "3. quay"]
        .iter()
        .map(|part| printed.find(part).unwrap_or_else(|| panic!("{part} is missing in\n{printed}")))
        .collect();
    assert!(positions.is_sorted(), "{printed}");
    assert_eq!(
        roadstead.printed_line("  docker pull "),
        format!("  docker pull {}library/alpine:3.20", roadstead.prefix)
    );
    roadstead.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_for_their_owner_alone() {
    let world = World::new().await;
    let roadstead = world.start();
    let mode = |name: &str| std::fs::metadata(world.data(name)).unwrap().permissions().mode() & 0o777;
    for name in ["admin-token", "secret-key"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    for name in ["", "node", "blobs", "spool"] {
        assert_eq!(mode(name), 0o700, "{name}");
    }
    roadstead.stop();
    // The metadata knows tokens by their hash.
    let token = std::fs::read(world.data("admin-token")).unwrap();
    let token = token.trim_ascii();
    for file in files(&world.data("node")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(token.len()).any(|window| window == token), "{}", file.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_pulls_an_image() {
    let world = World::new().await;
    let roadstead = world.start();
    world.pull(&roadstead, "1").await;
    let asked = world.upstream.counters().total();
    world.pull(&roadstead, "1").await;
    world.pull(&roadstead, world.image.digest()).await;
    assert_eq!(world.upstream.counters().total(), asked, "the second pull does not leave the cache");
    roadstead.stop();
}

/// One upstream refuses connections, one takes them and never says a word. Neither is asked before somebody pulls.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_while_every_upstream_is_down() {
    let world = World::new().await;
    world.upstream.stop().await.unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let silent_arg = format!("silent=http://{}", silent.local_addr().unwrap());
    let roadstead = Roadstead::start(world.serve(&["--upstream", &world.upstream_arg(), "--upstream", &silent_arg]));
    for url in [&roadstead.url, &roadstead.admin_url] {
        assert_eq!(world.status(&format!("{url}/readyz")).await, 200);
        assert_eq!(world.status(&format!("{url}/livez")).await, 200);
    }
    assert_eq!(silent.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "an upstream was asked at start");
    roadstead.stop();
}
