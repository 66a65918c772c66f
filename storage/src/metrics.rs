//! Names and help texts of this crate's metrics. The only file that spells one.
//!
//! An exporter for Prometheus appends the unit and `_total`: `roadstead_storage_transferred` is scraped as
//! `roadstead_storage_transferred_bytes_total`.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use crate::cloud::capabilities::{Answer, Capabilities};
use crate::error::{Kind, Operation};
use crate::memory::{ChecksumMemory, ChunkMemory};
use crate::tiered::Budget;

const OPERATIONS: &str = "roadstead_storage_operations";
const TRANSFERRED: &str = "roadstead_storage_transferred";
const DURATION: &str = "roadstead_storage_operation_duration";
const LOOKUPS: &str = "roadstead_storage_chunk_lookups";
const CAPABILITY: &str = "roadstead_storage_capability";
const MEMORY: &str = "roadstead_storage_memory";

/// From a hit in memory (microseconds) to a cloud store that is having a bad day.
const DURATION_BOUNDS: [f64; 14] =
    [0.000_05, 0.000_2, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Failed(Kind),
    /// Whoever asked left before the end.
    Left,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(kind) => kind.name(),
            Self::Left => "left",
        }
    }
}

/// What one tier does.
#[derive(Debug, Clone)]
pub(crate) struct TierMetrics {
    tier: &'static str,
    operations: Counter<u64>,
    transferred: Counter<u64>,
    duration: Histogram<f64>,
}

impl TierMetrics {
    pub(crate) fn new(meter: &Meter, tier: &'static str) -> Self {
        Self {
            tier,
            operations: meter
                .u64_counter(OPERATIONS)
                .with_description("Operations on blob storage by tier, operation and outcome.")
                .build(),
            transferred: meter
                .u64_counter(TRANSFERRED)
                .with_description("Bytes read from and written to blob storage by tier and operation.")
                .with_unit("By")
                .build(),
            duration: meter
                .f64_histogram(DURATION)
                .with_description("Time to the first byte of a get, and to the end of any other operation.")
                .with_unit("s")
                .with_boundaries(DURATION_BOUNDS.to_vec())
                .build(),
        }
    }

    pub(crate) fn ended(&self, operation: Operation, outcome: Outcome) {
        self.operations.add(1, &[self.tier(), of(operation), KeyValue::new("outcome", outcome.name())]);
    }

    pub(crate) fn took(&self, operation: Operation, elapsed: std::time::Duration) {
        self.duration.record(elapsed.as_secs_f64(), &[self.tier(), of(operation)]);
    }

    pub(crate) fn moved(&self, operation: Operation, bytes: u64) {
        if bytes > 0 {
            self.transferred.add(bytes, &[self.tier(), of(operation)]);
        }
    }

    fn tier(&self) -> KeyValue {
        KeyValue::new("tier", self.tier)
    }
}

fn of(operation: Operation) -> KeyValue {
    KeyValue::new("operation", operation.name())
}

/// How a read met the memory tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// A chunk was in memory.
    Hit,
    /// A chunk was read into memory.
    Load,
    /// No memory for a chunk: one block was read.
    Block,
    /// No memory for a block in a consumer's hands: a small copy was handed out.
    Squeezed,
}

/// What the memory tier does and holds.
#[derive(Debug)]
pub(crate) struct MemoryMetrics {
    lookups: Counter<u64>,
}

impl MemoryMetrics {
    pub(crate) fn new(meter: &Meter, chunks: &ChunkMemory, [loads, holds, hands]: [&Budget; 3]) -> Self {
        observe_memory(meter, "chunks", {
            let chunks = chunks.clone();
            move || chunks.used()
        });
        for (purse, budget) in [("loads", loads), ("holds", holds), ("hands", hands)] {
            let budget = budget.clone();
            observe_memory(meter, purse, move || budget.used());
        }
        let lookups = meter
            .u64_counter(LOOKUPS)
            .with_description(
                "How reads met the memory tier: hit, load, block (no memory for a chunk), squeezed (none for a block).",
            )
            .build();
        Self { lookups }
    }

    pub(crate) fn looked_up(&self, lookup: Lookup) {
        let result = match lookup {
            Lookup::Hit => "hit",
            Lookup::Load => "load",
            Lookup::Block => "block",
            Lookup::Squeezed => "squeezed",
        };
        self.lookups.add(1, &[KeyValue::new("result", result)]);
    }
}

/// Shows what the checksums in memory weigh.
pub(crate) fn observe_checksums(meter: &Meter, checksums: ChecksumMemory) {
    observe_memory(meter, "checksums", move || checksums.used());
}

/// Shows what the object store did when it was tried out; what could not be tried has no series.
pub(crate) fn observe_capabilities(meter: &Meter, capabilities: Capabilities) {
    meter
        .u64_observable_gauge(CAPABILITY)
        .with_description("What the object store does, as tried out at the start: 1 if it does, 0 if not.")
        .with_callback(move |gauge| {
            for (name, answer) in capabilities.each().into_iter().filter(|(_, answer)| *answer != Answer::Unknown) {
                gauge.observe(u64::from(answer == Answer::Yes), &[KeyValue::new("capability", name)]);
            }
        })
        .build();
}

fn observe_memory(meter: &Meter, purse: &'static str, used: impl Fn() -> u64 + Send + Sync + 'static) {
    meter
        .u64_observable_gauge(MEMORY)
        .with_description("Memory that blob storage holds, by purpose.")
        .with_unit("By")
        .with_callback(move |gauge| gauge.observe(used(), &[KeyValue::new("purpose", purse)]))
        .build();
}
