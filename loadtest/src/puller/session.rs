//! One client: its connections, and the order of a pull.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Client, Method, RequestBuilder};
use url::Url;

use super::PullError;
use super::journal::{Journal, Kind};
use super::manifest::{Descriptor, ManifestError, Next, Platform, next};
use super::name::ImageName;
use super::transfer::Transfer;
use crate::form::Form;

/// A server that sends nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Indexes in indexes that are followed.
const MOST_INDEXES: u32 = 4;

/// How a client pulls.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which image of an index.
    pub platform: Platform,
    /// Blobs of one image that are fetched at once.
    pub parallel: usize,
    /// Whether digests are checked.
    pub verify: bool,
    /// Sent as the password of Basic credentials.
    pub token: Option<String>,
    /// Bytes per second that are read of each body at most.
    pub rate: Option<u64>,
}

/// A client with connections of its own, and an empty store before each pull.
#[derive(Debug)]
pub struct Session {
    client: Client,
    pub(super) options: Options,
    pub(super) journal: Arc<Journal>,
}

impl Session {
    /// A client that notes down in `journal` what its requests take.
    ///
    /// # Errors
    /// When the system's TLS settings cannot be read.
    pub fn new(options: Options, journal: Arc<Journal>) -> Result<Self, PullError> {
        let client = Client::builder().no_proxy().tcp_nodelay(true).read_timeout(PATIENCE).build();
        Ok(Self { client: client.map_err(PullError::Setup)?, options, journal })
    }

    /// Pulls an image as into an empty store. The journal has the outcome as well.
    ///
    /// # Errors
    /// When any part of it is missing, incomplete or wrong.
    pub async fn pull(&self, name: &ImageName) -> Result<(), PullError> {
        let began = Instant::now();
        match self.fetch(name).await {
            Ok(bytes) => {
                self.journal.ended(Kind::Pull, None, began.elapsed(), bytes);
                Ok(())
            }
            Err(error) => {
                self.journal.failed(error.to_string());
                Err(error)
            }
        }
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.options.token {
            Some(token) => request.basic_auth("loadtest", Some(token)),
            None => request,
        }
    }

    async fn fetch(&self, name: &ImageName) -> Result<u64, PullError> {
        let mut digest = self.resolve(name).await?;
        let (mut size, mut bytes) = (None, 0);
        for _ in 0..=MOST_INDEXES {
            let url = name.manifest(&digest);
            let manifest =
                Transfer { session: self, kind: Kind::Manifest, url, digest: &digest, size }.into_memory().await?;
            bytes += manifest.len() as u64;
            match next(&manifest, &self.options.platform)? {
                Next::Manifest(descriptor) => (digest, size) = (descriptor.digest, Some(descriptor.size)),
                Next::Blobs { config, layers } => return Ok(bytes + self.blobs(name, config, layers).await?),
            }
        }
        Err(ManifestError::TooDeep(MOST_INDEXES).into())
    }

    /// What a tag leads to.
    async fn resolve(&self, name: &ImageName) -> Result<String, PullError> {
        let (kind, began) = (Kind::Resolve, Instant::now());
        let request = self.request(Method::HEAD, name.manifest(name.reference())).header("accept", accept());
        let response = request.send().await.map_err(|error| PullError::Broken {
            what: kind,
            offset: 0,
            attempts: 1,
            cause: reason(&error),
        })?;
        if !response.status().is_success() {
            return Err(PullError::Refused { what: kind, status: response.status() });
        }
        let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        let digest = digest.ok_or(PullError::NoDigest)?.to_owned();
        self.journal.ended(kind, None, began.elapsed(), 0);
        Ok(digest)
    }

    /// Configuration and layers, each once, a few at a time.
    async fn blobs(
        &self,
        name: &ImageName,
        config: Option<Descriptor>,
        layers: Vec<Descriptor>,
    ) -> Result<u64, PullError> {
        let config = config.into_iter().map(|config| (Kind::Config, config));
        let mut seen = HashSet::new();
        let wanted: Vec<(Kind, Descriptor)> = config
            .chain(layers.into_iter().map(|layer| (Kind::Layer, layer)))
            .filter(|(_, descriptor)| seen.insert(descriptor.digest.clone()))
            .collect();
        let mut transfers = Vec::with_capacity(wanted.len());
        for (kind, Descriptor { digest, size, .. }) in &wanted {
            let url = name.blob(digest);
            transfers.push(Transfer { session: self, kind: *kind, url, digest, size: Some(*size) }.away());
        }
        stream::iter(transfers)
            .buffer_unordered(self.options.parallel.max(1))
            .try_fold(0, async |sum, size| Ok(sum + size))
            .await
    }
}

/// All kinds of manifests, as containerd asks for them.
pub(crate) fn accept() -> String {
    [Form::Docker.manifest(), Form::Docker.index(), Form::Oci.manifest(), Form::Oci.index(), "*/*"].join(", ")
}

/// What went wrong, down to the cause, without the address: reasons are counted.
pub(crate) fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
