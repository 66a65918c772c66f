//! What refers to a manifest: signatures, attestations, bills of materials. The union over the registry's upstreams, since
//! they may keep them apart from the image (architecture §3).

use std::sync::Arc;

use bytes::Bytes;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::{Reference, RepositoryName, Tag};
use tracing::warn;

use super::{Lister, index};
use crate::cache_status::CacheStatus;
use crate::fetch::error::{FetchError, upstream_fault};
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::resolve::Resolver;
use crate::upstream::client::{Client, Patience};
use crate::upstream::error::{Answer, Fault, NotHere};
use crate::upstream::listing::ReferrersAnswer;

/// The indexes in which one upstream lists them.
pub(super) type Parts = Arc<[Bytes]>;

/// What refers to a manifest.
#[derive(Debug, Clone)]
pub struct ReferrersList {
    /// An image index.
    pub index: Bytes,
    /// How the list came about.
    pub status: CacheStatus,
    /// An upstream could not be asked: there may be more. Nobody is to keep such a list.
    pub partial: bool,
}

pub(super) fn weight(parts: &Parts) -> usize {
    parts.iter().map(Bytes::len).sum()
}

/// Longest name of an algorithm, and of a hash, in a fallback tag (distribution spec, "Referrers Tag Schema").
const FALLBACK_ALGORITHM_MAX: usize = 32;
const FALLBACK_ENCODED_MAX: usize = 64;

/// The tag under which registries without the API keep the list.
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let (algorithm, encoded) = (subject.algorithm().name(), subject.hex());
    let algorithm = algorithm.get(..FALLBACK_ALGORITHM_MAX).unwrap_or(algorithm);
    format!("{algorithm}-{}", &encoded[..encoded.len().min(FALLBACK_ENCODED_MAX)]).parse().ok()
}

