//! The checker against histories of registers that are known to be right, against the same ones spoiled, and against a
//! checker that simply tries every order.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// One step of a true execution: how long before and after the moment of its effect it was called and returned, what it
/// is, and whether its outcome was learnt.
#[derive(Clone, Debug)]
struct Step {
    before: Tick,
    after: Tick,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Write,
    Remove,
    Read,
    /// A write that took effect, whose answer was lost.
    Unheard,
    /// A write that never took effect, whose refusal was lost.
    Vanished,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        4 => Just(Kind::Write),
        1 => Just(Kind::Remove),
        6 => Just(Kind::Read),
        1 => Just(Kind::Unheard),
        1 => Just(Kind::Vanished),
    ];
    (0..60_u64, 0..60_u64, kind).prop_map(|(before, after, kind)| Step { before, after, kind })
}

/// What clients see of a register that takes these steps one after the other, ten ticks apart. Every value is new.
fn executed(steps: &[Step]) -> Vec<Operation<u64>> {
    let mut held = None;
    let mut seen = Vec::new();
    for (number, Step { before, after, kind }) in steps.iter().enumerate() {
        let (client, moment) = (u32::try_from(number).unwrap(), 100 + 10 * number as u64);
        let value = Some(number as u64);
        if !matches!(kind, Kind::Read | Kind::Vanished) {
            held = if *kind == Kind::Remove { None } else { value };
        }
        let (returned, action) = match kind {
            Kind::Write => (Some(moment + after), Action::Write(value)),
            Kind::Remove => (Some(moment + after), Action::Write(None)),
            Kind::Read => (Some(moment + after), Action::Read(held)),
            Kind::Unheard | Kind::Vanished => (None, Action::Write(value)),
        };
        seen.push(Operation { client, called: moment - before, returned, action });
    }
    seen
}

fn of_one_key(operations: &[Operation<u64>]) -> History<u8, u64> {
    let mut history = History::default();
    operations.iter().cloned().for_each(|operation| history.push(0, operation));
    history
}

fn is_explained(operations: &[Operation<u64>]) -> bool {
    check(&of_one_key(operations)).is_ok()
}

/// An operation by a client that came when all others had an answer.
fn afterwards(operations: &[Operation<u64>], turn: Tick, action: Action<u64>) -> Operation<u64> {
    let end = operations.iter().map(|operation| operation.returned.unwrap_or(operation.called)).max().unwrap_or(0);
    let called = end + 10 * turn + 1;
    Operation { client: 999, called, returned: Some(called + 1), action }
}

/// Whether some order explains them, by trying all.
fn some_order_explains(operations: &[Operation<u64>], held: Option<u64>) -> bool {
    if operations.iter().all(|operation| operation.returned.is_none()) {
        return true;
    }
    (0..operations.len()).any(|index| {
        let mut rest = operations.to_vec();
        let operation = rest.remove(index);
        let may_come = rest.iter().all(|other| other.returned.is_none_or(|returned| returned >= operation.called));
        may_come
            && match operation.action {
                Action::Write(value) => some_order_explains(&rest, value),
                Action::Read(seen) => seen == held && some_order_explains(&rest, held),
            }
    })
}

/// Few values, many of them equal, at moments that often coincide: most such histories are impossible.
fn any_operation() -> impl Strategy<Value = Operation<u64>> {
    let value = proptest::option::of(0..3_u64);
    (0..12_u64, 0..6_u64, value, any::<bool>(), 0..4_u8).prop_map(|(called, length, value, write, sight)| Operation {
        client: 0,
        called,
        returned: (!write || sight > 0).then_some(called + length),
        action: if write { Action::Write(value) } else { Action::Read(value) },
    })
}

proptest! {
    #[test]
    fn a_true_execution_is_explained(steps in proptest::collection::vec(step(), 0..80)) {
        let operations = executed(&steps);
        prop_assert_eq!(check(&of_one_key(&operations)).map(|checked| checked.operations), Ok(operations.len()));
    }

    #[test]
    fn every_order_and_this_search_agree(operations in proptest::collection::vec(any_operation(), 0..7)) {
        prop_assert_eq!(is_explained(&operations), operations.is_empty() || some_order_explains(&operations, None));
    }

    /// A store that forgets a write which it had acknowledged, and which no other write followed.
    #[test]
    fn a_lost_write_is_found(steps in proptest::collection::vec(step(), 1..60)) {
        let mut operations = executed(&steps);
        let before = afterwards(&operations, 0, Action::Write(Some(7_000)));
        let lost = afterwards(&operations, 1, Action::Write(Some(7_001)));
        let read = afterwards(&operations, 2, Action::Read(Some(7_000)));
        operations.extend([before, lost.clone(), read]);
        prop_assert!(!is_explained(&operations));
        operations.retain(|operation| *operation != lost);
        prop_assert!(is_explained(&operations), "without the lost write there is nothing to see");
    }

    /// A read that is answered by somebody who has not heard of the last write.
    #[test]
    fn a_stale_read_is_found(steps in proptest::collection::vec(step(), 1..60), stale in 0..1_000_usize) {
        let mut operations = executed(&steps);
        operations.push(afterwards(&operations, 0, Action::Write(Some(7_000))));
        // What was acknowledged, and is over for good.
        let acknowledged: Vec<_> = operations[..operations.len() - 1]
            .iter()
            .filter(|operation| operation.returned.is_some())
            .filter_map(|operation| match operation.action {
                Action::Write(value) => value,
                Action::Read(_) => None,
            })
            .collect();
        prop_assume!(!acknowledged.is_empty());
        let value = acknowledged[stale % acknowledged.len()];
        operations.push(afterwards(&operations, 0, Action::Read(Some(value))));
        prop_assert!(!is_explained(&operations));
    }

    /// Two reads, one after the other, that see two writes the other way round.
    #[test]
    fn reordered_writes_are_found(steps in proptest::collection::vec(step(), 0..60)) {
        let mut operations = executed(&steps);
        for (turn, action) in [
            Action::Write(Some(7_000)),
            Action::Write(Some(7_001)),
            Action::Read(Some(7_001)),
            Action::Read(Some(7_000)),
        ].into_iter().enumerate() {
            let next = afterwards(&operations, turn as u64, action);
            operations.push(next);
        }
        prop_assert!(!is_explained(&operations));
    }
}

/// What the trials hand to it: ten thousand writes to more than 200 keys by clients of which several meet at every key,
/// a tenth of them out of sight, and a read for every second write.
#[test]
fn ten_thousand_writes_are_judged_in_seconds() {
    let mut history = History::default();
    let (keys, mut seed) = (211_u64, 1_u64);
    let mut draw = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut steps: Vec<Vec<Step>> = vec![Vec::new(); keys as usize];
    for _ in 0..15_000 {
        let kind = match draw(30) {
            0..=17 => Kind::Write,
            18 => Kind::Unheard,
            19 => Kind::Vanished,
            _ => Kind::Read,
        };
        let step = Step { before: draw(50), after: draw(50), kind };
        steps[draw(keys) as usize].push(step);
    }
    for (key, steps) in steps.iter().enumerate() {
        executed(steps).into_iter().for_each(|operation| history.push(key, operation));
    }
    assert!(history.acknowledged() > 8_500 && history.unknown() > 800);
    let began = Instant::now();
    let checked = check(&history).unwrap();
    assert_eq!((checked.keys, checked.operations), (keys as usize, 15_000));
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}
