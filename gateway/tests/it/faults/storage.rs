//! What goes wrong where blobs are kept. The client gets its bytes all the same.

use roadstead_loadtest::registry::Kind;
use roadstead_storage::testing::brittle::Breaks;
use roadstead_storage::testing::faulty::{FaultKind, FaultyStore, Op, When};

use super::lines;
use super::play::{Case, Pull, case};
use crate::world::Keeping;

/// The disk breaks there, and nothing of the layer stays.
fn brittle(fault: &'static str, breaks: Breaks) -> Case {
    case(fault).over(Keeping::Brittle(breaks)).not_kept()
}

/// A bucket that layers are uploaded to in parts.
fn bucket(fault: &'static str, op: Op, when: When, kind: FaultKind) -> Case {
    let store = FaultyStore::in_memory();
    // The first object is the marker of the store itself.
    store.fail_at(op, "sha256", when, kind);
    case(fault).over(Keeping::Bucket(store)).not_kept()
}

lines! {
    "Storage",

    the_disk_takes_nothing => brittle("the directory's disk takes no file", Breaks::AtOpen),
    the_disk_is_full_in_the_middle => brittle("the directory's disk is full after 3 MB of the layer", Breaks::After(3_000_000)),
    the_commit_fails => brittle("the directory takes the whole layer and fails to make it an object", Breaks::AtCommit),
    a_small_layer_is_not_stored => brittle("the directory's disk takes no file, and the layer is small", Breaks::AtOpen).layer(1000),
    a_manifest_is_not_stored => brittle("the directory's disk takes no file, and a manifest is pulled", Breaks::AtOpen)
        .pulling(Pull::Tag).layer(1000).asked([(Kind::ManifestGet, 1)]),
    no_room_anywhere => case("no disk has room: neither the store nor the spool takes a byte").without_room().not_kept(),
    no_room_and_a_reset => case("no disk has room, and the connection is closed in the middle three times")
        .without_room().not_kept()
        .by([roadstead_loadtest::registry::Fault::new(roadstead_loadtest::registry::Effect::Truncate { after: 2_000_000 })
            .on(Kind::BlobGet).times(3)])
        .asked([(Kind::BlobGet, 4)]).sending_at_most(100),
    an_upload_does_not_begin => bucket("the bucket does not answer when the upload begins", Op::Begin, When::Always, FaultKind::Unavailable),
    an_upload_breaks => bucket("the bucket fails in the middle of the upload", Op::Part, When::After(2), FaultKind::Unavailable),
    an_upload_is_not_completed => bucket("the bucket fails at the upload's commit", Op::Complete, When::Always, FaultKind::Unavailable),
    a_put_is_refused => bucket("the bucket refuses a small layer", Op::Put, When::Always, FaultKind::Refused).layer(1000),
}
