//! Histories whose verdict is known.

use super::*;

/// `(client, called, returned, action)`; a return of `..` is an outcome that nobody learnt.
type Line = (u32, Tick, Option<Tick>, Action<u64>);

const OPEN: Option<Tick> = None;

fn w(client: u32, called: Tick, returned: impl Into<Option<Tick>>, value: u64) -> Line {
    (client, called, returned.into(), Action::Write(Some(value)))
}

fn removed(client: u32, called: Tick, returned: impl Into<Option<Tick>>) -> Line {
    (client, called, returned.into(), Action::Write(None))
}

fn r(client: u32, called: Tick, returned: Tick, seen: impl Into<Option<u64>>) -> Line {
    (client, called, Some(returned), Action::Read(seen.into()))
}

fn history(lines: &[Line]) -> History<&'static str, u64> {
    let mut history = History::default();
    for (client, called, returned, action) in lines.iter().cloned() {
        history.push("x", Operation { client, called, returned, action });
    }
    history
}

#[test]
fn histories_that_a_register_could_have_shown() {
    let table: &[(&str, &[Line])] = &[
        ("nothing happened", &[]),
        ("nothing is there at first", &[r(1, 0, 1, None)]),
        ("a write, then a read of it", &[w(1, 0, 1, 1), r(2, 2, 3, 1)]),
        ("a read during a write sees the old", &[w(1, 0, 9, 1), r(2, 1, 2, None)]),
        ("a read during a write sees the new", &[w(1, 0, 9, 1), r(2, 1, 2, 1)]),
        ("the later of two writes that overlap is either", &[w(1, 0, 5, 1), w(2, 1, 6, 2), r(3, 7, 8, 1)]),
        ("and the other", &[w(1, 0, 5, 1), w(2, 1, 6, 2), r(3, 7, 8, 2)]),
        ("a moment shared by a return and a call is no order", &[w(1, 0, 3, 1), r(2, 3, 4, None)]),
        ("removed", &[w(1, 0, 1, 1), removed(1, 2, 3), r(2, 4, 5, None)]),
        ("the same value again", &[w(1, 0, 1, 1), w(1, 2, 3, 2), w(1, 4, 5, 1), r(2, 6, 7, 1)]),
        ("an open write that never happens", &[w(1, 0, 1, 1), w(2, 2, OPEN, 2), r(3, 50, 51, 1), r(3, 98, 99, 1)]),
        ("an open write that happens at once", &[w(1, 0, 1, 1), w(2, 2, OPEN, 2), r(3, 3, 4, 2)]),
        ("an open write that happens much later", &[w(2, 0, OPEN, 2), w(1, 1, 2, 1), r(3, 3, 4, 1), r(3, 5, 6, 2)]),
        ("an open removal that happens", &[w(1, 0, 1, 1), removed(2, 2, OPEN), r(3, 3, 4, 1), r(3, 5, 6, None)]),
        (
            "two open writes, in the order that is not that of their calls",
            &[w(1, 0, OPEN, 1), w(2, 1, OPEN, 2), r(3, 5, 6, 2), r(3, 7, 8, 1)],
        ),
        // Herlihy and Wing's own kind of example: a read that began early is placed late.
        (
            "a long read beside short ones",
            &[r(9, 0, 20, 2), w(1, 1, 2, 1), r(2, 3, 4, 1), w(1, 5, 6, 2), r(2, 7, 8, 2)],
        ),
        // Only the order 2, 1 explains the last read, and only if the first read comes between them.
        ("a search has to turn back", &[w(1, 0, 10, 1), w(2, 0, 10, 2), r(3, 1, 9, 2), r(4, 11, 12, 1)]),
    ];
    for (what, lines) in table {
        assert_eq!(check(&history(lines)).map(|checked| checked.operations), Ok(lines.len()), "{what}");
    }
}

#[test]
fn histories_that_no_register_can_have_shown() {
    let table: &[(&str, &[Line])] = &[
        ("a value from nowhere", &[r(1, 0, 1, 1)]),
        ("a lost write", &[w(1, 0, 1, 1), r(2, 2, 3, None)]),
        ("a write lost behind another", &[w(1, 0, 1, 1), w(1, 2, 3, 2), r(2, 4, 5, 1)]),
        ("a read of what is over", &[w(1, 0, 1, 1), w(1, 2, 3, 2), r(2, 4, 5, 2), r(2, 6, 7, 1)]),
        ("a value seen before it was written", &[r(2, 0, 1, 1), w(1, 2, 3, 1)]),
        ("seen before an open write was called", &[r(2, 0, 1, 1), w(1, 2, OPEN, 1)]),
        ("new, then old, both during the write", &[w(1, 0, 9, 1), r(2, 1, 2, 1), r(3, 3, 4, None)]),
        ("an open write undone", &[w(1, 0, 1, 1), w(2, 2, OPEN, 2), r(3, 3, 4, 2), r(3, 5, 6, 1)]),
        (
            "an open write that happened twice",
            &[w(2, 0, OPEN, 2), r(3, 1, 2, 2), w(1, 3, 4, 1), r(3, 5, 6, 1), r(3, 7, 8, 2)],
        ),
        ("a removal that was forgotten", &[w(1, 0, 1, 1), removed(1, 2, 3), r(2, 4, 5, 1)]),
        (
            "two clients that disagree about the order of two writes",
            &[w(1, 0, 20, 1), w(2, 0, 20, 2), r(3, 1, 2, 1), r(3, 3, 4, 2), r(4, 5, 6, 1)],
        ),
    ];
    for (what, lines) in table {
        assert!(check(&history(lines)).is_err(), "{what}");
    }
}

#[test]
fn a_verdict_names_the_key_and_what_does_not_fit() {
    let mut both = history(&[w(1, 0, 1, 1), r(2, 2, 3, 1), w(1, 4, 5, 2), r(7, 6, 8, 1)]);
    both.push("a", Operation { client: 1, called: 0, returned: Some(1), action: Action::Write(Some(1)) });
    let verdict = check(&both).unwrap_err();
    assert_eq!((verdict.key, verdict.explained, verdict.held), ("x", 3, Some(2)));
    assert_eq!(verdict.stuck_at.len(), 1);
    assert!(verdict.to_string().contains("client 7, from 6 to 8: Read(Some(1))"), "{verdict}");
}
