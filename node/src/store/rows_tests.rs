//! The rows of a file behave like the rows of a map.

use proptest::prelude::*;
use roadstead_proto::meta::memory::MemoryRows;
use tempfile::TempDir;

use super::*;
use crate::PlainFiles;
use crate::store::files::failed;
use crate::store::state::{Head, StateFile};

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Vec<u8>, u8),
    Delete(usize, Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    // Few tables and short keys, so that prefixes and neighbours meet.
    let key = || prop::collection::vec(prop::sample::select(vec![0_u8, 1, 254, 255]), 0..4);
    prop_oneof![
        3 => (0..Table::ALL.len(), key(), any::<u8>()).prop_map(|(table, key, value)| Step::Put(table, key, value)),
        1 => (0..Table::ALL.len(), key()).prop_map(|(table, key)| Step::Delete(table, key)),
    ]
}

fn run(rows: &mut dyn RowsMut, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Put(table, key, value) => rows.put(Table::ALL[*table], key, &[*value]),
            Step::Delete(table, key) => rows.delete(Table::ALL[*table], key),
        }
        .expect("rows");
    }
}

fn compare(ours: &dyn Rows, theirs: &dyn Rows, prefix: &[u8], after: Option<&[u8]>, limit: usize) {
    for table in Table::ALL {
        let scan = |rows: &dyn Rows| rows.scan(table, prefix, after, limit).expect("rows");
        assert_eq!(scan(ours), scan(theirs), "{table:?} {prefix:?} {after:?} {limit}");
        assert_eq!(ours.get(table, prefix).expect("a row"), theirs.get(table, prefix).expect("a row"));
    }
}

proptest! {
    // Slow ones: a part of the usual number, however many that is.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(10)))]

    #[test]
    fn a_file_and_a_map_answer_alike(
        steps in prop::collection::vec(step(), 0..60),
        prefix in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 254, 255]), 0..3),
        after in prop::option::of(prop::collection::vec(prop::sample::select(vec![0_u8, 1, 254, 255]), 0..4)),
        limit in 0_usize..8,
    ) {
        let directory = TempDir::new().expect("a temporary directory");
        let state = StateFile::open(std::sync::Arc::new(PlainFiles), directory.path()).expect("a state file");
        let mut memory = MemoryRows::default();
        run(&mut memory, &steps);
        let change = |rows: &mut WriteRows<'_>| {
            run(rows, &steps);
            compare(rows, &memory, &prefix, after.as_deref(), limit);
            Ok(((), Head::default()))
        };
        state.write(change).map_err(failed).expect("it applies");
        compare(state.read().expect("a view").rows(), &memory, &prefix, after.as_deref(), limit);
    }
}
