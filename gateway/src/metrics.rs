//! Every metric of the gateway: names, units and help texts in one place.
//!
//! OpenTelemetry instruments; the Prometheus exporter adds `_total` to counters.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};
use roadstead_proto::domain::registry::{RegionId, UpstreamId};

use crate::load::{Load, Running};

/// The gateway's instruments.
#[derive(Debug, Clone)]
pub struct Metrics {
    pulls: Counter<u64>,
    pull_bytes: Counter<u64>,
    first_byte: Histogram<f64>,
    broken_bodies: Counter<u64>,
    upstream_requests: Counter<u64>,
    upstream_bytes: Counter<u64>,
    fills: Counter<u64>,
    fills_running: UpDownCounter<i64>,
    prefetches: Counter<u64>,
    prefetches_running: UpDownCounter<i64>,
    prefetches_used: Counter<u64>,
    prefetch_bytes: Counter<u64>,
    fill_resumes: Counter<u64>,
    followed: Counter<u64>,
    stale: Counter<u64>,
    refreshes: Counter<u64>,
    rate_limit: Gauge<u64>,
    rate_remaining: Gauge<u64>,
    breaker: Gauge<u64>,
    left_alone: Counter<u64>,
    unrecorded: UpDownCounter<i64>,
    region_copies: Counter<u64>,
    region_bytes: Counter<u64>,
    fleet_gateways: Gauge<u64>,
    fleet_present: Gauge<u64>,
    load: Load,
}

/// One of what a gauge counts, until dropped.
#[derive(Debug)]
pub struct Counted(UpDownCounter<i64>);

impl Counted {
    fn by(gauge: &UpDownCounter<i64>) -> Self {
        gauge.add(1, &[]);
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.add(-1, &[]);
    }
}

/// A download of a blob under way. Counted until it ends, however it ends.
#[derive(Debug)]
pub struct FillRunning {
    metrics: Metrics,
    _running: Running,
    outcome: &'static str,
}

