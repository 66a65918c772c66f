//! What a process that died, or a commit that failed, leaves in a local directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::StreamExt as _;
use roadstead_storage::blob::{BlobStore as _, Body};
use roadstead_storage::config::Config;
use roadstead_storage::error::Kind;
use roadstead_storage::object::ObjectTier;
use roadstead_storage::open;
use roadstead_storage::testing::sample::Sample;
use roadstead_storage::testing::suite::assert_absent;
use tempfile::TempDir;

use crate::damage::file;
use crate::stores::{meter, options, tier_at};

const LARGE: usize = 9 << 20;

fn names(dir: &Path) -> BTreeSet<String> {
    ["sha256", "sha512", "."]
        .into_iter()
        .flat_map(|folder| fs::read_dir(dir.join(folder)).unwrap())
        .filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("roadstead-") && !name.starts_with('.'))
        .collect()
}

fn named(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_start_clears_leftovers_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let (small, large) = (Sample::new(100, 1), Sample::new(LARGE, 2));
    let tier = tier_at(dir.path()).await;
    small.put(&tier).await;
    large.put(&tier).await;
    drop(tier);
    let kept = names(dir.path());
    assert_eq!(kept.len(), 3);

    let gone = Sample::new(LARGE, 3);
    let path = file(dir.path(), &gone.key);
    for leftover in ["#1", "#12", ".crc#1", ".crc"] {
        fs::write(format!("{}{leftover}", path.display()), b"leftover").unwrap();
    }
    fs::write(format!("{}#1", file(dir.path(), &small.key).display()), b"leftover").unwrap();
    fs::write(dir.path().join("roadstead-probe#1"), b"leftover").unwrap();
    let yours = ["notes.txt", "notes.txt#1", "0123.crc"];
    for name in yours {
        fs::write(dir.path().join("sha256").join(name), b"not ours").unwrap();
    }

    let store = open(&Config::local(dir.path()), &meter()).await.unwrap().store;
    let expected: BTreeSet<_> = kept.into_iter().chain(yours.map(str::to_owned)).collect();
    assert_eq!(names(dir.path()), expected);
    assert!(!dir.path().join("roadstead-probe#1").exists());
    assert!(large.read(&*store).await.unwrap() == large.bytes);
    assert_absent(&*store, &gone).await;
}

#[tokio::test]
async fn a_directory_is_made_with_all_above_it() {
    let dir = TempDir::new().unwrap();
    let deep = dir.path().join("a/b/c");
    let sample = Sample::new(10, 1);
    sample.put(&tier_at(&deep).await).await;
    assert!(sample.read(&tier_at(&deep).await).await.unwrap() == sample.bytes);
    let error = ObjectTier::open_local(&file(&deep, &sample.key), options()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be used as storage"), "{error}");
}

#[tokio::test]
async fn a_neighbour_s_put_under_way_is_not_a_leftover() {
    let dir = TempDir::new().unwrap();
    let first = tier_at(dir.path()).await;
    let staged = format!("{}#1", file(dir.path(), &Sample::new(1, 1).key).display());
    fs::write(&staged, b"under way").unwrap();
    let second = tier_at(dir.path()).await;
    assert!(fs::exists(&staged).unwrap());
    drop((first, second));
    tier_at(dir.path()).await;
    assert!(!fs::exists(&staged).unwrap());
}

/// Not a test by itself: the process that [`a_killed_process_leaves_nothing_after_the_next_start`] kills.
#[tokio::test]
#[ignore = "runs as a child of another test"]
async fn child() {
    let Ok(dir) = std::env::var("ROADSTEAD_TEST_CRASH_DIR") else { return };
    let tier = tier_at(Path::new(&dir)).await;
    let sample = Sample::new(LARGE, 1);
    let told = futures::stream::once(async {
        println!("\nwriting");
        std::future::pending::<()>().await;
        Err("never".into())
    });
    tier.put(&sample.key, Body::unchecked(sample.stream().chain(told).boxed())).await.unwrap();
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_after_the_next_start() {
    let dir = TempDir::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env("ROADSTEAD_TEST_CRASH_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "writing"));
    child.kill().unwrap();
    child.wait().unwrap();
    let sample = Sample::new(LARGE, 1);
    let staged = format!("{}#1", named(&file(dir.path(), &sample.key)));
    assert_eq!(names(dir.path()), BTreeSet::from([staged]), "the kill came in the middle");

    let tier = tier_at(dir.path()).await;
    assert_eq!(names(dir.path()), BTreeSet::new());
    assert_absent(&tier, &sample).await;
    sample.put(&tier).await;
}

/// `LocalUpload` forgets its file as its commit begins; a failure there must not leave it.
#[tokio::test]
async fn a_failed_commit_leaves_no_staging_file() {
    let dir = TempDir::new().unwrap();
    let tier = tier_at(dir.path()).await;
    for len in [100, LARGE] {
        let sample = Sample::new(len, 1);
        let in_the_way = file(dir.path(), &sample.key);
        fs::create_dir_all(in_the_way.join("full")).unwrap();
        let error = tier.put(&sample.key, sample.body()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
        // Checksums go only once the object is known to be gone, which what is in the way prevents.
        assert!(names(dir.path()).iter().all(|name| !name.contains('#')), "{:?}", names(dir.path()));
        fs::remove_dir_all(in_the_way).unwrap();
        sample.put(&tier).await;
        tier.delete(&sample.key).await.unwrap();
        assert_eq!(names(dir.path()), BTreeSet::new());
    }
}

#[tokio::test]
async fn a_dropped_put_leaves_no_file() {
    let dir = TempDir::new().unwrap();
    let tier = tier_at(dir.path()).await;
    let sample = Sample::new(LARGE, 1);
    let never = futures::stream::pending();
    let mut put = tier.put(&sample.key, Body::unchecked(sample.stream().chain(never).boxed()));
    while names(dir.path()).is_empty() {
        assert!(futures::poll!(&mut put).is_pending());
        tokio::task::yield_now().await;
    }
    drop(put);
    // The next writer of the key waits for the clean-up.
    tier.put(&sample.key, sample.broken_after(0)).await.unwrap_err();
    assert_eq!(names(dir.path()), BTreeSet::new());
}
