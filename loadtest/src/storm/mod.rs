//! Random fault scenarios: a seed makes images, faults and 64 clients; they are played against a real gateway, and what
//! was observed is judged.
//!
//! ```text
//!   seed ──► scenario ──► run: upstream, gateway, clients ──► observed ──► judge ──► violations
//!            (pure)                                                        (pure)
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `scenario.rs` | [`Scenario`]: what is played, as data |
//! | `draw.rs` | seed → scenario; pure |
//! | `draw_faults.rs` | the faults of a scenario; pure |
//! | `gateway.rs` | the gateway's process: started, looked at from outside, ended |
//! | `client.rs` | one request, and what was seen of its answer |
//! | `run.rs` | plays a scenario |
//! | `observed.rs` | [`Observed`]: what was seen |
//! | `judge.rs` | scenario and observed → [`Violation`]s; pure |
//! | `answers.rs` | the part of it about what clients got; pure |
//! | `traffic.rs` | the part of it about what the upstream sent; pure |

mod answers;
mod client;
mod draw;
mod draw_faults;
mod gateway;
mod judge;
mod observed;
mod run;
mod scenario;
mod traffic;

pub use gateway::Setup;
pub use judge::{Summary, Verdict, Violation, judge};
pub use observed::Observed;
pub use run::{StormError, play};
pub use scenario::Scenario;
