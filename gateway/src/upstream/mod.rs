//! The upstream client: asks registries, and tells "here", "not here" and "cannot say" apart.
//!
//! | file | what it holds |
//! |---|---|
//! | [`exchange`] | the transport seam |
//! | [`transport`] | its production form: reqwest, one client per set of settings |
//! | [`connection`] | those settings, by origin: authorities, client certificate, version of HTTP (values) |
//! | [`network`] | which addresses may be connected to, whatever the name that led there |
//! | [`proxy`] | the proxies that the environment names, checked (pure) |
//! | [`challenge`] | parser of their `WWW-Authenticate` (pure) |
//! | [`token`] | the token dance and the token cache |
//! | [`client`] | one request: sign in, follow redirects, classify the answer |
//! | [`budget`] | the rate budget that answers tell of, and how validity stretches as it shrinks (pure) |
//! | [`breaker`] | when an upstream is left alone (pure) |
//! | `awaited` | a body that belongs to the answer |
//! | [`standing`] | both, kept by source |
//! | [`content`] | manifests and blobs |
//! | [`listing`] | tags and referrers |
//! | `link` | parser of their `Link` (pure) |
//! | [`error`] | `NotHere` and `Fault` |

mod awaited;
pub mod breaker;
pub mod budget;
pub mod challenge;
pub mod client;
pub mod connection;
pub mod content;
pub mod error;
pub mod exchange;
mod link;
pub mod listing;
pub mod network;
pub mod proxy;
pub mod standing;
pub mod token;
pub mod transport;

pub use client::Client;
pub use exchange::HttpExchange;
pub use transport::ReqwestExchange;
