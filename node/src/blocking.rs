//! File operations off the async threads.

use std::io;

use roadstead_proto::offload::offload;

use crate::store::files::failed;

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    offload(work).await.map_err(failed)?
}