impl Lister {
    /// What refers to `subject`, of one type of artifact or of all. Empty where nothing does.
    ///
    /// # Errors
    /// Where no upstream could be asked, or the one that the subject came from could not.
    pub async fn referrers(
        &self,
        permit: &Permit,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<ReferrersList, FetchError> {
        let (views, known) = self.subject_first(permit, subject).await;
        let asked = views.iter().map(|view| self.of_upstream(permit, view, subject));
        let answers = futures::future::join_all(asked).await;
        let (mut parts, mut status, mut failed, mut answered) = (Vec::new(), CacheStatus::Hit, None, false);
        for (position, (view, answer)) in views.iter().zip(answers).enumerate() {
            match answer {
                Ok((Answer::Here(found), how)) => {
                    answered = true;
                    status = status.or(how);
                    parts.extend(found.iter().cloned());
                }
                Ok((Answer::NotHere(_), how)) => {
                    answered = true;
                    status = status.or(how);
                }
                // Without the answer of whoever has the image, an empty list would be a lie.
                Err(error) if known && position == 0 => return Err(error),
                Err(error) => {
                    warn!(upstream = %view.upstream.id, repository = %permit.repository(), %subject, %error,
                          "an upstream cannot say what refers to a manifest: the list has what the others know");
                    failed.get_or_insert(error);
                }
            }
        }
        let partial = failed.is_some();
        match failed {
            Some(error) if !answered => return Err(error),
            _ => {}
        }
        // Each part was read before it was kept.
        let index = index::union(&parts, artifact_type).map_err(|_| FetchError::Abandoned)?;
        Ok(ReferrersList { index, status, partial })
    }

    /// The upstreams, the subject's own first, and whether that one is known.
    async fn subject_first(&self, permit: &Permit, subject: &Digest) -> (Vec<Arc<UpstreamView>>, bool) {
        let (registry, repository) = (permit.registry(), permit.repository());
        let looked_up = self.tools.catalog.look_up(registry, repository, subject).await.unwrap_or_default();
        let mut home =
            looked_up.known.first().map(|(view, _)| view).or(looked_up.named.first().map(|(view, _)| view)).cloned();
        for view in &registry.upstreams {
            // What was learnt a moment ago may not be recorded yet.
            if home.is_none() && self.tools.catalog.known(view, repository, subject).is_some() {
                home = Some(Arc::clone(view));
            }
        }
        let others = registry.upstreams.iter().filter(|view| home.as_ref().is_none_or(|home| !Arc::ptr_eq(home, view)));
        let known = home.is_some();
        (home.iter().chain(others).cloned().collect(), known)
    }

    async fn of_upstream(
        &self,
        permit: &Permit,
        view: &Arc<UpstreamView>,
        subject: &Digest,
    ) -> Result<(Answer<Parts>, CacheStatus), FetchError> {
        let question = Question {
            client: Arc::clone(&self.tools.client),
            resolver: Arc::clone(&self.resolver),
            permit: permit.at(view),
            view: Arc::clone(view),
            subject: *subject,
        };
        let (repository, now) = (permit.repository(), self.tools.clock.now());
        let ask = move |patience| async move { question.ask(patience).await };
        let answered = self.referrers.of(view, repository, *subject, now, ask).await?;
        if let Answer::Here(parts) = &answered.0 {
            self.learn(view, repository, parts);
        }
        Ok(answered)
    }

    /// Whoever lists a manifest is asked for it first.
    fn learn(&self, view: &UpstreamView, repository: &RepositoryName, parts: &Parts) {
        for children in parts.iter().filter_map(|part| index::children(part).ok()) {
            self.tools.catalog.learn_children(view, repository, &children);
        }
    }
}

/// The question to one upstream.
struct Question {
    client: Arc<Client>,
    resolver: Arc<Resolver>,
    permit: Permit,
    view: Arc<UpstreamView>,
    subject: Digest,
}

impl Question {
    async fn ask(self, patience: Patience) -> Result<Answer<Parts>, FetchError> {
        let repository = self.permit.repository();
        match self.client.referrers(&self.view, repository, &self.subject, patience).await {
            Ok(Answer::Here(ReferrersAnswer::Listed(parts))) => self.checked(parts),
            // 404 is also how a registry without the API answers.
            Ok(Answer::Here(ReferrersAnswer::Unsupported) | Answer::NotHere(NotHere::NotFound)) => {
                self.fallback().await
            }
            Ok(Answer::NotHere(not_here)) => Ok(Answer::NotHere(not_here)),
            Err(fault) => Err(upstream_fault(&self.view, fault)),
        }
    }

    /// A tag like any other: cached, revalidated and served stale as all are.
    async fn fallback(&self) -> Result<Answer<Parts>, FetchError> {
        let Some(tag) = fallback_tag(&self.subject) else { return Ok(Answer::NotHere(NotHere::NotFound)) };
        match self.resolver.manifest(&self.permit, &Reference::Tag(tag)).await {
            Ok(resolved) => self.checked(vec![resolved.manifest.bytes]),
            Err(FetchError::NotFound) => Ok(Answer::NotHere(NotHere::NotFound)),
            Err(error) => Err(error),
        }
    }

    fn checked(&self, parts: Vec<Bytes>) -> Result<Answer<Parts>, FetchError> {
        match parts.iter().try_for_each(|part| index::children(part).map(drop)) {
            Ok(()) => Ok(Answer::Here(parts.into())),
            Err(error) => {
                Err(upstream_fault(&self.view, Fault::BadAnswer(format!("the list of referrers is {error}"))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use roadstead_proto::domain::digest::Algorithm;

    use super::*;

    #[test]
    fn fallback_tags_are_cut_to_what_a_tag_may_be() {
        let short = Digest::sha256(b"x");
        assert_eq!(fallback_tag(&short).unwrap().as_str(), format!("sha256-{}", short.hex()));
        let long = Digest::of(Algorithm::Sha512, b"x");
        assert_eq!(fallback_tag(&long).unwrap().as_str(), format!("sha512-{}", &long.hex()[..64]));
    }
}
