//! What a client does when nodes stop, hang, lag or are all away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roadstead_gateway::meta::GrpcMeta;
use roadstead_gateway::meta::snapshot::Snapshots;
use roadstead_gateway::seal::Keyring;
use roadstead_node::testing::cluster::address;
use roadstead_proto::clock::SystemClock;
use roadstead_proto::domain::entry::{EntryRef, TagKey, Touch};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::{RegistryId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore, Watch, WatchEvent};
use roadstead_proto::state::command::{Change, Command};
use tokio_util::sync::CancellationToken;

use super::wire::Line;
use super::world::{Nodes, PATIENCE};

/// What a busy machine may add to a time that is bounded.
const SLACK: Duration = Duration::from_secs(2);

fn entry() -> EntryRef {
    let reference = Reference::Tag("1.0".parse().unwrap());
    EntryRef { upstream: UpstreamId(1), repository: "library/x".parse().unwrap(), reference }
}

/// A write that every watcher hears of.
async fn purge(meta: &impl MetaStore) -> Result<(), MetaError> {
    meta.propose(Command::PurgeEntry(entry())).await.map(drop)
}

async fn look(client: &GrpcMeta) -> Result<(), MetaError> {
    let key = TagKey { registry: RegistryId(1), repository: "library/x".parse().unwrap(), tag: "1.0".parse().unwrap() };
    client.tag(&key, Consistency::Local).await.map(drop)
}

async fn revision(meta: &impl MetaStore, consistency: Consistency) -> Result<Revision, MetaError> {
    meta.configuration(consistency).await.map(|configuration| configuration.revision)
}

async fn next_change(watch: &mut Watch) -> Result<Change, MetaError> {
    tokio::time::timeout(PATIENCE, watch.next_change()).await.expect("a change or an end in time")
}

fn is_unavailable<T: std::fmt::Debug>(answer: &Result<T, MetaError>) -> bool {
    matches!(answer, Err(MetaError::Unavailable(_)))
}

impl Nodes {
    fn set_all(&self, line: Line) {
        for id in self.ids() {
            self.wire.set(&address(id), line);
        }
    }

    async fn leader(&self) -> u64 {
        self.cluster.leader_of(&self.ids()).await
    }

