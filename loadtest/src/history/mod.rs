//! What clients saw of a store while it was being broken, and whether a store that never forgets could have shown it.
//!
//! ```text
//!   clients ──► recorder ──► history: operations by key ──► check ──► a verdict, with the key and the moment that fails
//!               (ticks)                                     (pure)
//! ```
//!
//! A store is *linearizable* when every operation seems to take effect at one moment between its call and its return. A
//! write whose outcome the client never learnt may take effect at any moment after its call, or never: it is recorded as
//! unknown and not as failed, or the checker would blame the store for what the network did.
//!
//! | file | what it holds |
//! |---|---|
//! | `operation.rs` | [`Operation`]: what one client did to one key, and when; [`History`] |
//! | `recorder.rs` | [`Recorder`]: many clients write one history |
//! | `check.rs` | history → verdict; pure |

mod check;
mod operation;
mod recorder;

pub use check::{Checked, NotLinearizable, check};
pub use operation::{Action, History, Operation, Tick};
pub use recorder::{Begun, Recorder};

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod property_tests;
