//! A cluster of real processes: nodes, gateways, and who administers them.
//!
//! | file | what it asks |
//! |---|---|
//! | `world.rs` | the processes, their certificates, an upstream, a shared directory |
//! | `together.rs` | three nodes and two gateways serve one image, downloaded once |
//! | `members.rs` | nodes come and go |
//! | `refusals.rs` | what is refused, and with which words |
//! | `docs.rs` | the commands of the operator's page |

mod docs;
mod members;
mod refusals;
mod together;
mod world;
