//! What is durable when, and what a swap leaves behind.

use roadstead_proto::state::rows::{Rows, RowsMut};
use roadstead_proto::state::table::Table;
use tempfile::TempDir;

use super::*;
use crate::testing::power::Power;

fn head(index: u64) -> Head {
    Head { applied: Some(pb::LogId { term: 1, node: 1, index }), membership: None }
}

fn open(directory: &TempDir) -> (Power, StateFile) {
    let power = Power::on(0);
    let state = StateFile::open(Arc::new(power.clone()), directory.path()).expect("a state file");
    (power, state)
}

fn apply(state: &StateFile, index: u64) {
    let change = |rows: &mut WriteRows<'_>| {
        rows.put(Table::Tags, &index.to_be_bytes(), b"x").map_err(failed)?;
        Ok(((), head(index)))
    };
    state.write(change).expect("it applies");
}

fn rows(state: &StateFile) -> usize {
    let view = state.read().expect("a readable state");
    view.rows().scan(Table::Tags, &[], None, usize::MAX).expect("rows").len()
}

fn crash(power: &Power, state: StateFile) {
    power.cut();
    drop(state);
}

#[test]
fn applied_is_visible_at_once_and_durable_with_the_next_checkpoint() {
    let directory = TempDir::new().expect("a temporary directory");
    let (power, state) = open(&directory);
    let syncs = power.syncs();
    (0..10).for_each(|index| apply(&state, index));
    assert_eq!(power.syncs(), syncs, "apply does not sync");
    assert_eq!((rows(&state), state.unsynced()), (10, 10));
    state.checkpoint().expect("it syncs");
    assert_eq!(state.unsynced(), 0);
    apply(&state, 10);
    crash(&power, state);

    let (_, state) = open(&directory);
    assert_eq!((rows(&state), state.applied_index()), (10, Some(9)), "rows and index went back together");
}

#[test]
fn a_checkpoint_costs_nothing_where_nothing_happened() {
    let directory = TempDir::new().expect("a temporary directory");
    let (power, state) = open(&directory);
    apply(&state, 0);
    state.checkpoint().expect("it syncs");
    let syncs = power.syncs();
    state.checkpoint().expect("it has nothing to do");
    state.checkpoint_covering(0).expect("it has nothing to do");
    assert_eq!(power.syncs(), syncs);
    apply(&state, 1);
    state.checkpoint_covering(1).expect("it syncs");
    assert!(power.syncs() > syncs);
}

#[test]
fn opening_after_a_crash_needs_no_repair() {
    let directory = TempDir::new().expect("a temporary directory");
    let (power, state) = open(&directory);
    (0..100).for_each(|index| apply(&state, index));
    state.checkpoint().expect("it syncs");
    (100..200).for_each(|index| apply(&state, index));
    crash(&power, state);
    let mut builder = redb::Builder::new();
    // redb calls this before it walks the whole file.
    builder.set_repair_callback(redb::RepairSession::abort);
    builder.open(directory.path().join(STATE_FILE)).expect("no repair");
}

#[test]
fn a_view_does_not_move() {
    let directory = TempDir::new().expect("a temporary directory");
    let (_, state) = open(&directory);
    apply(&state, 0);
    let view = state.read().expect("a readable state");
    apply(&state, 1);
    state.replace(|_| Ok(head(9))).expect("it swaps");
    apply(&state, 10);
    assert_eq!(view.rows().scan(Table::Tags, &[], None, 10).expect("rows").len(), 1);
    assert_eq!(view.head().expect("a head"), head(0));
    assert_eq!((rows(&state), state.applied_index()), (1, Some(10)));
}

#[test]
fn a_swap_is_durable_and_a_failed_one_changes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let (power, state) = open(&directory);
    apply(&state, 0);
    state.checkpoint().expect("it syncs");
    state.replace(|_| Err(failed("a damaged snapshot"))).expect_err("it is not swapped");
    assert_eq!((rows(&state), state.applied_index()), (1, Some(0)));
    let fill = |rows: &mut WriteRows<'_>| {
        (0..5_u8).try_for_each(|key| rows.put(Table::Tags, &[key], b"y").map_err(failed))?;
        Ok(head(50))
    };
    state.replace(fill).expect("it swaps");
    assert_eq!(state.unsynced(), 0);
    crash(&power, state);
    let (_, state) = open(&directory);
    assert_eq!((rows(&state), state.applied_index()), (5, Some(50)));
}

#[test]
fn a_failed_change_changes_nothing() {
    let directory = TempDir::new().expect("a temporary directory");
    let (_, state) = open(&directory);
    let change = |rows: &mut WriteRows<'_>| -> io::Result<((), Head)> {
        rows.put(Table::Tags, b"k", b"v").map_err(failed)?;
        Err(failed("the rules failed"))
    };
    state.write(change).expect_err("it fails");
    assert_eq!((rows(&state), state.applied_index()), (0, None));
    apply(&state, 0);
    assert_eq!(rows(&state), 1);
}
