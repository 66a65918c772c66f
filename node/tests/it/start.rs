//! What a start accepts, and what it refuses with which words.

use std::fs;

use roadstead_node::{Components, Config, Node, StartError};

use crate::world::World;

async fn refusal(config: Config) -> StartError {
    match Node::start(config, Components::default()).await {
        Ok(_) => panic!("the member started"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_in_use_is_refused() {
    let world = World::start().await;
    let error = refusal(world.config.clone()).await;
    assert!(matches!(error, StartError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_member_is_refused() {
    let mut world = World::start().await;
    world.stop().await;
    let error = refusal(Config { node_id: 2, ..world.config.clone() }).await;
    assert!(matches!(error, StartError::OtherNode { found: 1, expected: 2, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_log_or_its_marker_does_not_begin_anew() {
    for file in ["log.redb", "marker"] {
        let mut world = World::start().await;
        world.stop().await;
        fs::remove_file(world.config.data_dir.join(file)).expect("the file was there");
        let error = refusal(world.config.clone()).await;
        assert!(matches!(error, StartError::Incomplete { .. }), "{file}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_first_start_is_taken_up() {
    let mut world = World::start().await;
    world.stop().await;
    // As after a crash between the creation of the files and the marker.
    let directory = &world.config.data_dir;
    for name in ["log.redb", "state.redb", "marker", "snapshot.0.part", "state.redb.part"] {
        let _ = fs::remove_file(directory.join(name));
        if name != "marker" {
            fs::write(directory.join(name), b"").expect("an empty file");
        }
    }
    world.start_again(0).await;
    assert!(!world.config.data_dir.join("state.redb.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_the_group_stays() {
    let mut world = World::start().await;
    let name = world.node().cluster().expect("a name").to_owned();
    assert_eq!(name.len(), 32, "{name}");
    world.restart().await;
    assert_eq!(world.node().cluster(), Some(name.as_str()));
    assert_ne!(World::start().await.node().cluster(), Some(name.as_str()));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::start().await;
    let mode = fs::metadata(world.root().join("node")).expect("the directory").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_and_ends_the_start_in_an_orderly_way() {
    for name in ["state.redb", "log.redb"] {
        let mut world = World::start().await;
        crate::world::put_tokens(&world.meta(), 0..200).await;
        world.stop().await;
        let file = world.config.data_dir.join(name);
        let whole = fs::read(&file).expect("the file");
        let mut refused = 0;
        // The head with its magic number, both commit slots, the first pages, the middle, the end cut off.
        for at in [0, 20, 64, 100, 128, 200, 256, 330, 4096, 4200, 8192, whole.len() / 2] {
            let mut damaged = whole.clone();
            damaged[at..].iter_mut().take(32).for_each(|byte| *byte ^= 0x55);
            fs::write(&file, &damaged).expect("it is damaged");
            refused += u32::from(is_refused(&world.config, name).await);
        }
        for length in [1, 100, 4096, whole.len() / 2] {
            fs::write(&file, &whole[..length]).expect("it is cut off");
            refused += u32::from(is_refused(&world.config, name).await);
        }
        assert!(refused >= 5, "{name}: only {refused} damages were found");
    }
}

/// Whether the start is refused, with the name of the file. What redb does not look at when it opens may be damaged.
async fn is_refused(config: &Config, name: &str) -> bool {
    match Node::start(config.clone(), Components::default()).await {
        Ok(node) => {
            node.crash().await;
            false
        }
        Err(error @ StartError::Storage { .. }) => {
            assert!(error.to_string().contains(name), "{error}");
            true
        }
        Err(error) => panic!("{error}"),
    }
}
