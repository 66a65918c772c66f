//! How many downloads run at once, and on whose account each runs.
//!
//! There are two classes. What a client asked for waits for a turn and nothing else. What nobody has asked for yet, a
//! prefetch, begins only while few downloads are under way, and becomes a client's the moment one asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use roadstead_proto::domain::limits;
use roadstead_proto::domain::upstream::SourceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Turns to download: memory is bounded however many blobs are wanted at once.
#[derive(Debug)]
pub(super) struct Turns {
    turns: Arc<Semaphore>,
    /// The same for downloads that other gateways lead. Apart from those led here: two gateways that follow each other with all
    /// their turns would wait for each other for ever.
    follows: Arc<Semaphore>,
    /// What one source may have of them: one whose bodies stand still must not stop the others. As many as upstreams.
    of_sources: Mutex<HashMap<SourceId, Arc<Semaphore>>>,
    /// Downloads that have a turn or wait for one.
    under_way: watch::Sender<usize>,
}

/// A turn in hand; dropping it lets the next download begin.
pub(super) struct Turn {
    // Given back before the count says so.
    _permits: [Option<OwnedSemaphorePermit>; 2],
    _under_way: UnderWay,
}

/// Counted until dropped.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|under_way| *under_way += 1);
        Self(count.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|under_way| *under_way -= 1);
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        let turns = Arc::new(Semaphore::new(limits::FILLS_MAX));
        let follows = Arc::new(Semaphore::new(limits::FILLS_MAX));
        Self { turns, follows, of_sources: Mutex::default(), under_way: watch::Sender::new(0) }
    }

    /// Waits for a turn to follow.
    pub(super) async fn follow(&self) -> Turn {
        let under_way = UnderWay::begin(&self.under_way);
        Turn { _permits: [Arc::clone(&self.follows).acquire_owned().await.ok(), None], _under_way: under_way }
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, source: &SourceId) -> Turn {
        // Who waits counts too: nothing is to be prefetched before them.
        let under_way = UnderWay::begin(&self.under_way);
        let own = {
            // Only inserted into.
            let mut of_sources = self.of_sources.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(limits::FILLS_OF_A_SOURCE_MAX));
            Arc::clone(of_sources.entry(source.clone()).or_insert_with(new))
        };
        // The source's own first, so that nobody waits for it with a turn of all in hand. Closed only with the process.
        let own = own.acquire_owned().await.ok();
        Turn { _permits: [own, Arc::clone(&self.turns).acquire_owned().await.ok()], _under_way: under_way }
    }

    /// Waits until there is room for what nobody has asked for.
    pub(super) async fn quiet(&self) {
        let mut under_way = self.under_way.subscribe();
        // The sender is ours, so that this ends with room and never without.
        drop(under_way.wait_for(|under_way| *under_way < limits::PREFETCH_BUSY).await);
    }
}

/// On whose account a download runs.
#[derive(Debug)]
pub(super) struct Class {
    /// Of a prefetch: the size that its manifest says.
    prefetch: Option<u64>,
    /// Whether a client wants it.
    asked_for: watch::Sender<bool>,
    /// The task behind the download is over.
    ended: CancellationToken,
}

impl Class {
    /// A client waits for it.
    pub(super) fn client() -> Self {
        Self { prefetch: None, asked_for: watch::Sender::new(true), ended: CancellationToken::new() }
    }

    /// Nobody has asked for these bytes yet.
    pub(super) fn prefetch(size: u64) -> Self {
        Self { prefetch: Some(size), asked_for: watch::Sender::new(false), ended: CancellationToken::new() }
    }

    /// Whether it began without anybody asking.
    pub(super) fn is_prefetch(&self) -> bool {
        self.prefetch.is_some()
    }

    /// The size that a body must have as long as nobody has asked: a manifest that lies is no way to have more fetched than
    /// it says.
    pub(super) fn only_size(&self) -> Option<u64> {
        self.prefetch.filter(|_| self.is_unasked())
    }

    /// Whether still nobody has asked.
    pub(super) fn is_unasked(&self) -> bool {
        !*self.asked_for.borrow()
    }

    /// A client asks: from now on it is that client's download.
    pub(super) fn promote(&self) {
        self.asked_for.send_if_modified(|asked_for| !std::mem::replace(asked_for, true));
    }

    /// Nothing more happens to it: what could be stored and recorded is.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits for the end, or for a client to ask: whether it ended unasked for.
    pub(super) async fn ended_unasked(&self) -> bool {
        let mut asked_for = self.asked_for.subscribe();
        tokio::select! {
            () = self.ended.cancelled() => self.is_unasked(),
            _ = asked_for.wait_for(|asked_for| *asked_for) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use roadstead_proto::domain::upstream::{CredentialId, Origin};

    use super::*;

    fn source() -> SourceId {
        let origin = Origin::from_stored("https://one:443".to_owned());
        SourceId { origin, credential: CredentialId::default() }
    }

    #[tokio::test]
    async fn one_source_leaves_turns_to_the_others() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 0..limits::FILLS_OF_A_SOURCE_MAX {
            held.push(turns.take(&source()).await);
        }
        assert!(turns.take(&source()).now_or_never().is_none());
        // The runtime lets a task do only so much at a stretch.
        tokio::task::yield_now().await;
        let other = SourceId { credential: CredentialId([1; 16]), ..source() };
        assert!(turns.take(&other).now_or_never().is_some());
        held.pop();
        assert!(turns.take(&source()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn there_is_room_for_prefetches_while_few_downloads_are_under_way() {
        let turns = Turns::new();
        let mut held = Vec::new();
        for _ in 1..limits::PREFETCH_BUSY {
            held.push(turns.take(&source()).await);
        }
        assert_eq!(turns.quiet().now_or_never(), Some(()));
        held.push(turns.take(&source()).await);
        let quiet = turns.quiet();
        tokio::pin!(quiet);
        assert_eq!(quiet.as_mut().now_or_never(), None);
        held.pop();
        quiet.await;
    }

    #[tokio::test]
    async fn a_prefetch_is_a_clients_once_one_asks() {
        let class = Class::prefetch(7);
        assert!(class.is_unasked() && class.ended_unasked().now_or_never().is_none());
        assert_eq!(class.only_size(), Some(7));
        class.promote();
        assert!(!class.is_unasked() && class.is_prefetch());
        assert_eq!((class.only_size(), class.ended_unasked().now_or_never()), (None, Some(false)));
        class.end();
        assert_eq!(class.ended_unasked().now_or_never(), Some(false));
        let unwanted = Class::prefetch(7);
        unwanted.end();
        assert_eq!(unwanted.ended_unasked().now_or_never(), Some(true));
        assert!(!Class::client().is_unasked() && !Class::client().is_prefetch());
    }
}
