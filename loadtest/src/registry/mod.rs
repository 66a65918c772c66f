//! The synthetic upstream registry.
//!
//! A request travels: `listener` (a connection) → `serve` → `route` (what is asked) → `counters` (it happened) →
//! `fault` (what goes wrong) → `auth`, `token` (who asks) → `manifest`, `blob`, `tags` (the answer) → `body` (bytes, at
//! the speed of `pace`, until `wire` cuts them off).
//!
//! | file | what it holds |
//! |---|---|
//! | `upstream.rs` | [`Upstream`]: start, push, break, count, stop, resume |
//! | `config.rs` | [`Config`]: authentication, redirects, bandwidth, as data |
//! | `profile.rs` | [`Profile`]: the registries of this world, each as a [`Config`]; pure |
//! | `rate.rs` | [`RateLimit`]: how much may be asked, and what is left of it |
//! | `project.rs` | repositories that are kept in a project; pure |
//! | `fault.rs` | [`Fault`]: what goes wrong, for which requests, how often |
//! | `plan.rs` | the faults in force, and what they make of one request |
//! | `distort.rs` | what they make of the head of an answer; pure |
//! | `expiry.rs` | what stops being worth anything while a body is on its way |
//! | `counters.rs` | [`Counters`]: what was asked, how often, how many bytes left |
//! | `diary.rs` | [`Page`]: the same, request by request |
//! | `catalog.rs` | repositories: tags, manifests, blobs |
//! | `route.rs` | method and path → what is asked; pure |
//! | `serve.rs` | one request from arrival to answer |
//! | `manifest.rs` `blob.rs` `tags.rs` | the answers |
//! | `range.rs` | the `Range` header; pure |
//! | `auth.rs` `token.rs` | who may ask; the token endpoint and the tokens it issued |
//! | `answer.rs` | an answer before it meets the wire |
//! | `body.rs` `pace.rs` `wire.rs` | its bytes: shaped, slowed down, cut off |
//! | `listener.rs` | a port that can be closed and opened again |
//! | `tls.rs` `authority.rs` | its TLS: what is offered and agreed on; the certificates, made at start |
//! | `change.rs` | [`Change`]: what can be changed while it runs, as data; pure |
//! | `control.rs` | how a change reaches the server and its ports |
//! | `scenario.rs` | [`Scenario`]: changes on a timeline, from a file |
//! | `stage.rs` | `/_stage/…`: changes over HTTP, for scripts |

mod answer;
mod auth;
mod authority;
mod blob;
mod body;
mod catalog;
mod change;
mod config;
mod control;
mod counters;
mod diary;
mod distort;
mod expiry;
mod fault;
mod listener;
mod manifest;
mod pace;
mod plan;
mod profile;
mod project;
mod range;
mod rate;
mod route;
mod scenario;
mod serve;
mod stage;
mod tags;
mod tls;
mod token;
mod upstream;
mod wire;

pub use authority::{Authority, Signed};
pub use change::{BadChange, Change, Down, Made, MadeBlob, Recipe, Removal, Retag, Switch};
pub use config::{Auth, Bandwidth, Config, Credentials, Redirect, TokenAuth, TokenField, TokenRefusal};
pub use control::Refused;
pub use counters::{Counters, Kind, Protocol, Seen};
pub use diary::{End, Page};
pub use fault::{Effect, Fault};
pub use profile::{Profile, UnknownProfile};
pub use rate::{Counted, RateLimit, RateState};
pub use scenario::{BadScenario, Scenario, Step};
pub use tls::Tls;
pub use upstream::Upstream;
