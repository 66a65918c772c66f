//! The list of tags, page by page, and the list of referrers.

use http::StatusCode;
use http::header::LINK;
use serde_json::{Value, json};

use super::answer::Answer;
use super::catalog::Repository;
use crate::content::Content;
use crate::image::{Form, Manifest};

pub(super) fn answer(repository: &Repository, name: &str, query: &str) -> Answer {
    let mut limit = usize::MAX;
    let mut last = String::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "n" => limit = value.parse().unwrap_or(usize::MAX),
            "last" => last = value.into_owned(),
            _ => {}
        }
    }
    let mut rest = repository.tags().filter(|tag| *tag > last.as_str());
    let page: Vec<&str> = rest.by_ref().take(limit).collect();
    let answer = Answer::json(StatusCode::OK, &json!({ "name": name, "tags": page }));
    match page.last() {
        Some(last) if rest.next().is_some() => {
            answer.with(LINK, &format!("</v2/{name}/tags/list?n={limit}&last={last}>; rel=\"next\""))
        }
        _ => answer,
    }
}

pub(super) fn referrers(repository: &Repository, subject: &str) -> Answer {
    let entry = |manifest: &Manifest| {
        let mut entry = manifest.descriptor().to_json();
        if let Some(artifact_type) = manifest.artifact_type() {
            entry["artifactType"] = json!(artifact_type);
        }
        entry
    };
    let entries: Vec<Value> = repository.referrers(subject).into_iter().map(entry).collect();
    let media_type = Form::Oci.index();
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    Answer::new(StatusCode::OK, media_type, Content::literal(index.to_string()))
}