    async fn followers(&self) -> Vec<u64> {
        let leader = self.leader().await;
        self.ids().into_iter().filter(|id| *id != leader).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_and_writes_find_the_new_leader_when_the_old_one_stops() {
    let mut nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let leader = nodes.leader().await;
    let reader = client.clone();
    let (stopped, mut is_stopped) = tokio::sync::oneshot::channel::<()>();
    let reads = tokio::spawn(async move {
        let mut reads = 0;
        while is_stopped.try_recv().is_err() {
            look(&reader).await.expect("no read fails");
            reads += 1;
        }
        reads
    });
    nodes.stop(leader).await;
    purge(&client).await.expect("the rest elects a leader within a call's patience");
    stopped.send(()).unwrap();
    assert!(reads.await.expect("no read fails") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_until_another_leads_when_the_leader_is_cut_off() {
    let nodes = Nodes::start(3).await;
    let leader = nodes.leader().await;
    nodes.cluster.isolate(leader);
    nodes.wire.set(&address(leader), Line::Refuses);
    // Without a connection from before: a write that was on one when it was closed may have been made, and is not repeated.
    purge(&nodes.client()).await.expect("the rest elects a leader within a call's patience");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_sends_to_the_leader() {
    let nodes = Nodes::start(3).await;
    let follower = nodes.followers().await[0];
    let client = nodes.client_of(vec![address(follower)]);
    purge(&client).await.expect("the hint is followed");
    revision(&client, Consistency::Linearizable).await.expect("the hint is followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_hangs_costs_a_moment_once() {
    let nodes = Nodes::start(3).await;
    for hangs in nodes.ids() {
        // The only one that answers is the nearest.
        nodes.set_all(Line::Refuses);
        nodes.wire.set(&address(hangs), Line::Up);
        let client = nodes.client();
        look(&client).await.unwrap();
        nodes.set_all(Line::Up);
        nodes.wire.set(&address(hangs), Line::Hangs);
        let began = Instant::now();
        for _ in 0..40 {
            look(&client).await.expect("others answer");
        }
        // Waiting for it each time would be two seconds.
        assert!(began.elapsed() < 20 * limits::META_HEDGE_AFTER, "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_outlives_its_deadline() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    nodes.set_all(Line::Hangs);
    let began = Instant::now();
    let local = async {
        assert!(is_unavailable(&look(&client).await));
        assert!(began.elapsed() < limits::META_LOCAL_PATIENCE + SLACK, "{:?}", began.elapsed());
    };
    let linearizable = async {
        assert!(revision(&client, Consistency::Linearizable).await.is_err());
        assert!(began.elapsed() < limits::META_LEADER_PATIENCE + SLACK, "{:?}", began.elapsed());
    };
    let write = async {
        assert!(is_unavailable(&purge(&client).await));
        assert!(began.elapsed() < limits::META_LEADER_PATIENCE + SLACK, "{:?}", began.elapsed());
    };
    tokio::join!(local, linearizable, write);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_not_made_again() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let leader = nodes.leader().await;
    nodes.wire.set(&address(leader), Line::Mute);
    let touch = Touch { entry: entry(), downloads: 1, downloaded_at: Timestamp(1) };
    assert!(is_unavailable(&client.propose(Command::RecordUsage(vec![touch])).await));
    let leader = nodes.cluster.node(nodes.leader().await).meta();
    let usage = leader.usage(&entry(), Consistency::Linearizable).await.unwrap();
    assert_eq!(usage.map(|usage| usage.downloads), Some(1), "it was made, and once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_without_a_loss_when_all_nodes_are_back() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let start = revision(&client, Consistency::Linearizable).await.unwrap();
    let mut watch = client.watch(start).await.unwrap();
    purge(&client).await.unwrap();
    let heard = next_change(&mut watch).await.unwrap().revision;

    nodes.set_all(Line::Refuses);
    assert!(is_unavailable(&next_change(&mut watch).await));
    assert!(is_unavailable(&look(&client).await));
    assert!(is_unavailable(&client.watch(heard).await));
    let leader = nodes.cluster.node(nodes.leader().await).meta();
    for _ in 0..10 {
        purge(&*leader).await.unwrap();
    }
    let last = revision(&*leader, Consistency::Linearizable).await.unwrap();

    nodes.set_all(Line::Up);
    let back = async {
        loop {
            match client.watch(heard).await {
                Ok(watch) => return watch,
                Err(MetaError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    let mut watch = tokio::time::timeout(PATIENCE, back).await.expect("the nodes are found again");
    let mut before = heard;
    for _ in 0..10 {
        let change = next_change(&mut watch).await.unwrap();
        assert!(change.revision > before, "{change:?} after {before:?}");
        before = change.revision;
    }
    assert_eq!(before, last);
    look(&client).await.expect("reads are back");
    purge(&client).await.expect("writes are back");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_not_forgotten_is_watched_and_where_all_have_it_is_compacted() {
    let mut nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let start = revision(&client, Consistency::Linearizable).await.unwrap();
    purge(&client).await.unwrap();
    let ids = nodes.ids();
    for (number, id) in ids.iter().enumerate() {
        // A member knows no change from before it was started.
        nodes.stop(*id).await;
        nodes.start_again(*id).await;
        nodes.leader().await;
        let opened = nodes.client().watch(start).await;
        if number + 1 < ids.len() {
            assert!(next_change(&mut opened.unwrap()).await.unwrap().revision > start);
        } else {
            assert_eq!(opened.err(), Some(MetaError::Compacted));
        }
    }
    let now = revision(&client, Consistency::Local).await.unwrap();
    let mut watch = client.watch(now).await.expect("from a new configuration on there is a watch");
    purge(&client).await.unwrap();
    assert!(next_change(&mut watch).await.unwrap().revision > now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_falls_silent_ends() {
    let nodes = Nodes::start(1).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let mut watch = client.watch(Revision(0)).await.unwrap();
    // Longer than a silence would be borne.
    let mut beats = 0;
    while beats < 8 {
        beats += u32::from(matches!(watch.next().await.unwrap(), WatchEvent::Progress(_)));
    }
    nodes.set_all(Line::Hangs);
    let began = Instant::now();
    assert!(is_unavailable(&next_change(&mut watch).await));
    assert!(began.elapsed() < limits::WATCH_SILENCE_MAX + SLACK, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_nodes_hear_no_quorum_knows_that_it_is_cut_off() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let keyring = Arc::new(Keyring::generate().unwrap());
    let snapshots = Arc::new(Snapshots::load(Arc::new(client), keyring, Arc::new(SystemClock)).await.unwrap());
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&snapshots).follow(|| {}, stop.clone()));
    let until = async |what: &str, holds: &dyn Fn(Duration) -> bool| {
        let wait = async {
            while !holds(snapshots.cut_off_for()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect(what);
    };
    for id in nodes.ids() {
        nodes.cluster.isolate(id);
    }
    // Every node answers. A watch that ended in silence begins anew, and what it begins with is no news.
    until("nothing is heard", &|cut_off| cut_off > 2 * limits::WATCH_SILENCE_MAX + SLACK).await;
    nodes.cluster.heal();
    until("the nodes are heard again", &|cut_off| cut_off < limits::WATCH_SILENCE_MAX).await;
    stop.cancel();
    following.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_back_and_rows_are_read_where_nobody_knows_better() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client();
    purge(&client).await.unwrap();
    let lagging = nodes.followers().await[0];
    nodes.cluster.isolate(lagging);
    purge(&client).await.unwrap();
    let seen = revision(&client, Consistency::Linearizable).await.unwrap();
    for id in nodes.ids().into_iter().filter(|id| *id != lagging) {
        nodes.wire.set(&address(id), Line::Refuses);
    }
    let stale = nodes.client_of(vec![address(lagging)]);
    assert!(revision(&stale, Consistency::Local).await.unwrap() < seen, "it does lag");
    assert!(is_unavailable(&revision(&client, Consistency::Local).await), "an older configuration is none");
    look(&client).await.expect("an older row is one");
    nodes.cluster.heal();
    nodes.cluster.applied(lagging, seen.0).await;
    assert!(revision(&client, Consistency::Local).await.unwrap() >= seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_stands_for_several_nodes_and_is_looked_up_again() {
    let nodes = Nodes::start(3).await;
    let client = nodes.client_of(vec!["nodes:1".to_owned()]);
    nodes.wire.stands_for("nodes:1", &[address(1)]);
    look(&client).await.unwrap();
    nodes.wire.set(&address(1), Line::Refuses);
    nodes.wire.stands_for("nodes:1", &[address(2), address(3)]);
    look(&client).await.expect("the name is looked up when nobody answers");
    // It is looked up in vain, and by then all are back.
    nodes.wire.stands_for("nodes:1", &[]);
    nodes.set_all(Line::Refuses);
    assert!(is_unavailable(&look(&client).await));
    nodes.set_all(Line::Up);
    look(&client).await.expect("what it stood for counts while nobody knows better");
}
