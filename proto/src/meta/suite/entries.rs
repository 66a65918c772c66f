//! The list of what is cached.

use super::world::*;
use crate::domain::entry::{ContentKind, Touch};
use crate::domain::registry::UpstreamId;
use crate::domain::time::Timestamp;
use crate::meta::{Consistency, Leases, MetaStore, index_entries};
use crate::state::command::Command;
use crate::state::read::{EntryPage, EntryQuery};

async fn page<S: MetaStore>(store: &S, upstream: u64, search: Option<&str>, page: u64, per_page: usize) -> EntryPage {
    let query = EntryQuery { upstream: UpstreamId(upstream), search: search.map(str::to_owned), page, per_page };
    store.entries(&query, Consistency::Linearizable).await.expect("a page")
}

fn paths(page: &EntryPage) -> Vec<String> {
    page.entries.iter().map(|row| row.entry.relative_path(row.kind)).collect()
}

pub(super) async fn entries_are_listed<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    index_entries(store).await.expect("an index");
    let entry = tag(1, "1.0");
    let (key, token) = granted(store, session, &entry).await;
    store.complete(manifest_completion(key, token, &entry)).await.expect("recorded");
    fill(store, session, &blob(1, "library/y")).await;
    let touch = Touch { entry: entry.clone(), downloads: 3, downloaded_at: Timestamp(50) };
    store.propose(Command::RecordUsage(vec![touch])).await.expect("recorded");

    let first = page(store, 1, None, 1, 2).await;
    assert_eq!((first.entries.len(), first.has_next, first.total, first.is_cut), (2, true, Some(3), false));
    let second = page(store, 1, None, 2, 2).await;
    assert_eq!((second.entries.len(), second.has_next, second.total), (1, false, Some(3)));
    let found = page(store, 1, Some("/library/x/manifests/1"), 1, 20).await;
    assert_eq!((paths(&found), found.total), (vec!["library/x/manifests/1.0".to_owned()], Some(1)));
    let [row] = &found.entries[..] else { panic!("one row, and not {:?}", found.entries) };
    assert_eq!((row.digest, row.usage.downloads, row.kind), (digest(), 3, ContentKind::Manifest));
    assert_eq!(row.content.as_ref().map(|content| content.sha1), Some(Some([7; 20])));
    assert_eq!(row.upstream_etag.as_deref(), Some("\"etag\""));
    let one = store.entry(&entry, Consistency::Linearizable).await;
    assert_eq!(one, Ok(Some(row.clone())));
    assert_eq!(store.entry(&tag(1, "2.0"), Consistency::Linearizable).await, Ok(None));
    assert_eq!(page(store, 2, None, 1, 20).await.total, Some(0), "another upstream's cache is its own");

    store.propose(Command::PurgeEntry(entry)).await.expect("purged");
    assert_eq!(page(store, 1, None, 1, 20).await.total, Some(2));
    store.propose(Command::PurgeUpstream(UpstreamId(1))).await.expect("purged");
    assert_eq!(page(store, 1, None, 1, 20).await, EntryPage { total: Some(0), ..EntryPage::default() });
}

pub(super) async fn what_was_recorded_before_the_index_comes_in<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    fill(store, session, &blob(1, "library/x")).await;
    assert_eq!(page(store, 1, None, 1, 20).await, EntryPage { is_cut: true, ..EntryPage::default() });
    index_entries(store).await.expect("an index");
    let listed = page(store, 1, None, 1, 20).await;
    assert_eq!((listed.entries.len(), listed.total, listed.is_cut), (1, Some(1), false));
    index_entries(store).await.expect("it is complete");
    assert_eq!(page(store, 1, None, 1, 20).await, listed);
}
