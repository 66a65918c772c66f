//! Buckets beyond the promises of every store: what a start finds out, leaves and says. Needs the stores of `buckets`.

use std::path::Path as FilePath;

use futures::TryStreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::multipart::MultipartStore as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use roadstead_proto::domain::secret::Secret;
use roadstead_storage::cloud::capabilities::Answer;
use roadstead_storage::cloud::upload_log::FileLog;
use roadstead_storage::config::{Cloud, Service};
use roadstead_storage::error::Kind;
use roadstead_storage::object::UploadLog as _;
use roadstead_storage::open;
use roadstead_storage::testing::sample::Sample;
use tempfile::TempDir;

use crate::buckets::{azure_cloud, has_azure, has_s3, s3_cloud, stack_over};
use crate::stores::{MIB, meter};

/// The bucket past everything under test.
fn raw(cloud: &Cloud) -> object_store::aws::AmazonS3 {
    let Service::S3(settings) = &cloud.service else { panic!("{cloud} is not S3") };
    let credentials = settings.credentials.as_ref().unwrap();
    AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_endpoint(cloud.endpoint.as_ref().unwrap())
        .with_access_key_id(&credentials.access_key_id)
        .with_secret_access_key(credentials.secret_access_key.expose())
        .with_allow_http(true)
        .with_disable_bulk_delete(true)
        .build()
        .unwrap()
}

async fn names(cloud: &Cloud) -> Vec<String> {
    let found: Vec<_> = raw(cloud).list(Some(&Path::from(cloud.prefix.as_str()))).try_collect().await.unwrap();
    let mut names: Vec<_> = found.into_iter().map(|meta| meta.location.to_string()).collect();
    names.sort();
    names
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}

async fn refusal(cloud: Cloud) -> String {
    chain(&open(&stack_over(cloud, MIB), &meter()).await.unwrap_err())
}

fn with_s3(change: impl FnOnce(&mut roadstead_storage::config::S3), uploads: &FilePath) -> Cloud {
    let mut cloud = s3_cloud(uploads);
    if let Service::S3(settings) = &mut cloud.service {
        change(settings);
    }
    cloud
}

#[tokio::test]
async fn a_start_tries_the_store_out_and_leaves_nothing_behind() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let cloud = s3_cloud(directory.path());
    let capabilities = open(&stack_over(cloud.clone(), MIB), &meter()).await.unwrap().capabilities.unwrap();
    assert_eq!(capabilities.signed_urls, Answer::Yes, "{capabilities}");
    if std::env::var("ROADSTEAD_TEST_S3_CHECKS").is_ok_and(|checks| checks == "yes") {
        assert_eq!(capabilities.checks_signatures, Answer::Yes, "{capabilities}");
        assert_eq!(capabilities.checks_checksums, Answer::Yes, "{capabilities}");
    }
    assert_eq!(names(&cloud).await, [format!("{}/roadstead-store", cloud.prefix)]);
}

#[tokio::test]
async fn azure_is_tried_out_too() {
    if !has_azure() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let opened = open(&stack_over(azure_cloud(directory.path()), MIB), &meter()).await.unwrap();
    let capabilities = opened.capabilities.unwrap();
    assert_eq!(
        (capabilities.signed_urls, capabilities.checks_signatures, capabilities.conditional_create),
        (Answer::Yes, Answer::Yes, Answer::Yes),
        "{capabilities}"
    );
}

#[tokio::test]
async fn a_signed_url_is_the_object_and_works_for_whoever_has_it() {
    let directory = TempDir::new().unwrap();
    let mut clouds = Vec::new();
    if has_s3() {
        clouds.push(s3_cloud(directory.path()));
    }
    if has_azure() {
        clouds.push(azure_cloud(directory.path()));
    }
    for cloud in clouds {
        let store = open(&stack_over(cloud, MIB), &meter()).await.unwrap().store;
        let sample = Sample::new(20 << 20, 1);
        sample.put(&*store).await;
        let url = store.presign(&sample.key, std::time::Duration::from_secs(60)).await.unwrap().unwrap();
        assert!(!format!("{url:?}").contains("http"));
        let answer = reqwest::get(url.expose()).await.unwrap().error_for_status().unwrap();
        assert!(answer.bytes().await.unwrap() == sample.bytes);
    }
}

