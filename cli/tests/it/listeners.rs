//! Addresses and directories that somebody else has, and listeners that strangers reach.

use std::net::TcpListener;

use crate::process::{Roadstead, command, refused};
use crate::world::{REPOSITORY, TAG, TO_LOOPBACK, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named_before_anything_is_written() {
    let world = World::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--admin-listen"), ("--admin-listen", "--listen")] {
        let args = ["serve", flag, &address, other, "127.0.0.1:0", "--data-dir", "data"];
        let (code, said) = refused(command(&world.path(""), &args));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("cannot listen on {address}: another process listens there")), "{said}");
        assert!(said.contains(flag), "{said}");
    }
    assert!(!world.path("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_directory_is_refused() {
    let world = World::new().await;
    let first = world.start();
    let (code, said) = refused(world.serve(&[]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is in use by another roadstead process"), "{said}");
    world.pull(&first, TAG).await;
    first.stop();
    world.start().stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_cannot_be_is_named() {
    let world = World::new().await;
    world.write("data", "a file");
    let (code, said) = refused(world.serve(&[]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not a directory"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_need_a_token() {
    let world = World::new().await;
    let upstream = world.upstream_arg();
    let args = ["serve", "--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "data"];
    let mut command = command(&world.path(""), &args);
    command.args(["--upstream", &upstream]).args(TO_LOOPBACK);
    let roadstead = Roadstead::start(command);
    assert!(roadstead.printed_line("Pulls need a token").contains("0.0.0.0:"));
    let login = roadstead.printed_line("  docker login ");
    assert!(login.contains("--password-stdin 127.0.0.1:"), "{login}");

    let (_, registry) = roadstead.prefix.split_once('/').unwrap();
    let manifest = format!("{}/v2/{registry}{REPOSITORY}/manifests/{TAG}", roadstead.url);
    let request = || world.client.get(&manifest);
    assert_eq!(request().send().await.unwrap().status(), 401);
    assert_eq!(request().basic_auth("admin", Some("rst_wrong")).send().await.unwrap().status(), 401);
    assert_eq!(world.upstream.counters().total(), 0, "nobody in particular has asked for nothing");
    let token = roadstead.field("Admin token");
    assert_eq!(request().basic_auth("admin", Some(token)).send().await.unwrap().status(), 200);
    roadstead.stop();
}
