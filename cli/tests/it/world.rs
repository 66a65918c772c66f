//! A place to work in, an upstream with one image, and a client.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response};
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{Config, Upstream};
use tempfile::TempDir;

use crate::process::{Roadstead, command};

/// The repository that the upstream has.
pub(crate) const REPOSITORY: &str = "library/demo";
/// Its tag.
pub(crate) const TAG: &str = "1";
/// The one layer, of several times what is held back for the verdict.
pub(crate) const LAYER_SIZE: u64 = 1024 * 1024;

/// Upstreams on this machine.
pub(crate) const TO_LOOPBACK: [&str; 2] = ["--allow-upstream-network", "127.0.0.0/8"];

pub(crate) struct World {
    pub(crate) upstream: Upstream,
    pub(crate) image: Image,
    pub(crate) client: Client,
    directory: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    /// A world whose upstream behaves so.
    pub(crate) async fn with(config: Config) -> Self {
        let upstream = Upstream::start(config).await.unwrap();
        let image = Image::builder(1).layers(&[LAYER_SIZE]).build();
        upstream.push(REPOSITORY, TAG, &image);
        Self { upstream, image, client: client(), directory: tempfile::tempdir().unwrap() }
    }

    /// A path in this world's own directory, which is also the working directory of what runs in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The data directory.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path("data").join(name)
    }

    /// Writes a file and returns its path as an argument.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    /// `NAME=URL` of the upstream.
    pub(crate) fn upstream_arg(&self) -> String {
        format!("local={}", self.upstream.url())
    }

    /// `roadstead serve` that may have upstreams on this machine, on free ports over this world's data directory.
    pub(crate) fn serve(&self, args: &[&str]) -> Command {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir", "data"];
        all.extend(TO_LOOPBACK);
        all.extend(args);
        command(self.directory.path(), &all)
    }

    /// Starts it with the world's upstream.
    pub(crate) fn start(&self) -> Roadstead {
        Roadstead::start(self.serve(&["--upstream", &self.upstream_arg()]))
    }

    /// A pull request, without any token.
    pub(crate) fn request(&self, method: Method, roadstead: &Roadstead, path: &str) -> RequestBuilder {
        let (_, registry) = roadstead.prefix.split_once('/').unwrap();
        self.client.request(method, format!("{}/v2/{registry}{REPOSITORY}/{path}", roadstead.url))
    }

    /// The answer to a GET.
    pub(crate) async fn get(&self, roadstead: &Roadstead, path: &str) -> Response {
        self.request(Method::GET, roadstead, path).send().await.unwrap()
    }

    /// Pulls the whole image by tag or digest and compares every byte.
    pub(crate) async fn pull(&self, roadstead: &Roadstead, reference: &str) {
        let response = self.get(roadstead, &format!("manifests/{reference}")).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        assert_eq!(response.bytes().await.unwrap(), self.image.manifest().bytes());
        for blob in self.image.blobs() {
            let response = self.get(roadstead, &format!("blobs/{}", blob.digest())).await;
            assert_eq!(response.status(), 200);
            assert_eq!(digest_of(&response.bytes().await.unwrap()), blob.digest());
        }
    }

    /// Waits until everything that was pulled is recorded.
    pub(crate) async fn until_recorded(&self, roadstead: &Roadstead) {
        let recorded = async {
            loop {
                let url = format!("{}/metrics", roadstead.admin_url);
                let metrics = self.client.get(url).send().await.unwrap().text().await.unwrap();
                if metrics.lines().any(|line| line == "roadstead_unrecorded 0") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), recorded).await.expect("everything is recorded");
    }

    /// What a probe answers.
    pub(crate) async fn status(&self, url: &str) -> u16 {
        self.client.get(url).send().await.unwrap().status().as_u16()
    }
}

/// A client that follows no redirect and knows no proxy.
fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
