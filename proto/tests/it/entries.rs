//! The list of what is cached: what is an entry, in which order, how many, and how older ones come in.

use std::time::Duration;

use proptest::prelude::*;
use roadstead_proto::domain::entry::{CachedEntry, Content, ContentKind, EntryRef, Right, TagEntry, Touch, Usage};
use roadstead_proto::domain::lease::EarnedByHead;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::{RegionId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::state::command::{Command, Outcome};
use roadstead_proto::state::read::{self, EntryPage, EntryQuery};
use roadstead_proto::state::rows::{EntryCount, Indexed, Indexing, Rows as _, RowsMut as _};
use roadstead_proto::state::table::{self, Table};
use roadstead_proto::wire::Record as _;

use crate::world::{World, at, by_digest, tag};

const UPSTREAM: UpstreamId = UpstreamId(1);
const MANIFEST: ContentKind = ContentKind::Manifest;
const BLOB: ContentKind = ContentKind::Blob;

/// Upstreams 1 and 2 of one registry, with an index.
fn indexed() -> World {
    let mut world = recorded_before();
    world.index();
    world
}

/// The same without one.
fn recorded_before() -> World {
    let mut world = World::new();
    let registry = world.registry("default", "hub");
    for host in ["a", "b"] {
        world.upstream(registry, host);
    }
    world
}

impl World {
    fn passes(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn total(&self, upstream: UpstreamId) -> Option<u64> {
        self.page(upstream, None, 1, 1).total
    }

    fn listed(&self, entry: &EntryRef) -> Option<CachedEntry> {
        read::entry(&self.rows, entry).unwrap()
    }
}

#[test]
fn each_answer_of_an_upstream_is_an_entry() {
    let mut world = indexed();
    assert_eq!(world.page(UPSTREAM, None, 1, 20), EntryPage { total: Some(0), ..EntryPage::default() });
    let nginx = tag(UPSTREAM, "library/nginx", "latest");
    world.pull(&nginx, b"manifest", MANIFEST);
    let created = world.now;
    world.passes(5);
    world.pull(&by_digest(UPSTREAM, "library/nginx", b"layer"), b"layer", BLOB);
    world.pull(&tag(UpstreamId(2), "library/nginx", "latest"), b"manifest", MANIFEST);

    let digest = |content: &[u8]| by_digest(UPSTREAM, "library/nginx", content).reference;
    let expected = [
        format!("library/nginx/blobs/{}", digest(b"layer")),
        format!("library/nginx/manifests/{}", digest(b"manifest")),
        "library/nginx/manifests/latest".to_owned(),
    ];
    assert_eq!(world.paths(UPSTREAM, None), expected);
    assert_eq!((world.total(UPSTREAM), world.total(UpstreamId(2))), (Some(3), Some(2)));
    let entry = world.listed(&nginx).unwrap();
    let content = Content { size: 8, media_type: MediaType::octet_stream(), sha1: Some([1; 20]) };
    assert_eq!(
        entry,
        CachedEntry {
            entry: nginx,
            kind: MANIFEST,
            digest: roadstead_proto::domain::digest::Digest::sha256(b"manifest"),
            checked_at: created,
            created_at: created,
            updated_at: created,
            upstream_etag: Some("etag".to_owned()),
            content: Some(content),
            usage: Usage::default(),
        }
    );
    assert_eq!(world.page(UPSTREAM, None, 1, 100).entries.last(), Some(&entry), "one and the same");
    let layer = world.listed(&by_digest(UPSTREAM, "library/nginx", b"layer")).unwrap();
    assert_eq!((layer.kind, layer.upstream_etag, layer.created_at), (BLOB, None, world.now));
    assert_eq!(world.listed(&tag(UPSTREAM, "library/nginx", "1.0")), None);
    assert_eq!(world.listed(&by_digest(UpstreamId(2), "library/nginx", b"layer")), None);
}

#[test]
fn a_tag_keeps_its_place_while_it_moves() {
    let mut world = indexed();
    let (old, new) = (tag(UPSTREAM, "a", "old"), tag(UPSTREAM, "a", "new"));
    world.pull(&old, b"one", MANIFEST);
    world.passes(10);
    world.pull(&new, b"one", MANIFEST);
    world.passes(10);
    world.pull(&old, b"two", MANIFEST);
    let moved = world.listed(&old).unwrap();
    assert_eq!((moved.created_at, moved.updated_at, moved.checked_at), (Timestamp(1_000), world.now, world.now));
    assert_eq!(moved.content.map(|content| content.size), Some(3));
    let of_tags: Vec<_> = world.paths(UPSTREAM, None).into_iter().filter(|path| !path.contains("sha256")).collect();
    assert_eq!(of_tags, ["a/manifests/new", "a/manifests/old"]);
    assert_eq!(world.total(UPSTREAM), Some(4), "two tags, two manifests");
}

#[test]
fn use_is_counted_from_an_entrys_creation() {
    let mut world = indexed();
    let entry = tag(UPSTREAM, "a", "1");
    let touch = |downloads, at| {
        Command::RecordUsage(vec![Touch { entry: entry.clone(), downloads, downloaded_at: Timestamp(at) }])
    };
    world.pull(&entry, b"one", MANIFEST);
    world.does(touch(2, 50)).unwrap();
    world.does(touch(3, 40)).unwrap();
    world.pull(&entry, b"two", MANIFEST);
    let used = Usage { downloads: 5, downloaded_at: Timestamp(50) };
    assert_eq!(world.listed(&entry).unwrap().usage, used, "a tag that moved is the same entry");
    world.does(Command::PurgeUpstream(UPSTREAM)).unwrap();
    world.pull(&entry, b"one", MANIFEST);
    assert_eq!(world.listed(&entry).unwrap().usage, Usage::default(), "one that was purged is not");
}

#[test]
fn what_was_purged_is_not_listed() {
    let mut world = indexed();
    let (one, two) = (tag(UPSTREAM, "a", "1"), tag(UPSTREAM, "a", "2"));
    for entry in [&one, &two] {
        world.pull(entry, b"manifest", MANIFEST);
    }
    world.does(Command::PurgeEntry(one.clone())).unwrap();
    world.does(Command::PurgeEntry(one.clone())).unwrap();
    assert_eq!((world.listed(&one), world.total(UPSTREAM)), (None, Some(2)));
    world.does(Command::PurgeEntry(by_digest(UPSTREAM, "a", b"manifest"))).unwrap();
    assert_eq!(world.paths(UPSTREAM, None), ["a/manifests/2"]);
    assert_eq!(world.listed(&two).unwrap().content, None, "the manifest it names is gone");
    world.does(Command::PurgeUpstream(UPSTREAM)).unwrap();
    assert_eq!((world.paths(UPSTREAM, None), world.total(UPSTREAM)), (vec![], Some(0)));
    assert_eq!(world.listed(&two), None);
    world.passes(10);
    world.pull(&two, b"manifest", MANIFEST);
    assert_eq!((world.paths(UPSTREAM, None).len(), world.total(UPSTREAM)), (2, Some(2)));
    // One row an entry: what stood in the index of the old epoch has gone with it.
    let rows = world.rows.scan(Table::Indexed, &[], None, usize::MAX).unwrap();
    assert_eq!(rows.len(), 2);
    world.does(Command::DeleteUpstream(UPSTREAM)).unwrap();
    assert_eq!(world.page(UPSTREAM, None, 1, 20), EntryPage::default());
    assert_eq!(world.listed(&two), None);
}

#[test]
fn a_search_looks_inside_the_path() {
    let mut world = indexed();
    for (name, version) in [("library/nginx", "1.0-RC1"), ("library/node", "20"), ("nginx", "latest")] {
        world.pull(&tag(UPSTREAM, name, version), name.as_bytes(), MANIFEST);
    }
    for (search, found) in [
        ("nginx", 4),
        ("/nginx", 4),
        ("NGINX", 4),
        ("/library", 4),
        ("library/n", 4),
        ("/library/node/manifests/20", 1),
        ("rc1", 1),
        ("manifests/sha256:", 3),
        ("", 6),
        ("nothing", 0),
    ] {
        let page = world.page(UPSTREAM, Some(search), 1, 1);
        assert_eq!((page.total, page.is_cut), (Some(found), false), "{search}");
        assert_eq!(page.has_next, found > 1, "{search}");
        assert_eq!(world.paths(UPSTREAM, Some(search)).len() as u64, found, "{search}");
    }
}

#[test]
fn pages_are_the_list_cut_in_pieces() {
    let mut world = indexed();
    for number in 0..7 {
        world.passes(1);
        world.pull(&by_digest(UPSTREAM, "a", &[number]), &[number], BLOB);
    }
    let whole = world.page(UPSTREAM, None, 1, 100).entries;
    assert_eq!(whole.len(), 7);
    assert!(whole.windows(2).all(|pair| pair[0].created_at > pair[1].created_at), "newest first");
    for (search, per_page) in [(None, 1), (None, 3), (None, 7), (Some("a"), 3), (Some("a"), 7)] {
        let mut walked = Vec::new();
        for number in 1.. {
            let page = world.page(UPSTREAM, search, number, per_page);
            assert_eq!((page.total, page.is_cut), (Some(7), false));
            walked.extend(page.entries);
            assert_eq!(page.has_next, walked.len() < 7, "{search:?} {per_page}: page {number}");
            if !page.has_next {
                break;
            }
        }
        assert_eq!(walked, whole, "{search:?} {per_page}");
        let beyond = world.page(UPSTREAM, search, 100, per_page);
        assert_eq!((beyond.entries, beyond.has_next, beyond.total), (vec![], false, Some(7)));
    }
    assert_eq!(world.page(UPSTREAM, None, 0, 3).entries, whole[..3], "there is no page before the first");
    assert_eq!(world.page(UPSTREAM, None, u64::MAX, usize::MAX).entries, []);
}

#[test]
fn what_was_recorded_before_comes_in_step_by_step() {
    let mut world = recorded_before();
    let count = 2 * limits::INDEX_STEP as u64 + 100;
    for number in 0..count {
        let number = number.to_string();
        world.pull(&tag(UPSTREAM, "a", &number), number.as_bytes(), MANIFEST);
    }
    let nothing = EntryPage { is_cut: true, ..EntryPage::default() };
    assert_eq!(world.page(UPSTREAM, None, 1, 20), nothing, "an incomplete list says so");
    let (purged, moved, late) = (tag(UPSTREAM, "a", "0"), tag(UPSTREAM, "a", "1"), tag(UPSTREAM, "b", "1"));
    // Void before its turn comes, and never listed.
    world.pull(&tag(UpstreamId(2), "a", "1"), b"void", MANIFEST);
    world.does(Command::PurgeUpstream(UpstreamId(2))).unwrap();
    let mut steps = 0;
    loop {
        steps += 1;
        let Ok(Outcome::EntriesIndexed { complete }) = world.does(Command::IndexEntries) else { panic!("a step") };
        let page = world.page(UPSTREAM, None, 1, 20);
        assert_eq!((page.is_cut, page.total.is_some()), (!complete, complete), "step {steps}");
        if complete {
            break;
        }
        if steps == 1 {
            // Of what is in, of what is not in yet, and of what was not there.
            world.does(Command::PurgeEntry(purged.clone())).unwrap();
            world.pull(&moved, b"moved", MANIFEST);
            world.pull(&late, b"late", MANIFEST);
            world.does(Command::PurgeEntry(by_digest(UPSTREAM, "a", b"7"))).unwrap();
        }
    }
    assert!(steps > 4, "more than one step a table: {steps}");
    // A tag and a manifest each; less two that were purged, and with a manifest that a tag moved to, a tag and its manifest.
    assert_eq!(world.total(UPSTREAM), Some(2 * count - 2 + 1 + 2));
    assert_eq!(world.page(UPSTREAM, Some("/"), 1, 20).total, world.total(UPSTREAM));
    assert_eq!(world.total(UpstreamId(2)), Some(0));
    assert_eq!(world.does(Command::IndexEntries), Ok(Outcome::EntriesIndexed { complete: true }));
}

#[test]
fn a_long_list_is_cut_and_says_so() {
    let mut world = indexed();
    let epoch = world.upstream_row(UPSTREAM).epoch;
    let count = limits::ENTRIES_SCAN_MAX as u64 + 2_000;
    for number in 0..count {
        let entry = by_digest(UPSTREAM, "a", &number.to_be_bytes());
        let key = table::indexed_key(epoch, Timestamp(number), &entry);
        world.rows.put(Table::Indexed, &key, &Indexed { kind: BLOB }.encode()).unwrap();
    }
    let counted = EntryCount { epoch, entries: count }.encode();
    world.rows.put(Table::EntryCounts, &table::id_key(UPSTREAM.0), &counted).unwrap();
    let page = |search, number| world.page(UPSTREAM, search, number, 100);
    let first = page(None, 1);
    assert_eq!((first.has_next, first.total, first.is_cut), (true, Some(count), false));
    let beyond = page(None, limits::ENTRIES_SCAN_MAX as u64 / 100 + 100);
    assert_eq!((beyond.entries, beyond.total, beyond.is_cut), (vec![], Some(count), true));
    let searched = page(Some("nothing"), 1);
    assert_eq!((searched.entries, searched.total, searched.is_cut), (vec![], None, true));
    let searched = page(Some("blobs"), 1);
    assert_eq!((searched.has_next, searched.total, searched.is_cut), (true, None, true));
}

#[derive(Debug, Clone)]
enum Step {
    Tag(u64, String, u8),
    Content(u64, u8, bool),
    Earn(u64, u8),
    PurgeTag(u64, String),
    PurgeContent(u64, u8),
    PurgeUpstream(u64),
    Move(u64, String),
    Touch(u64, u8),
    Pass,
    Index,
}

fn step() -> impl Strategy<Value = Step> {
    let (upstream, content) = (1u64..3, 0u8..4);
    prop_oneof![
        6 => (upstream.clone(), "[xyz]", content.clone()).prop_map(|(id, tag, content)| Step::Tag(id, tag, content)),
        4 => (upstream.clone(), content.clone(), any::<bool>()).prop_map(|(id, content, blob)| Step::Content(id, content, blob)),
        2 => (upstream.clone(), content.clone()).prop_map(|(id, content)| Step::Earn(id, content)),
        2 => (upstream.clone(), "[xyz]").prop_map(|(id, tag)| Step::PurgeTag(id, tag)),
        2 => (upstream.clone(), content.clone()).prop_map(|(id, content)| Step::PurgeContent(id, content)),
        1 => upstream.clone().prop_map(Step::PurgeUpstream),
        1 => (upstream.clone(), "[ab]").prop_map(|(id, host)| Step::Move(id, host)),
        1 => (upstream, content).prop_map(|(id, content)| Step::Touch(id, content)),
        4 => Just(Step::Pass),
        2 => Just(Step::Index),
    ]
}

fn take(world: &mut World, step: Step) {
    let upstream = UpstreamId;
    match step {
        Step::Tag(id, name, content) => world.pull(&tag(upstream(id), "r", &name), &[content], MANIFEST),
        Step::Content(id, content, is_blob) => {
            let kind = if is_blob { BLOB } else { MANIFEST };
            world.pull(&by_digest(upstream(id), "r", &[content]), &[content], kind);
        }
        Step::Earn(id, content) => {
            let command = Command::EarnRight(EarnedByHead {
                entry: by_digest(upstream(id), "r", &[content]),
                upstream_epoch: world.upstream_row(upstream(id)).epoch,
                began: world.revision,
                region: RegionId::default_region(),
                media_type: MediaType::octet_stream(),
                kind: BLOB,
            });
            drop(world.does(command));
        }
        Step::PurgeTag(id, name) => drop(world.does(Command::PurgeEntry(tag(upstream(id), "r", &name)))),
        Step::PurgeContent(id, content) => {
            drop(world.does(Command::PurgeEntry(by_digest(upstream(id), "r", &[content]))));
        }
        Step::PurgeUpstream(id) => drop(world.does(Command::PurgeUpstream(upstream(id)))),
        Step::Move(id, host) => {
            drop(world.does(Command::UpdateUpstream { id: upstream(id), settings: at(&host), if_updated_at: None }));
        }
        Step::Touch(id, content) => {
            let entry = by_digest(upstream(id), "r", &[content]);
            let touch = Touch { entry, downloads: 1, downloaded_at: world.now };
            drop(world.does(Command::RecordUsage(vec![touch])));
        }
        Step::Pass => world.passes(1),
        Step::Index => drop(world.does(Command::IndexEntries)),
    }
}

/// What is cached of an upstream, by its rows and without an index.
fn by_rows(world: &World, id: UpstreamId) -> Vec<(Timestamp, EntryRef)> {
    let epoch = world.upstream_row(id).epoch;
    let mut found = Vec::new();
    for (key, value) in world.rows.scan(Table::Tags, &[], None, usize::MAX).unwrap() {
        let (entry, row) = (table::entry_of_tag_key(&key).unwrap(), TagEntry::decode(&value).unwrap());
        found.extend((entry.upstream == id && row.upstream_epoch == epoch).then_some((row.created_at, entry)));
    }
    for (key, value) in world.rows.scan(Table::Rights, &[], None, usize::MAX).unwrap() {
        let (entry, row) = (table::entry_of_content_key(&key).unwrap(), Right::decode(&value).unwrap());
        found.extend((entry.upstream == id && row.upstream_epoch == epoch).then_some((row.created_at, entry)));
    }
    found
}

proptest! {
    /// Whatever happens, and whenever the index begins: once it is complete it is what the rows say, and counted right.
    #[test]
    fn the_index_is_what_the_rows_say(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = recorded_before();
        for step in steps {
            take(&mut world, step);
            let progress = world.rows.get(Table::Indexing, table::INDEXING_KEY).unwrap();
            let progress = progress.map(|bytes| Indexing::decode(&bytes).unwrap());
            for id in [UpstreamId(1), UpstreamId(2)] {
                let page = world.page(id, None, 1, 100);
                let listed: Vec<_> = page.entries.iter().map(|row| (row.created_at, row.entry.clone())).collect();
                prop_assert!(listed.windows(2).all(|pair| pair[0].0 >= pair[1].0), "newest first");
                let mut expected = by_rows(&world, id);
                if progress == Some(Indexing::Complete) {
                    prop_assert_eq!(page.total, Some(expected.len() as u64));
                    prop_assert!(!page.is_cut);
                } else {
                    prop_assert_eq!((page.total, page.is_cut), (None, true));
                    expected.retain(|row| listed.contains(row));
                }
                let mut listed = listed;
                listed.sort();
                expected.sort();
                prop_assert_eq!(listed, expected);
                for row in page.entries {
                    prop_assert_eq!(read::entry(&world.rows, &row.entry).unwrap(), Some(row));
                }
            }
        }
    }
}

#[test]
fn a_page_has_at_most_a_hundred() {
    let mut world = indexed();
    for number in 0..=limits::ENTRIES_PER_PAGE_MAX as u64 {
        world.pull(&by_digest(UPSTREAM, "a", &number.to_be_bytes()), &number.to_be_bytes(), BLOB);
    }
    let query = EntryQuery { upstream: UPSTREAM, search: None, page: 1, per_page: 5_000 };
    let page = read::entries(&world.rows, &query).unwrap();
    assert_eq!((page.entries.len(), page.has_next), (limits::ENTRIES_PER_PAGE_MAX, true));
}
