//! Lists of an upstream: the tags of a repository, and what refers to a manifest.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::image::{RepositoryName, Tag};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::media::OCI_INDEX;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::client::{Client, Patience, Question};
use super::content::{plain_headers, read_body};
use super::error::{Answer, Fault};
use super::exchange::Response;
use super::link;
use crate::meta::snapshot::UpstreamView;

/// What an upstream's referrers API says of a manifest.
#[derive(Debug, Clone)]
pub enum ReferrersAnswer {
    /// The parts of its list, as they came; each is an image index.
    Listed(Vec<Bytes>),
    /// It has no such API. What it has may stand under the fallback tag.
    Unsupported,
}

#[derive(Deserialize)]
struct TagPage {
    // `null` where a repository has none, as some registries say it.
    #[serde(default)]
    tags: Option<PageTags>,
}

/// The tags of a part of a list. What is no tag is counted, and no more: 8 MiB hold millions of empty texts.
#[derive(Default)]
struct PageTags {
    tags: Vec<Tag>,
    named: usize,
}

impl<'de> Deserialize<'de> for PageTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = PageTags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tags")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PageTags, A::Error> {
                let mut page = PageTags::default();
                while let Some(Text(tag)) = list.next_element()? {
                    page.named += 1;
                    if page.named <= limits::TAGS_MAX
                        && let Ok(tag) = tag.parse()
                    {
                        page.tags.push(tag);
                    }
                }
                Ok(page)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Borrowed from the body unless it has escapes: a list may have hundreds of thousands.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A part of a list, after which there are `before` already.
fn read_tags(body: &[u8], before: usize) -> Result<Vec<Tag>, Fault> {
    let page: TagPage = serde_json::from_slice(body)
        .map_err(|_| Fault::BadAnswer("the list of tags is not the JSON of the distribution API".to_owned()))?;
    let page = page.tags.unwrap_or_default();
    if before + page.named > limits::TAGS_MAX {
        return Err(Fault::BadAnswer(format!("the list has more than {} tags", limits::TAGS_MAX)));
    }
    Ok(page.tags)
}

/// The queries that a list was asked with, part by part.
#[derive(Default)]
struct Trail(HashSet<String>);

impl Trail {
    /// The query of the next part.
    fn follow(&mut self, next: String) -> Result<String, Fault> {
        if !self.0.insert(next.clone()) {
            return Err(bad_link("a Link back to a part that was given already"));
        }
        if self.0.len() >= limits::LISTING_PAGES_MAX {
            return Err(Fault::BadAnswer(format!("the list has more than {} parts", limits::LISTING_PAGES_MAX)));
        }
        Ok(next)
    }
}

impl Client {
    /// All tags of a repository, in the upstream's order. What is no tag is left out.
    pub async fn tags(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        patience: Patience,
    ) -> Result<Answer<Vec<Tag>>, Fault> {
        let (mut tags, mut bytes, mut trail) = (Vec::new(), 0, Trail::default());
        let mut query = trail.follow(format!("n={}", limits::TAGS_PAGE))?;
        loop {
            let question = self.list(repository, "tags_list", "tags/list".to_owned(), Some(&query), patience);
            let response = match self.ask(view, question).await? {
                Answer::Here(response) => response,
                Answer::NotHere(not_here) => return Ok(Answer::NotHere(not_here)),
            };
            let next = link::next(&response.headers).map_err(bad_link)?;
            let body = page(response, &mut bytes, patience).await?;
            tags.extend(read_tags(&body, tags.len())?);
            match next {
                None => return Ok(Answer::Here(tags)),
                Some(next) => query = trail.follow(next)?,
            }
        }
    }

    /// What refers to a manifest, by the referrers API.
    pub async fn referrers(
        &self,
        view: &UpstreamView,
        repository: &RepositoryName,
        subject: &Digest,
        patience: Patience,
    ) -> Result<Answer<ReferrersAnswer>, Fault> {
        let (mut parts, mut bytes, mut trail) = (Vec::new(), 0, Trail::default());
        let mut query: Option<String> = None;
        loop {
            let path = format!("referrers/{subject}");
            let mut question = self.list(repository, "referrers", path, query.as_deref(), patience);
            question.headers.insert(ACCEPT, HeaderValue::from_static(OCI_INDEX));
            let response = match self.ask(view, question).await {
                Ok(Answer::Here(response)) => response,
                Ok(Answer::NotHere(not_here)) => return Ok(Answer::NotHere(not_here)),
                Err(Fault::Status { status, .. }) if parts.is_empty() && says_unsupported(status) => {
                    return Ok(Answer::Here(ReferrersAnswer::Unsupported));
                }
                Err(fault) => return Err(fault),
            };
            // A web page with status 200 is how some proxies say that they know no such path.
            if parts.is_empty() && !is_index(&response) {
                return Ok(Answer::Here(ReferrersAnswer::Unsupported));
            }
            let next = link::next(&response.headers).map_err(bad_link)?;
            parts.push(page(response, &mut bytes, patience).await?);
            match next {
                None => return Ok(Answer::Here(ReferrersAnswer::Listed(parts))),
                Some(next) => query = Some(trail.follow(next)?),
            }
        }
    }

    fn list<'a>(
        &self,
        repository: &'a RepositoryName,
        kind: &'static str,
        path: String,
        query: Option<&str>,
        patience: Patience,
    ) -> Question<'a> {
        Question {
            kind,
            method: Method::GET,
            repository,
            path,
            query: query.map(str::to_owned),
            is_blob: false,
            headers: plain_headers(),
            patience,
            stop_at_redirect: false,
        }
    }
}

/// One part, within what is left of the whole list's allowance.
async fn page(response: Response, read: &mut u64, patience: Patience) -> Result<Bytes, Fault> {
    if response.status != StatusCode::OK {
        return Err(Fault::Status { status: response.status, retry_after: None });
    }
    let left = limits::LISTING_MAX_BYTES - *read;
    let body = tokio::time::timeout(patience.left(), read_body(response, left, "list"));
    let body = body.await.map_err(|_| patience.over())??;
    *read += body.len() as u64;
    Ok(body)
}

/// Registries without the API say so in all of these ways (404 is told apart before).
fn says_unsupported(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_ACCEPTABLE
            | StatusCode::NOT_IMPLEMENTED
    )
}

fn is_index(response: &Response) -> bool {
    let media_type = response.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(OCI_INDEX);
    media_type.contains("json")
}

fn bad_link(what: &str) -> Fault {
    Fault::BadAnswer(format!("the list has {what}"))
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
