//! Ordinary upkeep of three members: one after the other, or all at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roadstead_node::LocalMeta;
use roadstead_proto::meta::{Consistency, MetaError};
use tokio::sync::watch;

use crate::net::{Net, others};
use crate::world::{bootstrap, names, put_token, put_tokens, tokens};

/// Writes until told to end, as a client does: to whoever leads, again where a call was not answered. Answers the names
/// that were acknowledged and the longest that one write took.
async fn write_on(members: watch::Receiver<Vec<Arc<LocalMeta>>>, over: Arc<AtomicBool>) -> (Vec<String>, Duration) {
    let (mut acknowledged, mut longest) = (Vec::new(), Duration::ZERO);
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (name, began) = (format!("w{number}"), Instant::now());
        'again: loop {
            let now = members.borrow().clone();
            for meta in now {
                match put_token(&meta, &name).await {
                    Ok(_) => break 'again,
                    Err(MetaError::NotLeader { .. } | MetaError::Unavailable(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest = longest.max(began.elapsed());
        acknowledged.push(name);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (acknowledged, longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_restarted_one_after_the_other_and_no_write_fails() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    let metas = |net: &Net| net.running().into_iter().map(|id| net.meta(id)).collect::<Vec<_>>();
    let (members, receiver) = watch::channel(metas(&net));
    let over = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_on(receiver, Arc::clone(&over)));
    for id in 1..=3 {
        net.stop(id).await;
        net.start(id).await;
        members.send_replace(metas(&net));
        net.leader(&[1, 2, 3]).await;
        let applied = net.node(net.leader(&[1, 2, 3]).await).status().applied;
        net.until("it has caught up", || net.node(id).status().applied >= applied).await;
    }
    over.store(true, Ordering::Relaxed);
    let (acknowledged, longest) = writer.await.expect("the writer");
    let leader = net.leader(&[1, 2, 3]).await;
    let found = tokens(&net.meta(leader), Consistency::Linearizable).await.1;
    assert!(acknowledged.iter().all(|name| found.contains(name)), "every acknowledged write is there");
    assert!(acknowledged.len() > 10, "only {} writes", acknowledged.len());
    println!("{} writes, the longest took {longest:?}", acknowledged.len());
    assert!(longest < Duration::from_secs(2), "{longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_restart_at_once_and_nothing_is_lost() {
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    bootstrap(&net.meta(leader)).await;
    put_tokens(&net.meta(leader), 0..30).await;
    for id in 1..=3 {
        net.crash(id).await;
    }
    for id in 1..=3 {
        net.start(id).await;
    }
    let leader = net.leader(&[1, 2, 3]).await;
    assert_eq!(tokens(&net.meta(leader), Consistency::Linearizable).await.1, names(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_at_the_same_time_share_their_fsyncs_on_every_member() {
    let mut net = Net::new();
    // This is about fsyncs and not about time.
    net.timing.patience = Duration::from_secs(30);
    net.form(3).await;
    let meta = net.meta(net.leader(&[1, 2, 3]).await);
    bootstrap(&meta).await;
    let before: Vec<_> = (1..=3).map(|id| net.syncs(id)).collect();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..500 {
        let meta = Arc::clone(&meta);
        writers.spawn(async move { put_token(&meta, &number.to_string()).await.expect("a write") });
    }
    assert_eq!(writers.join_all().await.len(), 500);
    for (id, before) in (1..=3).zip(before) {
        let synced = net.syncs(id) - before;
        assert!(synced < 150, "member {id} synced {synced} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_its_watches() {
    use roadstead_proto::rpc::{Dialer, Role};
    use roadstead_proto::wire::pb::meta::v1 as pb;
    use roadstead_proto::wire::pb::meta::v1::meta_client::MetaClient;
    let mut net = Net::group(3).await;
    let leader = net.leader(&[1, 2, 3]).await;
    let stops = others(leader)[0];
    let dialer = Dialer::new(Some(net.authority.identity(Role::Gateway)));
    let mut meta = MetaClient::new(dialer.channel(&net.address(stops), Role::Node).expect("a channel"));
    let mut events = meta.watch(pb::WatchRequest { after: 0 }).await.err();
    let after = net.node(stops).status().applied.unwrap_or(0);
    let mut watch = meta.watch(pb::WatchRequest { after }).await.expect("a watch").into_inner();
    let began = Instant::now();
    net.stop(stops).await;
    while events.is_none() {
        events = match watch.message().await {
            Ok(Some(_)) => None,
            Ok(None) => break,
            Err(status) => Some(status),
        };
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
