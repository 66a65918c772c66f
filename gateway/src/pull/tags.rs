//! The tags of a repository, part by part (distribution spec, "Listing Tags").

use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::LINK;
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::media::JSON;
use serde::Serialize;

use super::error::{PullError, What};
use super::respond::list;
use super::route::Page;
use super::{Answered, Puller};
use crate::namespace::Namespace;
use crate::policy::Permit;

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: Vec<&'a str>,
}

impl Puller {
    /// `path` is what the client asked for: the next part stands below the same address.
    pub(super) async fn tags(&self, permit: &Permit, page: &Page, path: &str) -> Result<Answered, PullError> {
        let listed = self.lister.tags(permit).await.map_err(|error| PullError::Fetch {
            what: What::Tags,
            name: permit.repository().to_string(),
            hint: super::hint(permit),
            error,
        })?;
        let (tags, next) = part(&listed.tags, page);
        let mut response: Response = list(body(permit.repository(), tags), JSON, listed.status);
        if let Some(link) = next.and_then(|last| link(path, page.limit, permit.namespace(), last)) {
            response.headers_mut().insert(LINK, link);
        }
        Ok(Answered { response, cache: listed.status.label() })
    }
}

fn body(repository: &RepositoryName, tags: &[Tag]) -> Bytes {
    let list = TagList { name: repository.as_str(), tags: tags.iter().map(Tag::as_str).collect() };
    serde_json::to_vec(&list).unwrap_or_default().into()
}

/// The part that is wanted, and its last tag where more follow. `tags` are in order.
fn part<'a>(tags: &'a [Tag], page: &Page) -> (&'a [Tag], Option<&'a Tag>) {
    let rest = match &page.after {
        None => tags,
        Some(after) => &tags[tags.partition_point(|tag| tag.as_str() <= after.as_str())..],
    };
    let part = page.limit.map_or(rest, |limit| &rest[..limit.min(rest.len())]);
    (part, part.last().filter(|_| part.len() < rest.len()))
}

/// Relative, so that it holds behind whatever proxy the client came through. Tags and digits need no escape.
fn link(path: &str, limit: Option<usize>, namespace: Option<&Namespace>, last: &Tag) -> Option<HeaderValue> {
    let limit = limit?;
    let namespace = namespace.map(|namespace| format!("&ns={namespace}")).unwrap_or_default();
    HeaderValue::from_str(&format!("<{path}?n={limit}&last={last}{namespace}>; rel=\"next\"")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pull::route::{self, Operation, PullRequest};

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn page(limit: Option<usize>, after: Option<&str>) -> Page {
        Page { limit, after: after.map(str::to_owned) }
    }

    #[test]
    fn parts() {
        let all = tags(&["1", "2", "B", "a"]);
        for (limit, after, expected, more) in [
            (None, None, &all[..], false),
            (Some(2), None, &all[..2], true),
            (Some(4), None, &all[..], false),
            (Some(2), Some("2"), &all[2..], false),
            (Some(1), Some("2"), &all[2..3], true),
            (Some(1), Some("A"), &all[2..3], true),
            (None, Some("z"), &[], false),
            (Some(0), None, &[], false),
        ] {
            let (found, next) = part(&all, &page(limit, after));
            assert_eq!((found, next.is_some()), (expected, more), "{limit:?} after {after:?}");
        }
    }

    proptest! {
        /// Whoever follows our link asks for what comes next, and for nothing else.
        #[test]
        fn a_link_leads_to_the_next_part(
            registry in "(virtual_registries/container/[1-9]/)?",
            name in "[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,2}",
            limit: usize,
            namespace in proptest::option::of("[a-z.]{1,9}(:[0-9]{1,4})?|\\[::1\\]:5000"),
            last in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,9}",
        ) {
            let path = format!("/v2/{registry}{name}/tags/list");
            let namespace: Option<Namespace> = namespace.map(|text| text.parse().unwrap());
            let last: Tag = last.parse().unwrap();
            let link = link(&path, Some(limit), namespace.as_ref(), &last).unwrap();
            let target = link.to_str().unwrap().strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            let (again, query) = target.split_once('?').unwrap();
            prop_assert_eq!(again, &path);
            let Ok(PullRequest::Pull(pull)) = route::parse(&http::Method::GET, again, Some(query)) else { panic!("{target}") };
            prop_assert_eq!(pull.operation, Operation::Tags(page(Some(limit), Some(last.as_str()))));
            prop_assert_eq!((pull.repository.as_str(), pull.namespace), (&*name, namespace));
        }

        #[test]
        fn all_parts_are_the_whole(names in proptest::collection::btree_set("[a-zA-Z0-9_]{1,3}", 0..30), limit in 1usize..9) {
            let all: Vec<Tag> = names.iter().map(|name| name.parse().unwrap()).collect();
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (found, next) = part(&all, &Page { limit: Some(limit), after });
                seen.extend(found.iter().cloned());
                match next {
                    None => break,
                    Some(last) => after = Some(last.to_string()),
                }
            }
            prop_assert_eq!(seen, all);
        }
    }
}
