//! The stores the tests run against.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use opentelemetry::metrics::{Meter, MeterProvider as _, NoopMeterProvider};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_storage::blob::{BlobStore, BodyError};
use roadstead_storage::config::Config;
use roadstead_storage::object::{ObjectTier, Options, UploadLog};
use roadstead_storage::open;
use roadstead_storage::testing::faulty::FaultyStore;
use roadstead_storage::testing::suite::Subject;
use roadstead_storage::tiered::{Memory, TieredStore};
use roadstead_storage::verified::VerifiedStore;
use tempfile::TempDir;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn meter() -> Meter {
    NoopMeterProvider::new().meter("test")
}

pub(crate) fn options() -> Options {
    Options::local(8 * MIB, MIB)
}

/// The object tier alone over a directory.
pub(crate) async fn tier_at(path: &Path) -> ObjectTier {
    ObjectTier::open_local(path, options()).await.unwrap()
}

/// The object tier alone over any object store.
pub(crate) async fn tier_over(store: Arc<dyn ObjectStore>) -> ObjectTier {
    ObjectTier::open_store(store, options()).await.unwrap()
}

/// Memory over `slow`.
pub(crate) fn tiered(slow: Arc<dyn BlobStore>, memory_bytes: u64, reader_bytes: u64) -> Arc<TieredStore> {
    Arc::new(TieredStore::new(slow, Memory { memory_bytes, reader_bytes }, &meter()))
}

/// Parts of 5 MiB, so that three chunks are more than one of them.
pub(crate) fn cloud_options() -> Options {
    Options { part_bytes: 5 << 20, ..Options::cloud(32 * MIB, MIB) }
}

/// Remembers every upload id, and which of them are over.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) began: Mutex<Vec<(ObjectKey, String)>>,
    pub(crate) ended: Mutex<Vec<(ObjectKey, String)>>,
}

#[async_trait]
impl UploadLog for Log {
    async fn began(&self, key: &ObjectKey, upload: &str) -> Result<(), BodyError> {
        self.began.lock().unwrap().push((*key, upload.to_owned()));
        Ok(())
    }

    async fn ended(&self, key: &ObjectKey, upload: &str) {
        self.ended.lock().unwrap().push((*key, upload.to_owned()));
    }

    async fn left(&self) -> Result<Vec<(ObjectKey, String)>, BodyError> {
        let ended = self.ended.lock().unwrap();
        Ok(self.began.lock().unwrap().iter().filter(|upload| !ended.contains(upload)).cloned().collect())
    }
}

pub(crate) fn in_memory() -> BoxFuture<'static, Subject> {
    async {
        let tier = tier_over(Arc::new(InMemory::new())).await;
        Subject { store: Arc::new(VerifiedStore::new(Arc::new(tier))), keep: Box::new(()) }
    }
    .boxed()
}

pub(crate) fn local() -> BoxFuture<'static, Subject> {
    async {
        let dir = TempDir::new().unwrap();
        let tier = tier_at(dir.path()).await;
        Subject { store: Arc::new(VerifiedStore::new(Arc::new(tier))), keep: Box::new(dir) }
    }
    .boxed()
}

pub(crate) fn known_uploads() -> BoxFuture<'static, Subject> {
    async {
        let bucket = FaultyStore::cloud(Arc::new(InMemory::new()));
        let tier = ObjectTier::open_cloud(bucket, Arc::new(Log::default()), cloud_options()).await;
        Subject { store: Arc::new(VerifiedStore::new(Arc::new(tier.unwrap()))), keep: Box::new(()) }
    }
    .boxed()
}

/// As in production.
pub(crate) fn whole_stack() -> BoxFuture<'static, Subject> {
    async {
        let dir = TempDir::new().unwrap();
        let store = open(&Config::local(dir.path()), &meter()).await.unwrap().store;
        Subject { store, keep: Box::new(dir) }
    }
    .boxed()
}

/// Memory keeps nothing.
pub(crate) fn stack_without_memory() -> BoxFuture<'static, Subject> {
    async {
        let dir = TempDir::new().unwrap();
        let config = Config { memory_bytes: 0, ..Config::local(dir.path()) };
        Subject { store: open(&config, &meter()).await.unwrap().store, keep: Box::new(dir) }
    }
    .boxed()
}

/// Not even a chunk fits into any purse: every read goes by blocks and every hand-out is a copy.
pub(crate) fn starved_stack() -> BoxFuture<'static, Subject> {
    async {
        let tier = tier_over(Arc::new(InMemory::new())).await;
        let verified = Arc::new(VerifiedStore::new(Arc::new(tier)));
        Subject { store: tiered(verified, 0, MIB / 4), keep: Box::new(()) }
    }
    .boxed()
}

/// The whole stack over an object store that fails as it is told.
pub(crate) async fn faulty_stack() -> (Arc<FaultyStore>, Arc<dyn BlobStore>) {
    let faulty = FaultyStore::in_memory();
    let store = faulty.stack(&Config { memory_bytes: 64 * MIB, ..Config::local("unused") }, &meter()).await;
    (faulty, store)
}
