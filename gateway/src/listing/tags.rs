//! The tags of a repository, as the first upstream that has it lists them.

use std::sync::Arc;

use roadstead_proto::domain::image::Tag;
use roadstead_proto::domain::upstream::OnError;

use super::Lister;
use crate::cache_status::CacheStatus;
use crate::fetch::error::{FetchError, upstream_fault};
use crate::policy::Permit;
use crate::upstream::error::Answer;

/// In the order of their bytes, each once.
pub(super) type Tags = Arc<[Tag]>;

/// The tags of a repository.
#[derive(Debug, Clone)]
pub struct TagsList {
    /// In the order of their bytes, each once.
    pub tags: Arc<[Tag]>,
    /// How the list came about.
    pub status: CacheStatus,
}

pub(super) fn weight(tags: &Tags) -> usize {
    // A tag is a counted string: its text, two counters and the pointer to it.
    tags.iter().map(|tag| tag.as_str().len() + 32).sum()
}

impl Lister {
    /// All tags of a repository. Whoever has the repository says it all: tags of one upstream never mix with those of
    /// another, which may have other images under the same name.
    pub async fn tags(&self, permit: &Permit) -> Result<TagsList, FetchError> {
        let (repository, now) = (permit.repository(), self.tools.clock.now());
        let mut passed_over = None;
        for view in &permit.registry().upstreams {
            let (client, asked, named) = (Arc::clone(&self.tools.client), Arc::clone(view), repository.clone());
            let ask = move |patience| async move {
                match client.tags(&asked, &named, patience).await {
                    Ok(Answer::Here(tags)) => Ok(Answer::Here(in_order(tags))),
                    Ok(Answer::NotHere(not_here)) => Ok(Answer::NotHere(not_here)),
                    Err(fault) => Err(upstream_fault(&asked, fault)),
                }
            };
            match self.tags.of(view, repository, (), now, ask).await {
                Ok((Answer::Here(tags), status)) => return Ok(TagsList { tags, status }),
                Ok((Answer::NotHere(_), _)) => {}
                Err(error) if view.upstream.settings.on_error == OnError::Next => {
                    passed_over.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(passed_over.unwrap_or(FetchError::NotFound))
    }
}

fn in_order(mut tags: Vec<Tag>) -> Tags {
    tags.sort_unstable();
    tags.dedup();
    tags.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_order_an_upstream_has() {
        let tags = ["b", "a", "B", "10", "9", "a"].map(|tag| tag.parse().unwrap());
        let ordered: Vec<String> = in_order(tags.to_vec()).iter().map(Tag::to_string).collect();
        assert_eq!(ordered, ["10", "9", "B", "a", "b"]);
    }
}
