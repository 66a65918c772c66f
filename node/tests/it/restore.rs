//! The metadata as a file, and a new group out of it.

use std::path::PathBuf;

use roadstead_node::{Formation, RestoreError, restore};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore as _};
use roadstead_proto::wire::pb::admin::v1 as pb;

use crate::net::Net;
use crate::world::{bootstrap, names, put_token, put_tokens, tokens};

async fn export(net: &Net) -> PathBuf {
    let mut pieces = net.admin(1).snapshot(pb::SnapshotRequest::default()).await.expect("a snapshot").into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.message().await.expect("a piece") {
        bytes.extend(piece.data);
    }
    let file = net.root().join("exported");
    std::fs::write(&file, bytes).expect("a file");
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_restored_from_a_snapshot_of_another_and_grows() {
    let net = Net::group(1).await;
    bootstrap(&net.meta(1)).await;
    put_tokens(&net.meta(1), 0..700).await;
    let file = export(&net).await;
    // What is lost by going back to the copy.
    put_tokens(&net.meta(1), 700..720).await;
    let old = net.node(1).status().applied.expect("something is applied");

    let mut new = Net::new();
    let cluster = restore(&new.directory(5), &file, 5, "somewhere:1").expect("it is restored");
    assert_ne!(Some(cluster.as_str()), net.node(1).cluster(), "another group has another name");
    new.start(5).await;
    new.node(5).ready().await.expect("it leads");
    assert_eq!(new.node(5).cluster(), Some(cluster.as_str()));
    assert_eq!(tokens(&new.meta(5), Consistency::Linearizable).await.1, names(0..700));
    // Whoever has seen more of the old group than the copy holds takes everything anew.
    assert!(new.node(5).status().applied > Some(old));
    assert_eq!(new.meta(5).watch(Revision(old)).await.err(), Some(MetaError::Compacted));
    put_token(&new.meta(5), "new").await.expect("a write");
    new.start(6).await;
    new.add(5, 6, true).await.expect("it grows");
    new.until("the new member has it all", || new.node(6).status().applied >= new.node(5).status().applied).await;
    let expected = tokens(&new.meta(5), Consistency::Local).await.1;
    assert_eq!(tokens(&new.meta(6), Consistency::Local).await.1, expected);
    new.stop(5).await;
    new.start_as(5, Formation::Wait).await;
    new.leader(&[5, 6]).await;
    assert_eq!(tokens(&new.meta(5), Consistency::Local).await.1, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_restored_over_something_or_from_half_a_file() {
    let net = Net::group(1).await;
    bootstrap(&net.meta(1)).await;
    let file = export(&net).await;
    let into = restore(&net.directory(1), &file, 1, "somewhere:1");
    assert!(matches!(into, Err(RestoreError::NotEmpty { .. })), "{into:?}");
    let whole = std::fs::read(&file).expect("the file");
    for length in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..length]).expect("a shorter file");
        let cut = restore(&net.directory(9), &file, 9, "somewhere:1");
        assert!(matches!(cut, Err(RestoreError::Snapshot(_))), "{length}: {cut:?}");
        assert!(!net.directory(9).exists());
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    std::fs::write(&file, damaged).expect("a damaged file");
    assert!(restore(&net.directory(9), &file, 9, "somewhere:1").is_err());
}
