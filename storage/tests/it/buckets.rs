//! Real object stores, where environment variables name them; `.ci/stores` starts some and sets these:
//!
//! ```text
//! ROADSTEAD_TEST_S3=http://127.0.0.1:9000      ROADSTEAD_TEST_S3_BUCKET  ROADSTEAD_TEST_S3_KEY  ROADSTEAD_TEST_S3_SECRET
//! ROADSTEAD_TEST_AZURE=http://127.0.0.1:10000/devstoreaccount1
//!                   ROADSTEAD_TEST_AZURE_ACCOUNT  ROADSTEAD_TEST_AZURE_CONTAINER  ROADSTEAD_TEST_AZURE_KEY
//! ```

use std::io::Write as _;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use roadstead_proto::domain::secret::Secret;
use roadstead_storage::config::{Azure, Backend, Checksum, Cloud, Config, S3, S3Credentials, Service};
use roadstead_storage::open;
use roadstead_storage::testing::suite::Subject;
use tempfile::TempDir;

use crate::stores::{MIB, meter};

static PREFIXES: AtomicU32 = AtomicU32::new(0);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// Whether a variable is set; says once that it is not, past the capture of test output.
fn is_set(name: &str, said: &Once) -> bool {
    let set = std::env::var_os(name).is_some();
    if !set {
        said.call_once(|| drop(writeln!(std::io::stderr(), "{name} is not set: what needs it is skipped")));
    }
    set
}

pub(crate) fn has_s3() -> bool {
    static SAID: Once = Once::new();
    is_set("ROADSTEAD_TEST_S3", &SAID)
}

pub(crate) fn has_azure() -> bool {
    static SAID: Once = Once::new();
    is_set("ROADSTEAD_TEST_AZURE", &SAID)
}

/// A place in a bucket that nobody has used.
fn fresh_prefix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("test/{now:x}-{}-{}", std::process::id(), PREFIXES.fetch_add(1, Ordering::Relaxed))
}

/// A fresh place in the S3 bucket; uploads are remembered in `uploads`.
pub(crate) fn s3_cloud(uploads: &Path) -> Cloud {
    Cloud {
        service: Service::S3(S3 {
            bucket: variable("ROADSTEAD_TEST_S3_BUCKET"),
            region: None,
            path_style: None,
            credentials: Some(S3Credentials {
                access_key_id: variable("ROADSTEAD_TEST_S3_KEY"),
                secret_access_key: Secret::new(variable("ROADSTEAD_TEST_S3_SECRET")),
            }),
            checksum: Some(Checksum::Sha256),
        }),
        prefix: fresh_prefix(),
        endpoint: Some(variable("ROADSTEAD_TEST_S3")),
        public_endpoint: None,
        allow_http: true,
        certificates: None,
        uploads: uploads.to_owned(),
    }
}

/// A fresh place in the Azure container.
pub(crate) fn azure_cloud(uploads: &Path) -> Cloud {
    Cloud {
        service: Service::Azure(Azure {
            account: variable("ROADSTEAD_TEST_AZURE_ACCOUNT"),
            container: variable("ROADSTEAD_TEST_AZURE_CONTAINER"),
            account_key: Some(Secret::new(variable("ROADSTEAD_TEST_AZURE_KEY"))),
        }),
        prefix: fresh_prefix(),
        endpoint: Some(variable("ROADSTEAD_TEST_AZURE")),
        public_endpoint: None,
        allow_http: true,
        certificates: None,
        uploads: uploads.to_owned(),
    }
}

/// The whole stack over a bucket.
pub(crate) fn stack_over(cloud: Cloud, memory_bytes: u64) -> Config {
    Config { backend: Backend::Cloud(Box::new(cloud)), memory_bytes, ..Config::local("unused") }
}

async fn subject(cloud: fn(&Path) -> Cloud, memory_bytes: u64) -> Subject {
    let directory = TempDir::new().unwrap();
    let config = stack_over(cloud(directory.path()), memory_bytes);
    let store = open(&config, &meter()).await.unwrap().store;
    Subject { store, keep: Box::new(directory) }
}

/// Every read comes from the bucket.
pub(crate) fn s3() -> BoxFuture<'static, Subject> {
    subject(s3_cloud, 0).boxed()
}

/// As in production.
pub(crate) fn s3_stack() -> BoxFuture<'static, Subject> {
    subject(s3_cloud, 64 * MIB).boxed()
}

/// Every read comes from the container.
pub(crate) fn azure() -> BoxFuture<'static, Subject> {
    subject(azure_cloud, 0).boxed()
}
