//! Pulls as containerd does: resolve the tag, fetch the manifest by digest, choose the platform, fetch configuration and
//! layers side by side, continue by `Range` what breaks off, and check every digest.
//!
//! | file | what it holds |
//! |---|---|
//! | `name.rs` | how an image is named |
//! | `manifest.rs` | what a manifest leads to, and the choice of a platform |
//! | `session.rs` | one client: its connections, and the order of a pull |
//! | `transfer.rs` | one object: followed to its end, continued, checked |
//! | `check.rs` | the digest of bytes that stream by |
//! | `journal.rs` | what every request took |

mod check;
mod journal;
mod manifest;
mod name;
mod session;
mod transfer;

use reqwest::StatusCode;

pub use journal::{Journal, Kind, Record, Totals};
pub use manifest::{ManifestError, Platform};
pub use name::{ImageName, NameError};
pub use session::{Options, Session};
pub(crate) use session::{accept, reason};

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The client itself could not be made.
    #[error("setting up the client: {0}")]
    Setup(#[source] reqwest::Error),
    /// No answer, or no end of it, after all attempts.
    #[error("{what}: broke off at byte {offset} for good after {attempts} attempts: {cause}")]
    Broken {
        /// The kind of object.
        what: Kind,
        /// How far it came.
        offset: u64,
        /// How often it was asked for without any progress.
        attempts: u32,
        /// The last reason.
        cause: String,
    },
    /// An answer that is not the object.
    #[error("{what}: the server answered {status}")]
    Refused {
        /// The kind of object.
        what: Kind,
        /// The answer.
        status: StatusCode,
    },
    /// A continuation that begins elsewhere than was asked for.
    #[error("{what}: asked for the rest from byte {offset} on, the server sent other bytes")]
    WrongRange {
        /// The kind of object.
        what: Kind,
        /// Where it should have begun.
        offset: u64,
    },
    /// Whole, but with other bytes than its digest names.
    #[error("{what}: {expected} was asked for, {actual} came")]
    WrongDigest {
        /// The kind of object.
        what: Kind,
        /// What was asked for.
        expected: String,
        /// What came.
        actual: String,
    },
    /// Whole, but of another size than its manifest says.
    #[error("{what}: {expected} bytes were announced, {actual} came")]
    WrongSize {
        /// The kind of object.
        what: Kind,
        /// What its manifest says.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The tag was resolved, but the answer does not say to what.
    #[error("the answer to HEAD has no Docker-Content-Digest")]
    NoDigest,
    /// A digest that cannot be checked.
    #[error("{0} is not a digest that can be checked: sha256 and sha512 can")]
    UnknownDigest(String),
    /// A manifest that leads nowhere.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}
