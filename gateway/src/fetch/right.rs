//! Whose bytes: how an (upstream, repository) earns the right to what another one of the same origin delivered.

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::ContentKind;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::EarnedByHead;
use roadstead_proto::domain::media::MediaType;
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
        if let Answer::NotHere(not_here) = self.has(wanted, looked_up.stored_size).await? {
            return Ok(Answer::NotHere(not_here));
        }
        let (view, repository) = (Arc::clone(view), repository.clone());
        let admission = Admission { view, repository, began: looked_up.revision };
        Ok(Answer::Here(self.earn(digest, &admission).await))
    }

    /// Records a right, and what is then known; `None` where that did not come to be.
    async fn earn(&self, digest: &Digest, admission: &Admission) -> Option<Known> {
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
        self.tools.catalog.look_up_at(view, repository, digest).await.ok().flatten()
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
        let has = self.has(wanted, fill.size()).await?;
        if let Answer::Here(()) = has {
            let (view, repository) = (Arc::clone(view), repository.clone());
            let admission = Admission { view, repository, began: looked_up.revision };
            if fill.admit(admission.clone()) {
                self.earn(digest, &admission).await;
            }
        }
        Ok(has)
    }

    /// Whether the upstream has it for us, and of this size, where that is known.
    ///
    /// A redirect is no proof: registries redirect names that they do not know, and gates in front of them send everybody
    /// to a page for signing in. What it leads to is asked for a byte, and has to be as large as the blob.
    async fn has(&self, wanted: &Wanted<'_>, size: Option<u64>) -> Result<Answer<()>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        let patience = Patience::lasting(self.tools.timeouts.answer);
        let client = &self.tools.client;
        let said = match client.head_blob(view, repository, digest, patience).await {
            Ok(Answer::Here(None)) => client.blob_size(view, repository, digest, patience).await,
            answer => answer,
        };
        match said.map_err(|fault| upstream_fault(view, fault))? {
            Answer::Here(Some(said)) if size.is_none_or(|size| size == said) => Ok(Answer::Here(())),
            Answer::Here(_) => {
                let fault = Fault::BadAnswer("says that it has a blob, and shows something else".to_owned());
                Err(upstream_fault(view, fault))
            }
            Answer::NotHere(not_here) => Ok(Answer::NotHere(not_here)),
        }
    }
}
