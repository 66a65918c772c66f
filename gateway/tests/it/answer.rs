//! What a client gets.

use bytes::Bytes;
use futures::StreamExt as _;
use http::HeaderMap;
use reqwest::{Method, StatusCode};
use roadstead_loadtest::content::digest_of;

use crate::world::World;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub(crate) fn digest(&self) -> String {
        digest_of(&self.body)
    }

    /// The code of an OCI error body.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("an OCI error body");
        body["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).expect("an OCI error body");
        body["errors"][0]["message"].as_str().unwrap().to_owned()
    }
}

/// Reads a body to its end; an error is what a client sees when the connection is aborted.
pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        body.extend_from_slice(&piece?);
    }
    Ok(body)
}

/// Asking.
impl World {
    pub(crate) async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request_url(method, &self.url(path), headers).await
    }

    /// The same for a whole URL.
    pub(crate) async fn request_url(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> Answer {
        let response = self.send(method, url, headers).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap() }
    }

    pub(crate) async fn get_url(&self, url: &str) -> Answer {
        self.request_url(Method::GET, url, &[]).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[]).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.request(Method::HEAD, path, &[]).await
    }

    /// A pull that answers its headers and has its body still to come.
    pub(crate) async fn begin(&self, path: &str) -> reqwest::Response {
        self.send(Method::GET, &self.url(path), &[]).await.unwrap()
    }
}

pub(crate) fn manifest(name: &str, reference: &str) -> String {
    format!("{name}/manifests/{reference}")
}

pub(crate) fn blob(name: &str, digest: &str) -> String {
    format!("{name}/blobs/{digest}")
}
