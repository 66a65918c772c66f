//! What openraft's suite does not ask: the order of memory and disk.

use openraft::alias::OneshotReceiverOf;
use openraft::entry::RaftEntry;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::*;
use crate::testing::power::Power;

/// The answer to an append.
type Flushed = OneshotReceiverOf<Types, io::Result<()>>;

struct Fixture {
    directory: TempDir,
    power: Power,
    store: LogStore,
    closed: Closed,
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn entries(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
    indexes.map(|index| Entry::new_blank(log_id(term, index))).collect()
}

impl Fixture {
    fn new() -> Self {
        Self::open(TempDir::new().expect("a temporary directory"))
    }

    fn open(directory: TempDir) -> Self {
        let power = Power::on(0);
        let (file, closed) = LogFile::open(&power, directory.path(), &Compaction::default(), None).expect("a log");
        let state = StateFile::open(Arc::new(power.clone()), directory.path()).expect("a state");
        let file = Arc::new(file);
        let store = LogStore::new(Arc::clone(&file), Writer::start(file), Arc::new(state));
        Self { directory, power, store, closed }
    }

    /// The power goes, the member starts again.
    async fn crash(self) -> Self {
        self.power.cut();
        drop(self.store);
        self.closed.wait().await;
        Self::open(self.directory)
    }

    /// Appends; the answer comes when it is durable.
    async fn append(&mut self, entries: Vec<Entry>) -> Flushed {
        let (sender, receiver) = Types::oneshot();
        self.store.append(entries, IOFlushed::signal(sender)).await.expect("the writer runs");
        receiver
    }

    async fn read(&self, from: u64, to: u64) -> Vec<u64> {
        let entries =
            LogReader(Arc::clone(&self.store.file)).try_get_log_entries(from..to).await.expect("a readable log");
        entries.iter().map(|entry| entry.log_id.index).collect()
    }
}

async fn durable(receiver: Flushed) {
    receiver.await.expect("an answer").expect("it is durable");
}

#[tokio::test]
async fn an_appended_entry_is_readable_at_once_and_kept_once_it_is_acknowledged() {
    let mut log = Fixture::new();
    let first = log.append(entries(1, 0..3)).await;
    // On this single thread the writer has not run yet.
    assert_eq!(log.read(0, 10).await, [0, 1, 2]);
    durable(first).await;
    let _unacknowledged = log.append(entries(1, 3..5)).await;
    assert_eq!(log.read(1, 10).await, [1, 2, 3, 4]);
    let log = log.crash().await;
    assert_eq!(log.read(0, 10).await, [0, 1, 2]);
}

#[tokio::test]
async fn whatever_waits_together_is_synced_together() {
    let mut log = Fixture::new();
    let before = log.power.syncs();
    let mut answers = Vec::new();
    for index in 0..100 {
        answers.push(log.append(entries(1, index..index + 1)).await);
    }
    for answer in answers {
        durable(answer).await;
    }
    let syncs = log.power.syncs() - before;
    assert!(syncs <= 2, "{syncs} syncs for 100 appends");
}

#[tokio::test]
async fn a_truncated_entry_does_not_come_back() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..10)).await).await;
    let on_its_way = log.append(entries(1, 10..12)).await;
    log.store.truncate_after(Some(log_id(1, 4))).await.expect("it truncates");
    durable(on_its_way).await;
    assert_eq!(log.read(0, 100).await, [0, 1, 2, 3, 4]);
    durable(log.append(entries(2, 5..7)).await).await;
    let mut log = log.crash().await;
    assert_eq!(log.read(0, 100).await, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(log.store.get_log_state().await.expect("a state").last_log_id, Some(log_id(2, 6)));
}

#[tokio::test]
async fn a_vote_is_durable_when_it_is_answered() {
    let mut log = Fixture::new();
    log.store.save_vote(&Vote::new(7, 1)).await.expect("it is saved");
    let log = log.crash().await;
    let vote = LogReader(Arc::clone(&log.store.file)).read_vote().await.expect("a readable log");
    assert_eq!(vote, Some(Vote::new(7, 1)));
}

