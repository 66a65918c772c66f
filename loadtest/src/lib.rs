//! The synthetic upstream, a registry that serves seeded images, counts every request and misbehaves on demand; and the
//! load driver.
//!
//! The upstream is the only one of its kind in the workspace: tests start it in their own process
//! ([`registry::Upstream`]), shell scripts start it as `roadstead-loadtest upstream`.
//!
//! | file | what it holds |
//! |---|---|
//! | `content.rs` | bytes that are a pure function of a seed and an offset, so that no layer sits in memory |
//! | `form.rs` | the two families of media types |
//! | `history/` | what clients saw of a store, and a checker of whether it can be true |
//! | `image.rs` | images and artifacts made of such bytes: config, layers, manifest |
//! | `index.rs` | an index over several platforms; the bundle that is pushed |
//! | `measure/` | the load generator of the benchmark |
//! | `puller/` | pulls as containerd does |
//! | `registry/` | the server: catalog, routes, tokens, faults, counters |
//! | `storm/` | random fault scenarios by seed, played against a gateway and judged |

pub mod content;
mod form;
pub mod history;
pub mod image;
pub mod index;
pub mod measure;
pub mod puller;
pub mod registry;
pub mod storm;
