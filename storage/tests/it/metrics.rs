//! What a scrape sees.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder as _, Registry, TextEncoder};
use roadstead_storage::config::Config;
use roadstead_storage::open;
use roadstead_storage::testing::sample::Sample;
use tempfile::TempDir;

struct Scrape(String);

impl Scrape {
    fn of(registry: &Registry) -> Self {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        Self(String::from_utf8(text).unwrap())
    }

    /// Names as they are declared.
    fn names(&self) -> Vec<&str> {
        let declared = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        declared.filter(|line| line.starts_with("roadstead_")).collect()
    }

    /// The value of the one line with this name and these labels.
    fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let mut lines = self.0.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        let line = lines.find(|line| labels.iter().all(|label| line.contains(label)))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }
}

#[tokio::test]
async fn a_scrape_shows_what_memory_saved() {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
    let provider = SdkMeterProvider::builder().with_reader(exporter).build();
    let dir = TempDir::new().unwrap();
    let store = open(&Config::local(dir.path()), &provider.meter("roadstead")).await.unwrap().store;

    let sample = Sample::new(5 << 20, 1);
    sample.put(&*store).await;
    sample.read(&*store).await.unwrap();
    sample.read(&*store).await.unwrap();
    store.stat(&Sample::new(1, 2).key).await.unwrap_err();
    drop(store.get(&sample.key, sample.size(), 0..sample.size()).await.unwrap());
    store.probe().await.unwrap();

    let scrape = Scrape::of(&registry);
    assert_eq!(
        scrape.names(),
        [
            "roadstead_storage_chunk_lookups_total counter",
            "roadstead_storage_memory_bytes gauge",
            "roadstead_storage_operation_duration_seconds histogram",
            "roadstead_storage_operations_total counter",
            "roadstead_storage_transferred_bytes_total counter",
        ]
    );
    let operations = |tier, operation, outcome| {
        let labels =
            [format!("tier=\"{tier}\""), format!("operation=\"{operation}\""), format!("outcome=\"{outcome}\"")];
        scrape.value("roadstead_storage_operations_total", &labels.each_ref().map(String::as_str))
    };
    assert_eq!(operations("store", "get", "ok"), Some(2.0));
    assert_eq!(operations("store", "get", "left"), Some(1.0));
    assert_eq!(operations("object", "get", "ok"), Some(2.0), "two chunks, once each");
    assert_eq!(operations("store", "stat", "not_found"), Some(1.0));
    assert_eq!(operations("object", "put", "ok"), Some(1.0));
    let size = sample.size() as f64;
    let moved = |tier, operation| scrape.value("roadstead_storage_transferred_bytes_total", &[tier, operation]);
    assert_eq!(moved("tier=\"store\"", "operation=\"get\""), Some(2.0 * size));
    assert_eq!(moved("tier=\"object\"", "operation=\"get\""), Some(size));
    assert_eq!(moved("tier=\"object\"", "operation=\"put\""), Some(size));
    let held = scrape.value("roadstead_storage_memory_bytes", &["purpose=\"chunks\""]).unwrap();
    assert!(held > size && held < size + 4096.0, "{held}");
    let lookups = |result| scrape.value("roadstead_storage_chunk_lookups_total", &[result]);
    assert_eq!(lookups("result=\"load\""), Some(2.0));
    assert_eq!(lookups("result=\"hit\""), Some(3.0));
}