#[tokio::test]
async fn the_commit_index_travels_with_the_next_commit_and_never_ahead_of_the_entries() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..5)).await).await;
    log.store.save_committed(Some(log_id(1, 3))).await.expect("it is noted");
    durable(log.append(entries(1, 5..6)).await).await;
    // Committed by the group, and not yet durable here.
    log.store.save_committed(Some(log_id(1, 8))).await.expect("it is noted");
    log.store.save_vote(&Vote::new(1, 1)).await.expect("it is saved");
    let mut log = log.crash().await;
    assert_eq!(log.store.read_committed().await.expect("a readable log"), Some(log_id(1, 3)));
}

#[tokio::test(start_paused = true)]
async fn the_commit_index_is_saved_soon_even_when_nothing_else_happens() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..5)).await).await;
    // The clock is paused: it moves only when the writer has nothing left to do.
    let idle = || tokio::time::sleep(std::time::Duration::from_secs(1));
    idle().await;
    log.store.save_committed(Some(log_id(1, 4))).await.expect("it is noted");
    let before = log.power.syncs();
    idle().await;
    assert_eq!(log.power.syncs() - before, 1, "once, not again and again");
    let mut log = log.crash().await;
    assert_eq!(log.store.read_committed().await.expect("a readable log"), Some(log_id(1, 4)));
}

#[tokio::test]
async fn a_purge_is_kept_and_hides_what_it_purged() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..10)).await).await;
    log.store.purge(log_id(1, 6)).await.expect("it purges");
    assert_eq!(log.read(0, 100).await, [7, 8, 9]);
    log.store.writer.flush().await.expect("it is durable");
    let mut log = log.crash().await;
    assert_eq!(log.read(0, 100).await, [7, 8, 9]);
    let state = log.store.get_log_state().await.expect("a state");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 6)), Some(log_id(1, 9))));
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_is_swept_from_the_file_beside_further_writes() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..3000)).await).await;
    log.store.purge(log_id(1, 2500)).await.expect("it purges");
    let on_disk = |log: &Fixture| {
        let transaction = log.store.file.database.begin_read().expect("a transaction");
        let table = transaction.open_table(ENTRIES).expect("the entries");
        table.first().expect("a readable log").map(|(first, _)| first.value())
    };
    assert!(on_disk(&log) <= Some(2500), "not all at once");
    durable(log.append(entries(1, 3000..3001)).await).await;
    // The clock is paused: it moves only when the writer has nothing left to do.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(on_disk(&log), Some(2501));
    durable(log.append(entries(1, 3001..3002)).await).await;
    let log = log.crash().await;
    assert_eq!(log.read(0, u64::MAX).await, (2501..3002).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_read_for_replication_is_bounded_by_bytes() {
    let mut log = Fixture::new();
    let appended = log.append(entries(1, 0..10)).await;
    let one = entries(1, 1..2)[0].encode().len();
    let on_its_way = log.store.file.read(1, 10, 3 * one).expect("a readable log").len();
    assert_eq!(on_its_way, 3, "also of what is not on disk yet");
    durable(appended).await;
    let read = |bytes| log.store.file.read(1, 10, bytes).expect("a readable log").len();
    assert_eq!(read(1), 1, "at least one");
    assert_eq!(read(3 * one), 3);
    assert_eq!(read(usize::MAX), 9);
}

#[tokio::test]
async fn a_hole_is_damage() {
    let mut log = Fixture::new();
    durable(log.append(entries(1, 0..4)).await).await;
    durable(log.append(entries(1, 5..8)).await).await;
    let read = |from, to| log.store.file.read(from, to, usize::MAX);
    assert!(read(0, 8).is_err());
    assert!(read(0, 4).is_ok());
}

#[tokio::test]
async fn a_failed_disk_is_reported_to_everybody_who_waits() {
    let mut log = Fixture::new();
    log.power.cut();
    let answer = log.append(entries(1, 0..1)).await;
    assert!(answer.await.expect("an answer").is_err());
    assert!(log.store.save_vote(&Vote::new(1, 1)).await.is_err());
}
