//! Whose bytes: how an (upstream, repository) earns the right to what another one of the same origin delivered.

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::ContentKind;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::EarnedByHead;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::meta::Consistency;
use roadstead_proto::state::command::Command;
use tracing::debug;

use super::blobs::Blobs;
use super::error::{FetchError, upstream_fault};
use super::fill::{Admission, Fill};
use super::join::Wanted;
use super::manifests::entry_of;
use crate::catalog::{Known, LookedUp};
use crate::meta::snapshot::UpstreamView;
use crate::upstream::client::Patience;
use crate::upstream::error::{Answer, Fault};

impl Blobs {
    /// Earns the right to stored bytes of the same origin. `Here(None)` where the bytes turn out not to be usable.
    pub(super) async fn earn_by_head(
        &self,
        wanted: &Wanted<'_>,
        looked_up: &LookedUp,
    ) -> Result<Answer<Option<Known>>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        match self.has(wanted).await? {
            Answer::Here(shown) => shown.proves(view, looked_up.stored_size)?,
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        }
        let (view, repository) = (Arc::clone(view), repository.clone());
        let admission = Admission { view, repository, began: looked_up.revision };
        Ok(Answer::Here(self.earn(digest, &admission).await))
    }

    /// Records a right, and what is then known; `None` where that did not come to be.
    pub(super) async fn earn(&self, digest: &Digest, admission: &Admission) -> Option<Known> {
        let Admission { view, repository, began } = admission;
        let command = Command::EarnRight(EarnedByHead {
            entry: entry_of(view, repository, Reference::Digest(*digest)),
            upstream_epoch: view.upstream.epoch,
            began: *began,
            region: self.tools.session.region().clone(),
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
        });
        if let Err(error) = self.meta.propose(command).await {
            debug!(%error, %digest, "a right could not be recorded: the upstream is asked again");
            return None;
        }
        // Read back, so that the right in memory is the one that was recorded.
        self.look_up_one(view, repository, digest).await
    }

    /// The bytes are recorded: whoever was let in to the download has earned the right to it as well, and keeps it when the upstream
    /// is gone.
    pub(super) async fn earn_admitted(&self, fill: &Fill) {
        for admission in fill.settle() {
            self.earn(&fill.digest(), &admission).await;
        }
    }

    async fn look_up_one(
        &self,
        view: &Arc<UpstreamView>,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Option<Known> {
        self.tools.catalog.look_up_at(view, repository, digest, Consistency::Linearizable).await.ok().flatten()
    }

    /// Lets one more (upstream, repository) read a running download, if its own HEAD says that it has the blob.
    pub(super) async fn admit(
        &self,
        wanted: &Wanted<'_>,
        looked_up: &LookedUp,
        fill: &Fill,
    ) -> Result<Answer<()>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        if fill.admits(view.upstream.id, repository) {
            return Ok(Answer::Here(()));
        }
        match self.has(wanted).await? {
            Answer::Here(shown) => {
                if shown.by_redirect && fill.size().is_none() {
                    // Not before the download's own upstream has said what there is to compare with.
                    drop(tokio::time::timeout(self.tools.timeouts.answer, fill.answered()).await);
                }
                // One that has come to nothing has nothing to give either.
                if !fill.is_over() {
                    shown.proves(view, fill.size())?;
                }
            }
            Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
        }
        let (view, repository) = (Arc::clone(view), repository.clone());
        let admission = Admission { view, repository, began: looked_up.revision };
        if fill.admit(admission.clone()) {
            self.earn(digest, &admission).await;
        }
        Ok(Answer::Here(()))
    }

    /// Whether the upstream has it for us.
    pub(super) async fn has(&self, wanted: &Wanted<'_>) -> Result<Answer<Shown>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        let patience = Patience::lasting(self.tools.timeouts.answer);
        let client = &self.tools.client;
        let (said, by_redirect) = match client.head_blob(view, repository, digest, patience).await {
            Ok(Answer::Here(None)) => (client.blob_size(view, repository, digest, patience).await, true),
            answer => (answer, false),
        };
        match said.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(size) => Ok(Answer::Here(Shown { size, by_redirect })),
            Answer::NotHere(not_here) => Ok(Answer::NotHere(not_here)),
        }
    }
}

/// What an upstream showed of a blob.
///
/// A redirect is no proof: registries redirect names that they do not know, and gates in front of them send everybody to a
/// page for signing in. What it leads to is asked for a byte, and has to be as large as the blob.
pub(super) struct Shown {
    pub(super) size: Option<u64>,
    pub(super) by_redirect: bool,
}

impl Shown {
    pub(super) fn proves(&self, view: &UpstreamView, size: Option<u64>) -> Result<(), FetchError> {
        match (self.size, size) {
            (Some(shown), Some(size)) if shown == size => Ok(()),
            (_, None) | (None, _) if !self.by_redirect => Ok(()),
            _ => {
                let fault = Fault::BadAnswer("says that it has a blob, and shows something else".to_owned());
                Err(upstream_fault(view, fault))
            }
        }
    }
}
