//! Clients that write configuration all the time, and a history of what they saw.
//!
//! Keys are names of tokens, values their hashes. A read is of the whole configuration, hence of every key at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use roadstead_gateway::meta::GrpcMeta;
use roadstead_loadtest::history::{Action, History, Recorder};
use roadstead_proto::domain::configuration::Configuration;
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore as _};
use roadstead_proto::state::command::{Command, Outcome, PutToken};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many keys: more than 200, so that no two kills meet the same few.
pub(crate) const KEYS: u32 = 211;
/// A key that is no part of any history, for whoever only wants to know whether writes are accepted.
pub(crate) const PROBE: u32 = KEYS;
/// How long a reader pauses.
const BETWEEN_READS: Duration = Duration::from_millis(150);
/// How long a writer pauses after an answer that is none, so that it does not spin while nobody leads.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Running clients.
pub(crate) struct Writers {
    shared: Arc<Shared>,
    stop: CancellationToken,
    clients: JoinSet<()>,
}

struct Shared {
    recorder: Recorder<u32, u64>,
    values: AtomicU64,
    acknowledged: AtomicU64,
}

fn name(key: u32) -> String {
    format!("trial-{key:03}")
}

fn hash(value: u64) -> TokenHash {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    TokenHash(bytes)
}

fn value(hash: &TokenHash) -> u64 {
    u64::from_le_bytes(hash.0[..8].try_into().expect("eight bytes"))
}

/// A write that changes nothing but one key.
pub(crate) fn put(key: u32, to: u64) -> Command {
    let (name, hash) = (name(key), hash(to));
    Command::PutToken(PutToken { name, hash, group: GroupId(1), role: Role::Reader, expires_at: None })
}

impl Shared {
    async fn write(&self, meta: &GrpcMeta, client: u32, key: u32) {
        let value = self.values.fetch_add(1, Ordering::Relaxed) + 1;
        let begun = self.recorder.begin(client);
        match meta.propose(put(key, value)).await {
            Ok(Outcome::Done) => {
                self.recorder.returned(begun, key, Action::Write(Some(value)));
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // Nothing was done, and the answer says so.
            Err(MetaError::NotLeader { .. }) => tokio::time::sleep(AFTER_FAILURE).await,
            Err(MetaError::Unavailable(_)) => {
                self.recorder.lost_sight(begun, key, Some(value));
                tokio::time::sleep(AFTER_FAILURE).await;
            }
            other => panic!("a write was answered with {other:?}"),
        }
    }

    async fn read(&self, meta: &GrpcMeta, client: u32) -> Result<(), MetaError> {
        let begun = self.recorder.begin(client);
        let seen = values(&meta.configuration(Consistency::Linearizable).await?);
        for key in 0..KEYS {
            self.recorder.returned(begun, key, Action::Read(seen.get(&key).copied()));
        }
        Ok(())
    }
}

/// What each key holds.
fn values(configuration: &Configuration) -> HashMap<u32, u64> {
    let of = |name: &str| name.strip_prefix("trial-")?.parse().ok();
    configuration.tokens.iter().filter_map(|token| Some((of(&token.name)?, value(&token.hash)))).collect()
}

impl Writers {
    /// Starts as many writers, each with connections of its own, and two readers.
    pub(crate) fn start(writers: u32, seed: u64, meta: impl Fn() -> GrpcMeta) -> Self {
        let (recorder, values, acknowledged) = Default::default();
        let shared = Arc::new(Shared { recorder, values, acknowledged });
        let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
        for client in 0..writers {
            let (shared, meta, stop) = (Arc::clone(&shared), meta(), stop.clone());
            let mut draw = StdRng::seed_from_u64(seed + u64::from(client));
            clients.spawn(async move {
                while !stop.is_cancelled() {
                    shared.write(&meta, client, draw.random_range(0..KEYS)).await;
                }
            });
        }
        for client in [1_000, 1_001] {
            let (shared, meta, stop) = (Arc::clone(&shared), meta(), stop.clone());
            clients.spawn(async move {
                while stop.run_until_cancelled(tokio::time::sleep(BETWEEN_READS)).await.is_some() {
                    // A read without an answer says nothing.
                    let _ = shared.read(&meta, client).await;
                }
            });
        }
        Self { shared, stop, clients }
    }

    /// How many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Ends all clients, reads everything once more, and returns what was seen.
    pub(crate) async fn history(mut self, meta: &GrpcMeta) -> History<u32, u64> {
        self.stop.cancel();
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("no client panics");
        }
        self.shared.read(meta, 2_000).await.expect("all is well again");
        self.shared.recorder.so_far()
    }
}
