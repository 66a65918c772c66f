//! An upstream with one image, and a client.

use std::sync::Once;

use reqwest::{Client, Method, RequestBuilder, Response};
use roadstead_loadtest::image::{Blob, Image};
use roadstead_loadtest::registry::{Config, Upstream};

/// The repository that every world has.
pub(crate) const REPOSITORY: &str = "library/demo";

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) image: Image,
    pub(crate) client: Client,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// `library/demo:1` with layers of 100 000 and 5 bytes.
    pub(crate) async fn with(config: Config) -> Self {
        let upstream = Upstream::start(config).await.unwrap();
        let image = Image::builder(1).layers(&[100_000, 5]).build();
        upstream.push(REPOSITORY, "1", &image);
        Self { upstream, image, client: client() }
    }

    /// The larger layer.
    pub(crate) fn layer(&self) -> &Blob {
        &self.image.layers()[0]
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.upstream.url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn head(&self, path: &str) -> Response {
        self.request(Method::HEAD, path).send().await.unwrap()
    }

    pub(crate) fn layer_path(&self) -> String {
        blob_path(self.layer().digest())
    }

    pub(crate) async fn get_layer(&self) -> Response {
        self.get(&self.layer_path()).await
    }
}

pub(crate) fn manifest_path(reference: &str) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}

pub(crate) fn blob_path(digest: &str) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Every byte that arrives before the end, and whether the end was in good order.
pub(crate) async fn drain(mut response: Response) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => received.extend_from_slice(&chunk),
            Ok(None) => return (received, true),
            Err(_) => return (received, false),
        }
    }
}

/// A client that follows no redirect and knows no proxy.
pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
