//! URLs of the object store for bytes that are there.

use std::time::Duration;

use roadstead_storage::blob::SignedUrl;
use tracing::warn;

use super::blobs::Blobs;
use super::source::{ByteOrigin, Source};

impl Blobs {
    /// A URL for stored bytes; `None` for a download, for what is not there any more, and for stores that have no such
    /// URLs. Whatever fails here, the bytes go through this process instead, which finds out why.
    pub async fn presign(&self, source: &Source, expiry: Duration) -> Option<SignedUrl> {
        let ByteOrigin::Stored(location) = &source.origin else { return None };
        let signed = match self.tools.store.presign(&location.key, expiry).await {
            Ok(signed) => signed?,
            Err(error) => {
                warn!(object = %location.key, error = &error as &dyn std::error::Error, "no URL could be signed");
                return None;
            }
        };
        // A client that is sent to an object that is gone or cut short could only fail.
        let stat = self.tools.store.stat(&location.key).await.ok()?;
        (stat.size == location.size).then_some(signed)
    }
}