impl FillRunning {
    /// It ended so.
    pub fn ended(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for FillRunning {
    fn drop(&mut self) {
        self.metrics.fills_running.add(-1, &[]);
        self.metrics.fills.add(1, &[KeyValue::new("outcome", self.outcome)]);
    }
}

impl Metrics {
    /// Registers every instrument.
    pub fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, help: &'static str| meter.u64_counter(name).with_description(help).build();
        let gauge = |name: &'static str, help: &'static str| meter.u64_gauge(name).with_description(help).build();
        Self {
            pulls: counter("roadstead_pulls", "Pull requests answered, by operation, status and cache result"),
            pull_bytes: counter("roadstead_pull_bytes", "Body bytes sent to clients, by cache result"),
            first_byte: meter
                .f64_histogram("roadstead_pull_headers_seconds")
                .with_description("From the request to the response headers, by operation and cache result")
                .with_boundaries(vec![
                    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
                ])
                .build(),
            broken_bodies: counter("roadstead_pull_bodies_broken", "Bodies that could not be sent to their end"),
            upstream_requests: counter("roadstead_upstream_requests", "Requests to upstreams, by kind and outcome"),
            upstream_bytes: counter("roadstead_upstream_bytes", "Body bytes received from upstreams"),
            fills: counter("roadstead_fills", "Downloads of blobs that ended, by outcome"),
            followed: counter(
                "roadstead_fills_followed",
                "Downloads of other gateways that were followed, by how that ended.",
            ),
            fill_resumes: counter(
                "roadstead_fill_resumes",
                "Downloads of blobs that broke off and were continued, by reason",
            ),
            fills_running: meter
                .i64_up_down_counter("roadstead_fills_running")
                .with_description("Downloads of blobs under way")
                .build(),
            unrecorded: meter
                .i64_up_down_counter("roadstead_unrecorded")
                .with_description(
                    "Results that are not recorded yet: of downloads under way, and those that wait for the metadata",
                )
                .build(),
            prefetches: counter(
                "roadstead_prefetches",
                "Blobs of served manifests that were to be fetched before a client asks, by what became of it",
            ),
            prefetches_running: meter
                .i64_up_down_counter("roadstead_prefetches_running")
                .with_description("Downloads under way that no client has asked for")
                .build(),
            prefetches_used: counter(
                "roadstead_prefetches_used",
                "Prefetched blobs that a client then asked for, while they arrived or later",
            ),
            prefetch_bytes: counter(
                "roadstead_prefetch_bytes",
                "Bytes of blobs that were fetched whole before a client asked",
            ),
            stale: counter("roadstead_stale_answers", "Tags served past their validity, by reason"),
            refreshes: counter("roadstead_refreshes", "Tags checked ahead of their validity's end, by outcome"),
            rate_limit: gauge(
                "roadstead_upstream_rate_limit",
                "Requests that an upstream allows per window, as it says",
            ),
            rate_remaining: gauge("roadstead_upstream_rate_remaining", "Requests that are left of it, as it said last"),
            breaker: gauge(
                "roadstead_upstream_breaker",
                "Whether an upstream is left alone after faults: 0 no, 1 one request finds out, 2 yes",
            ),
            region_copies: counter(
                "roadstead_region_copies",
                "Copies that were asked of other regions, by region and what became of it",
            ),
            region_bytes: counter("roadstead_region_bytes", "Bytes received from other regions, by region"),
            fleet_gateways: gauge("roadstead_fleet_gateways", "Gateways with an open session, as last heard"),
            fleet_present: gauge(
                "roadstead_fleet_present",
                "Whether the metadata answered the last sign of life: 1, or 0 where this gateway goes on by itself",
            ),
            load: Load::default(),
            left_alone: counter("roadstead_upstream_left_alone", "Requests not sent because of that, by reason"),
        }
    }

    /// A pull request was answered.
    pub fn pulled(&self, operation: &'static str, status: u16, cache: &'static str, headers_after: Duration) {
        let operation = KeyValue::new("operation", operation);
        let cache = KeyValue::new("cache", cache);
        self.first_byte.record(headers_after.as_secs_f64(), &[operation.clone(), cache.clone()]);
        self.pulls.add(1, &[operation, KeyValue::new("status", i64::from(status)), cache]);
    }

    /// Body bytes went to a client.
    pub fn sent(&self, bytes: u64, cache: &'static str) {
        self.pull_bytes.add(bytes, &[KeyValue::new("cache", cache)]);
    }

    /// A body broke off; the client's connection is aborted.
    pub fn body_broke(&self) {
        self.broken_bodies.add(1, &[]);
    }

    /// A request to an upstream ended.
    pub fn asked(&self, upstream: UpstreamId, kind: &'static str, outcome: &'static str) {
        self.upstream_requests.add(
            1,
            &[
                KeyValue::new("upstream", upstream.to_string()),
                KeyValue::new("kind", kind),
                KeyValue::new("outcome", outcome),
            ],
        );
    }

    /// Body bytes came from an upstream.
    pub fn received(&self, upstream: UpstreamId, bytes: u64) {
        self.upstream_bytes.add(bytes, &[KeyValue::new("upstream", upstream.to_string())]);
    }

    /// Content begins to arrive, or a result begins to wait; until it is recorded, a kill of the process would lose it.
    pub fn unrecorded(&self) -> Counted {
        Counted::by(&self.unrecorded)
    }

    /// A download of a blob began.
    pub fn fill_began(&self) -> FillRunning {
        self.fills_running.add(1, &[]);
        FillRunning { metrics: self.clone(), _running: self.load.fill(), outcome: "abandoned" }
    }

    /// The download of another gateway was followed, and how that ended.
    pub fn followed(&self, outcome: &'static str) {
        self.followed.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A download of a blob broke off, and the rest of it is asked for.
    pub fn fill_resumed(&self, reason: &'static str) {
        self.fill_resumes.add(1, &[KeyValue::new("reason", reason)]);
    }

    /// A blob that was to be prefetched was, or was not.
    pub fn prefetch_ended(&self, outcome: &'static str) {
        self.prefetches.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A prefetch is under way.
    pub fn prefetching(&self) -> Counted {
        Counted::by(&self.prefetches_running)
    }

    /// A blob was prefetched whole.
    pub fn prefetched(&self, bytes: u64) {
        self.prefetch_bytes.add(bytes, &[]);
    }

    /// A client asked for a prefetched blob.
    pub fn prefetch_used(&self) {
        self.prefetches_used.add(1, &[]);
    }

    /// A tag was checked ahead.
    pub fn refreshed(&self, outcome: &'static str) {
        self.refreshes.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// An upstream said what is left of our budget.
    pub fn rate_budget(&self, upstream: UpstreamId, limit: Option<u64>, remaining: u64) {
        let upstream = [KeyValue::new("upstream", upstream.to_string())];
        if let Some(limit) = limit {
            self.rate_limit.record(limit, &upstream);
        }
        self.rate_remaining.record(remaining, &upstream);
    }

    /// A breaker is at another level.
    pub fn breaker(&self, upstream: UpstreamId, circuit: &'static str, level: u64) {
        let labels = [KeyValue::new("upstream", upstream.to_string()), KeyValue::new("circuit", circuit)];
        self.breaker.record(level, &labels);
    }

    /// A request was not sent, since its upstream is left alone.
    pub fn left_alone(&self, upstream: UpstreamId, circuit: &'static str, reason: &'static str) {
        let labels = [
            KeyValue::new("upstream", upstream.to_string()),
            KeyValue::new("circuit", circuit),
            KeyValue::new("reason", reason),
        ];
        self.left_alone.add(1, &labels);
    }

    /// A copy was asked of another region.
    pub fn copied(&self, region: &RegionId, outcome: &'static str) {
        let region = KeyValue::new("region", region.as_str().to_owned());
        self.region_copies.add(1, &[region, KeyValue::new("outcome", outcome)]);
    }

    /// Bytes of it came.
    pub fn copied_bytes(&self, region: &RegionId, bytes: u64) {
        self.region_bytes.add(bytes, &[KeyValue::new("region", region.as_str().to_owned())]);
    }

    /// What runs now.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// The metadata answered a sign of life with so many gateways, or did not.
    pub fn fleet(&self, gateways: Option<usize>) {
        if let Some(gateways) = gateways {
            self.fleet_gateways.record(gateways as u64, &[]);
        }
        self.fleet_present.record(gateways.is_some().into(), &[]);
    }

    /// A tag was served past its validity.
    pub fn served_stale(&self, reason: &'static str) {
        self.stale.add(1, &[KeyValue::new("reason", reason)]);
    }
}
