//! The upstream of a cluster: the synthetic registry, in a process of its own.

use std::net::SocketAddr;

use reqwest::Client;
use serde_json::{Value, json};

use crate::process::Process;

/// Where pulls of a cluster begin: its first registry.
pub(crate) const REGISTRY: &str = "virtual_registries/container/1";

/// A running upstream.
#[derive(Debug)]
pub(crate) struct Stage {
    process: Process,
    /// Where the registry listens.
    pub(crate) address: SocketAddr,
    /// Where it is told what to do, also while it is down.
    control: SocketAddr,
    client: Client,
}

/// An image that it has.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// Repository and tag.
    pub(crate) name: String,
    /// The digest of its manifest.
    pub(crate) digest: String,
    /// Its configuration and layers.
    pub(crate) blobs: Vec<Blob>,
}

#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) size: u64,
}

impl Image {
    /// Its name at whoever listens there.
    pub(crate) fn at(&self, address: SocketAddr) -> String {
        format!("http://{address}/{REGISTRY}/{}", self.name)
    }

    /// The largest layer.
    pub(crate) fn largest(&self) -> &Blob {
        self.blobs.iter().max_by_key(|blob| blob.size).expect("an image has a configuration")
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }
}

impl Stage {
    pub(crate) fn new(process: Process, address: SocketAddr, control: SocketAddr, client: Client) -> Self {
        Self { process, address, control, client }
    }

    pub(crate) async fn is_ready(&mut self) -> bool {
        self.process.must_run();
        self.client.get(format!("http://{}/v2/", self.address)).send().await.is_ok_and(|answer| answer.status() == 200)
    }

    async fn tell(&self, method: reqwest::Method, what: &str, body: &Value) -> Value {
        let url = format!("http://{}/_stage/{what}", self.control);
        // What needs no words takes none.
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client.request(method, url).body(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{what}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Makes an image of such layers. Where `tar`, they can be unpacked.
    pub(crate) async fn make(&self, name: &str, seed: u64, layers: &[u64], tar: bool) -> Image {
        let (repository, tag) = name.split_once(':').unwrap();
        let recipe = json!({"repository": repository, "tag": tag, "seed": seed, "layers": layers, "tar": tar});
        let made = self.tell(reqwest::Method::POST, "images", &json!([recipe])).await;
        let blobs = made[0]["blobs"].as_array().unwrap_or_else(|| panic!("{made}")).iter().map(|blob| Blob {
            digest: blob["digest"].as_str().unwrap().to_owned(),
            size: blob["size"].as_u64().unwrap(),
        });
        Image { name: name.to_owned(), digest: made[0]["digest"].as_str().unwrap().to_owned(), blobs: blobs.collect() }
    }

    /// Bytes per second of all answers together; `None` is as fast as the machine.
    pub(crate) async fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.tell(reqwest::Method::PUT, "bandwidth", &json!({"total": bytes_per_second})).await;
    }

    pub(crate) async fn reset_counters(&self) {
        self.tell(reqwest::Method::POST, "counters/reset", &Value::Null).await;
    }

    pub(crate) async fn counters(&self) -> Counters {
        let url = format!("http://{}/_stage/counters", self.control);
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        Counters(serde_json::from_str(&text).unwrap())
    }

    /// No connection is accepted any more.
    pub(crate) async fn down(&self) {
        self.tell(reqwest::Method::POST, "down", &Value::Null).await;
    }
}

/// What was asked of it.
pub(crate) struct Counters(Value);

impl Counters {
    /// How often each blob or manifest was asked for by `GET`, by its name.
    pub(crate) fn gets(&self) -> Vec<(String, u64)> {
        ["blob_get", "manifest_get"]
            .iter()
            .filter_map(|kind| self.0["requests"][kind].as_object())
            .flatten()
            .map(|(name, count)| (name.clone(), count.as_u64().unwrap()))
            .collect()
    }

    /// How often a blob was asked for.
    pub(crate) fn gets_of(&self, digest: &str) -> u64 {
        self.gets().iter().filter(|(name, _)| name.ends_with(digest)).map(|(_, count)| count).sum()
    }

    /// Bytes that were sent of a blob.
    pub(crate) fn bytes_of(&self, digest: &str) -> u64 {
        self.0["bytes"][digest].as_u64().unwrap_or(0)
    }
}
