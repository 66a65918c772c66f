//! The snapshot file: its bytes, and what is not taken for one.

use std::sync::Arc;

use roadstead_proto::state::rows::RowsMut;
use roadstead_proto::state::table::Table;
use tempfile::TempDir;

use super::*;
use crate::PlainFiles;
use crate::store::state::StateFile;

fn head(index: u64) -> Head {
    Head {
        applied: Some(pb::LogId { term: 1, node: 1, index }),
        membership: Some(pb::StoredMembership { log_id: None, membership: Some(pb::Membership::default()) }),
    }
}

struct Fixture {
    directory: TempDir,
    state: StateFile,
    snapshots: Snapshots,
}

impl Fixture {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let state = StateFile::open(Arc::new(PlainFiles), directory.path()).expect("a state file");
        let snapshots = Snapshots::open(directory.path()).expect("no snapshot");
        Self { directory, state, snapshots }
    }

    fn with_rows(index: u64) -> Self {
        let fixture = Self::new();
        fixture.put(index);
        fixture
    }

    fn put(&self, index: u64) {
        let change = |rows: &mut crate::store::rows::WriteRows<'_>| {
            rows.put(Table::Groups, b"k", b"v").map_err(failed)?;
            rows.put(Table::Tags, &index.to_be_bytes(), b"").map_err(failed)?;
            Ok(((), head(index)))
        };
        self.state.write(change).expect("it applies");
    }

    fn build(&self) -> Snapshot {
        self.snapshots.build(&self.state.read().expect("a view"), || self.state.checkpoint()).expect("it builds")
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join(SNAPSHOT_FILE)).expect("the snapshot")
    }

    fn receive(&self, bytes: &[u8]) -> io::Result<SnapshotFile> {
        let mut incoming = self.snapshots.receive()?;
        for piece in bytes.chunks(7) {
            incoming.write(piece)?;
        }
        incoming.finish()
    }
}

#[test]
fn the_bytes_of_a_snapshot_are_pinned() {
    let fixture = Fixture::with_rows(5);
    fixture.build();
    let header = "100a0e0801" /* format 1 */.to_owned() + "1206080110011805" /* applied */ + "1a021200" /* membership */;
    let rows = "0a12080802" /* groups */.to_owned() + "12016b1a0176" + "0e120c080c" /* tags */ + "12080000000000000005";
    let content = header + &rows;
    let bytes = fixture.bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let (found, trailer) = hex.split_at(content.len());
    assert_eq!(found, content);
    let sha256: String = Sha256::digest(&bytes[..content.len() / 2]).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(trailer, format!("261a2408021220{sha256}"));
}

#[test]
fn a_snapshot_travels_whole() {
    let source = Fixture::with_rows(5);
    let meta = source.build().meta;
    let target = Fixture::new();
    let received = target.receive(&source.bytes()).expect("it is whole");
    target.snapshots.offer(received, meta.clone()).expect("it is kept");
    assert_eq!(target.bytes(), source.bytes());
    let reopened = Snapshots::open(target.directory.path()).expect("a snapshot");
    assert_eq!(reopened.current().expect("a snapshot").expect("a snapshot").meta, meta);
}

#[test]
fn what_is_cut_off_or_altered_is_not_taken() {
    let source = Fixture::with_rows(5);
    source.build();
    let bytes = source.bytes();
    let target = Fixture::new();
    for length in 0..bytes.len() {
        assert!(target.receive(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 0x10;
        assert!(target.receive(&altered).is_err(), "byte {position} altered");
    }
    let left: Vec<_> = std::fs::read_dir(target.directory.path()).expect("a directory").collect();
    assert_eq!(left.len(), 1, "only the state file is left: {left:?}");
}

#[test]
fn an_older_snapshot_does_not_replace_a_later_one() {
    let fixture = Fixture::with_rows(5);
    let old_view = fixture.state.read().expect("a view");
    fixture.put(9);
    fixture.build();
    let late = fixture.snapshots.build(&old_view, || Ok(())).expect("it builds");
    assert_eq!(late.meta.last_log_id.map(|id| id.index), Some(9), "the later one is what is offered");
}

#[test]
fn whoever_sends_a_snapshot_keeps_it_while_the_next_one_comes() {
    let fixture = Fixture::with_rows(5);
    let mut sending = fixture.build().snapshot;
    let expected = fixture.bytes();
    fixture.put(9);
    fixture.build();
    let mut sent = Vec::new();
    sending.read_to_end(&mut sent).expect("it is still there");
    assert_eq!(sent, expected);
}

#[test]
fn a_snapshot_that_could_not_be_backed_is_not_offered() {
    let fixture = Fixture::with_rows(5);
    let view = fixture.state.read().expect("a view");
    fixture.snapshots.build(&view, || Err(failed("the disk failed"))).expect_err("it is not offered");
    assert!(fixture.snapshots.current().expect("no snapshot").is_none());
}
