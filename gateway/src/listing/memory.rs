//! What one upstream said of one list: fresh for a minute, then asked again, by one for all; stale where it cannot be asked.

use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use moka::sync::Cache;
use roadstead_proto::domain::epoch::Epoch;
use roadstead_proto::domain::image::RepositoryName;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::UpstreamId;
use roadstead_proto::domain::time::Timestamp;

use crate::cache_status::CacheStatus;
use crate::fetch::error::FetchError;
use crate::flight::{Flights, Part};
use crate::meta::snapshot::UpstreamView;
use crate::upstream::client::Patience;
use crate::upstream::error::Answer;

type Key<S> = (UpstreamId, Epoch, RepositoryName, S);

#[derive(Debug, Clone)]
struct Kept<V> {
    answer: Answer<V>,
    at: Timestamp,
}

/// Lists by upstream, repository and subject.
pub(super) struct Memory<S, V> {
    kept: Cache<Key<S>, Kept<V>>,
    /// Failures a moment ago: who asks in a loop does not ask the upstream in a loop.
    failed: Cache<Key<S>, (FetchError, Timestamp)>,
    flights: Flights<Key<S>, Result<Answer<V>, FetchError>>,
}

impl<S, V> std::fmt::Debug for Memory<S, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

/// Bytes that a kept list costs beside its own.
const OVERHEAD: usize = 400;

impl<S, V> Memory<S, V>
where
    S: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Nothing kept; `weight` says how many bytes a list takes.
    pub(super) fn new(weight: fn(&V) -> usize) -> Self {
        let weigh = move |_: &Key<S>, kept: &Kept<V>| {
            let own = if let Answer::Here(value) = &kept.answer { weight(value) } else { 0 };
            u32::try_from(own + OVERHEAD).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().weigher(weigh).max_capacity(limits::LISTING_MEMORY).build();
        let failed = Cache::builder().max_capacity(limits::TOKENS_IN_MEMORY).build();
        Self { kept, failed, flights: Flights::default() }
    }

    pub(super) fn forget(&self) {
        self.kept.invalidate_all();
        self.failed.invalidate_all();
    }

    /// The list of one upstream, at `now`. `ask` puts the question where nothing fresh is kept.
    pub(super) async fn of<F>(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        subject: S,
        now: Timestamp,
        ask: impl FnOnce(Patience) -> F,
    ) -> Result<(Answer<V>, CacheStatus), FetchError>
    where
        F: Future<Output = Result<Answer<V>, FetchError>> + Send + 'static,
    {
        let key = (view.upstream.id, view.upstream.epoch, repository.clone(), subject);
        let kept = self.kept.get(&key);
        if let Some(kept) = &kept
            && now.since(kept.at) < validity(&kept.answer)
        {
            return Ok((kept.answer.clone(), CacheStatus::Hit));
        }
        // "Not here" of a while ago is nothing to serve from; a list is.
        let stale = kept.filter(|kept| {
            matches!(kept.answer, Answer::Here(_))
                && now.since(kept.at) < limits::LISTING_VALIDITY.saturating_add(view.upstream.settings.stale_if_error)
        });
        let total = if stale.is_some() { limits::UPSTREAM_STALE_DEADLINE } else { limits::LISTING_TIMEOUT };
        let work = || ask(Patience::lasting(total));
        let asked = match self.failed.get(&key) {
            Some((error, at)) if now.since(at) < limits::FAULT_MEMORY => Err(error),
            _ => match self.flights.run(key.clone(), work).await {
                Ok((answer, part)) => answer.map(|answer| (answer, part)),
                Err(_) => Err(FetchError::Abandoned),
            },
        };
        let asked = match asked {
            Ok((answer, part)) => {
                // Whoever waited keeps it too: the client that led may have left.
                self.kept.insert(key, Kept { answer: answer.clone(), at: now });
                let status = if part == Part::Led { CacheStatus::Miss } else { CacheStatus::Collapsed };
                return Ok((answer, status));
            }
            Err(error) => {
                // A failure that is remembered is not remembered anew: it would never be asked about again.
                if self.failed.get(&key).is_none_or(|(_, at)| now.since(at) >= limits::FAULT_MEMORY) {
                    self.failed.insert(key, (error.clone(), now));
                }
                error
            }
        };
        match stale {
            None => Err(asked),
            Some(kept) => {
                let by = now.since(kept.at).saturating_sub(limits::LISTING_VALIDITY);
                Ok((kept.answer, CacheStatus::Stale { reason: asked.reason(), by }))
            }
        }
    }
}

fn validity<V>(answer: &Answer<V>) -> Duration {
    match answer {
        Answer::Here(_) => limits::LISTING_VALIDITY,
        Answer::NotHere(_) => limits::NOT_HERE_MEMORY,
    }
}
