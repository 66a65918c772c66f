//! Storage from outside: every promise against every store, and what happens when things break.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod buckets;
mod cloud;
mod conformance;
mod crash;
mod damage;
mod metrics;
mod outage;
mod slow_readers;
mod stores;
mod tiered;
mod uploads;
