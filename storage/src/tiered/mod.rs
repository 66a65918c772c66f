//! The memory tier over the slow tier, and what a reader may hold.
//!
//! | file | what |
//! |---|---|
//! | `store` | [`TieredStore`]: the trait; puts, deletes and listings go straight down |
//! | `reader` | one range read: chunk after chunk, one ahead |
//! | `loader` | one chunk or one block into memory, within the budgets |
//! | `budget` | bytes that are given out and come back |
//!
//! # Where a read finds its bytes
//!
//! ```text
//! memory has the chunk? ───────────yes──► its blocks are handed out as they are: no copy, no syscall
//!        │ no
//! room for it in memory, or a hold to be had? ──yes──► load the chunk, once for all who ask for it
//!        │ no                                            admitted → memory holds it, the reader does not
//!        ▼                                               rejected → the reader holds it, on its hold
//! read one block, checked like any other, and ask again for the next one
//! ```
//!
//! # What bounds memory
//!
//! Everything a read needs is in one of four purses. None is ever waited for while another is held
//! across a hand-out, so a reader whose client stands still costs others speed at most, never progress:
//!
//! | purse | taken for | held | if it is empty |
//! |---|---|---|---|
//! | memory (`memory_bytes`) | chunks that moka keeps | until evicted | see holds |
//! | loads | a chunk or block being read | while it is read, which no client can delay | wait, in turn |
//! | holds | a chunk that memory did not admit | until the reader has passed it | blocks instead of chunks |
//! | hands | a block in a consumer's hands | until its last byte is dropped | copies of 32 KiB instead of blocks |
//!
//! Loads, holds and hands share `reader_bytes`. The sum of all four is the configured ceiling, whatever the
//! number of readers; beyond it each reader has at most the small copies its consumer keeps.
//!
//! Blocks have allocations of their own because a consumer that is blocked on its socket pins what it was
//! handed: five hundred of them would otherwise pin five hundred chunks, 2 GiB.

mod budget;
mod loader;
mod reader;
mod store;

pub(crate) use budget::Budget;
pub use store::{Memory, TieredStore};
