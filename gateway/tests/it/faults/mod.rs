//! The table of faults: what goes wrong, what a client sees, what is kept, what the upstream is asked. Each line is a test,
//! and `docs/developers/faults.md` is written from the lines themselves, so that neither says what the other does not.
//!
//! | file | what |
//! |---|---|
//! | `play` | a line as data, and how it is played |
//! | `blobs` `manifests` `tokens` | lines about the upstream |
//! | `storage` `clients` | lines about the other sides of a download |
//! | `bodies` | more of the protocol than fits a line |

mod blobs;
mod bodies;
mod clients;
mod manifests;
mod play;
mod storage;
mod tokens;

use std::fmt::Write as _;
use std::path::Path;

use play::Line;

/// One test for each line of a part of the table.
macro_rules! lines {
    ($title:literal, $($name:ident => $fault:expr,)+) => {
        /// The lines, as they are told.
        pub(super) fn told() -> (&'static str, Vec<super::play::Line>) {
            ($title, vec![$($fault.line(stringify!($name))),+])
        }

        $(
            #[tokio::test]
            async fn $name() {
                $fault.play().await;
            }
        )+
    };
}
pub(crate) use lines;

const HEAD: &str = "# Faults\n\n\
    What goes wrong, what a client sees, what is kept, and how many requests the upstream gets. Each line is a test of the name in \
    its last column, in `gateway/tests/it/faults/`; this page is written by them (`ROADSTEAD_WRITE_DOCS=1 cargo test -p \
    roadstead-gateway --test it faults`) and a test fails where it differs.\n\n\
    After each line the fault ends, time passes, and the same gateway is asked again and answers whole (what was kept, with the upstream \
    gone): no fault leaves anything that blocks the next pull. Then it drains: no task and no file is left; and a new start \
    answers too. The layer has 9,000,000 bytes unless something \
    else is said, and comes from a directory's own file; \"cut\" means that the connection is aborted, so that no client takes \
    what came for the whole.\n";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (title, lines) in [blobs::told(), manifests::told(), tokens::told(), storage::told(), clients::told()] {
        let _ = write!(
            page,
            "\n## {title}\n\n| what goes wrong | the client sees | kept | the upstream is asked | test |\n"
        );
        page.push_str("|---|---|---|---|---|\n");
        for Line { test, fault, client, kept, asked } in lines {
            let _ = writeln!(page, "| {fault} | {client} | {kept} | {asked} | `{test}` |");
        }
    }
    page
}

#[test]
fn the_page_says_what_the_tests_do() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/developers/faults.md");
    if std::env::var_os("ROADSTEAD_WRITE_DOCS").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page(), "docs/developers/faults.md is not what the tests say: write it anew, see its head");
}
