//! Whose bytes: how an (upstream, repository) earns the right to what another one of the same origin delivered.

use std::sync::Arc;

use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::{ContentKind, EntryRef};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::image::{Reference, RepositoryName};
use roadstead_proto::domain::lease::EarnedByHead;
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::state::command::Command;
use tracing::debug;

use super::blobs::Blobs;
use super::error::{FetchError, upstream_fault};
use super::fill::Fill;
use super::join::Wanted;
use super::source::{Source, stored};
use crate::catalog::Known;
use crate::meta::snapshot::UpstreamView;
use crate::upstream::client::Patience;
use crate::upstream::error::Answer;

impl Blobs {
    /// Earns the right to stored bytes of the same origin. `Here(None)` where the bytes turn out not to be usable.
    pub(super) async fn earn_by_head(
        &self,
        wanted: &Wanted<'_>,
        began: Revision,
    ) -> Result<Answer<Option<Source>>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        if let Answer::NotHere(not_here) = self.has(wanted).await? {
            return Ok(Answer::NotHere(not_here));
        }
        let command = Command::EarnRight(EarnedByHead {
            entry: entry(wanted),
            upstream_epoch: view.upstream.epoch,
            began,
            region: self.tools.session.region().clone(),
            media_type: MediaType::octet_stream(),
            kind: ContentKind::Blob,
        });
        if let Err(error) = self.meta.propose(command).await {
            debug!(%error, %digest, "a right could not be recorded; downloading instead");
            return Ok(Answer::Here(None));
        }
        // Read back, so that the right in memory is the one that was recorded.
        let known = self.look_up_one(view, repository, digest).await;
        Ok(Answer::Here(known.and_then(|known| stored(view, &known))))
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
    pub(super) async fn admit(&self, wanted: &Wanted<'_>, fill: &Fill) -> Result<Answer<()>, FetchError> {
        let Wanted { view, repository, .. } = *wanted;
        if fill.admits(view.upstream.id, repository) {
            return Ok(Answer::Here(()));
        }
        let has = self.has(wanted).await?;
        if let Answer::Here(()) = has {
            fill.admit(view.upstream.id, repository.clone());
        }
        Ok(has)
    }

    /// Whether the upstream has it for us.
    async fn has(&self, wanted: &Wanted<'_>) -> Result<Answer<()>, FetchError> {
        let Wanted { view, repository, digest, .. } = *wanted;
        let patience = Patience::lasting(self.tools.timeouts.answer);
        match self.tools.client.head_blob(view, repository, digest, patience).await {
            Ok(Answer::Here(_)) => Ok(Answer::Here(())),
            Ok(Answer::NotHere(not_here)) => Ok(Answer::NotHere(not_here)),
            Err(fault) => Err(upstream_fault(view, fault)),
        }
    }
}

fn entry(wanted: &Wanted<'_>) -> EntryRef {
    EntryRef {
        upstream: wanted.view.upstream.id,
        repository: wanted.repository.clone(),
        reference: Reference::Digest(*wanted.digest),
    }
}