#[tokio::test]
async fn a_start_that_fails_says_what_to_do_and_no_secret() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let nobody = refusal(Cloud { endpoint: Some("http://127.0.0.1:9".into()), ..s3_cloud(directory.path()) }).await;
    assert!(nobody.contains("nothing answers there: correct the endpoint"), "{nobody}");
    if std::env::var("ROADSTEAD_TEST_S3_CHECKS").is_ok_and(|checks| checks == "yes") {
        let set = |s3: &mut roadstead_storage::config::S3| {
            s3.credentials.as_mut().unwrap().secret_access_key = Secret::new("hunter2hunter2");
        };
        let wrong_key = refusal(with_s3(set, directory.path())).await;
        assert!(wrong_key.contains("the store refuses the signature"), "{wrong_key}");
        assert!(!wrong_key.contains("hunter2") && !wrong_key.contains('\n'), "{wrong_key}");
    }
}

/// s3s-fs makes a bucket that is written to.
#[tokio::test]
async fn a_missing_bucket_is_named() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let refusal = refusal(with_s3(|s3| s3.bucket = "no-such-bucket".to_owned(), directory.path())).await;
    assert!(refusal.contains("s3://no-such-bucket/"), "{refusal}");
    assert!(refusal.contains("create it, or correct its name"), "{refusal}");
}

#[tokio::test]
async fn a_bucket_that_was_emptied_is_an_outage_with_a_reason() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let cloud = s3_cloud(directory.path());
    let store = open(&stack_over(cloud.clone(), 0), &meter()).await.unwrap().store;
    let sample = Sample::new(100, 1);
    sample.put(&*store).await;
    for name in names(&cloud).await {
        raw(&cloud).delete(&Path::from(name)).await.unwrap();
    }
    for error in [sample.read(&*store).await.unwrap_err(), store.probe().await.unwrap_err()] {
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(chain(&error).contains("the store has no `roadstead-store` any more"), "{}", chain(&error));
    }
}

/// Killed between two parts: the store still has what was sent, and nobody but the log knows of it.
#[tokio::test]
async fn a_start_aborts_what_a_killed_process_left_in_the_bucket() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let cloud = s3_cloud(directory.path());
    let key = Sample::new(1, 1).key;
    let path = Path::from(format!("{}/sha256/{}.1", cloud.prefix, key.digest.hex()));
    let bucket = raw(&cloud);
    let id = bucket.create_multipart(&path).await.unwrap();
    bucket.put_part(&path, &id, 0, "a part".into()).await.unwrap();
    let log = FileLog::open(directory.path(), cloud.to_string()).unwrap();
    log.began(&key, &id).await.unwrap();

    open(&stack_over(cloud, MIB), &meter()).await.unwrap();
    assert_eq!(log.left().await.unwrap(), []);
    assert!(bucket.put_part(&path, &id, 1, "late".into()).await.is_err(), "the upload is still there");
}

/// Aborted, but the process ended before it was noted. s3s-fs says "access denied" here.
#[tokio::test]
async fn an_upload_that_is_gone_already_is_forgotten() {
    if !has_s3() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let cloud = s3_cloud(directory.path());
    let key = Sample::new(1, 1).key;
    let path = Path::from(format!("{}/sha256/{}.1", cloud.prefix, key.digest.hex()));
    let id = raw(&cloud).create_multipart(&path).await.unwrap();
    raw(&cloud).abort_multipart(&path, &id).await.unwrap();
    let log = FileLog::open(directory.path(), cloud.to_string()).unwrap();
    log.began(&key, &id).await.unwrap();
    open(&stack_over(cloud, MIB), &meter()).await.unwrap();
    assert_eq!(log.left().await.unwrap(), []);
}
