//! Settings to clients.
//!
//! Credentials that the settings do not hold come from where the service's own tools take them: the environment, a
//! web identity, the instance. Settings win over the environment, name by name.

use std::sync::Arc;

use object_store::aws::{self, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};
use roadstead_proto::domain::limits;

use crate::config::{Azure, Checksum, Cloud, Gcs, S3, S3Credentials, Service};
use crate::object::Bucket;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The certificates are none.
    #[error("the certificates for the object store cannot be used; they must be PEM")]
    Certificates(#[source] object_store::Error),
    /// The service's own settings do not fit together.
    #[error("the settings or credentials of the object store cannot be used")]
    Settings(#[source] object_store::Error),
    /// The client with which signed URLs are tried out.
    #[error("the transport to the object store cannot be set up")]
    Transport(#[source] reqwest::Error),
}

/// A bucket, and what else can be done with it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) bucket: Bucket,
    /// Signs for the endpoint that requests go to.
    pub(crate) signer: Arc<dyn Signer>,
}

/// The client of a bucket. Nothing is sent yet.
pub(crate) fn connect(cloud: &Cloud) -> Result<Client, ClientError> {
    // Without a provider the first client panics. Another one that is there already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let public = cloud.public_endpoint.as_deref().or(cloud.endpoint.as_deref());
    let endpoint = cloud.endpoint.as_deref();
    Ok(match &cloud.service {
        Service::S3(settings) => {
            let store = Arc::new(prefixed(cloud, s3(settings, cloud, endpoint)?));
            let signer = Arc::new(prefixed(cloud, s3(settings, cloud, public)?));
            Client { bucket: Bucket { objects: store.clone(), uploads: Some(store.clone()), signer }, signer: store }
        }
        Service::Gcs(settings) => {
            let store = Arc::new(prefixed(cloud, gcs(settings, cloud, endpoint)?));
            let signer = Arc::new(prefixed(cloud, gcs(settings, cloud, public)?));
            Client { bucket: Bucket { objects: store.clone(), uploads: Some(store.clone()), signer }, signer: store }
        }
        Service::Azure(settings) => {
            let store = Arc::new(prefixed(cloud, azure(settings, cloud, endpoint)?));
            let signer = Arc::new(prefixed(cloud, azure(settings, cloud, public)?));
            Client { bucket: Bucket { objects: store.clone(), uploads: None, signer }, signer: store }
        }
    })
}

/// A plain client that trusts what the bucket's client trusts.
pub(crate) fn plain_http(cloud: &Cloud) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(limits::STORE_CONNECT_TIMEOUT)
        .timeout(limits::STORE_IDLE_TIMEOUT);
    if let Some(pem) = &cloud.certificates {
        let certificates = reqwest::Certificate::from_pem_bundle(pem).map_err(ClientError::Transport)?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(ClientError::Transport)
}

fn prefixed<T: ObjectStore>(cloud: &Cloud, store: T) -> PrefixStore<T> {
    PrefixStore::new(store, cloud.prefix.as_str())
}

fn s3(settings: &S3, cloud: &Cloud, endpoint: Option<&str>) -> Result<aws::AmazonS3, ClientError> {
    let S3 { bucket, region, path_style, credentials, checksum } = settings;
    let mut builder = match credentials {
        Some(S3Credentials { access_key_id, secret_access_key }) => {
            AmazonS3Builder::new().with_access_key_id(access_key_id).with_secret_access_key(secret_access_key.expose())
        }
        None => AmazonS3Builder::from_env(),
    };
    builder = builder
        .with_bucket_name(bucket)
        .with_client_options(options(cloud)?)
        .with_retry(retry())
        // One name at a time: the bulk call is missing in many stores and saves nothing here.
        .with_disable_bulk_delete(true);
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    if let Some(checksum) = checksum {
        builder = builder.with_checksum_algorithm(match checksum {
            Checksum::Sha256 => aws::Checksum::SHA256,
            Checksum::Crc64Nvme => aws::Checksum::CRC64NVME,
        });
    }
    // An endpoint of the environment has no bucket in it either.
    let elsewhere = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let has_endpoint = endpoint.is_some() || elsewhere.iter().any(|key| builder.get_config_value(key).is_some());
    let path_style = path_style.unwrap_or(has_endpoint);
    builder = builder.with_virtual_hosted_style_request(!path_style);
    if let Some(endpoint) = endpoint {
        let endpoint = if path_style { endpoint.to_owned() } else { with_bucket(endpoint, bucket) };
        // The name that wins over all that the environment may say.
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    builder.build().map_err(ClientError::Settings)
}

/// `https://host:port` as `https://bucket.host:port`.
fn with_bucket(endpoint: &str, bucket: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    match bare.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => bare.to_owned(),
    }
}

fn gcs(
    settings: &Gcs,
    cloud: &Cloud,
    endpoint: Option<&str>,
) -> Result<object_store::gcp::GoogleCloudStorage, ClientError> {
    let Gcs { bucket, credentials_file } = settings;
    let mut builder = match credentials_file {
        Some(path) => GoogleCloudStorageBuilder::new().with_service_account_path(path.to_string_lossy()),
        None => GoogleCloudStorageBuilder::from_env(),
    };
    builder = builder.with_bucket_name(bucket).with_client_options(options(cloud)?).with_retry(retry());
    if let Some(endpoint) = endpoint {
        builder = builder.with_base_url(endpoint.trim_end_matches('/'));
    }
    builder.build().map_err(ClientError::Settings)
}

fn azure(
    settings: &Azure,
    cloud: &Cloud,
    endpoint: Option<&str>,
) -> Result<object_store::azure::MicrosoftAzure, ClientError> {
    let Azure { account, container, account_key } = settings;
    let mut builder = match account_key {
        Some(key) => MicrosoftAzureBuilder::new().with_access_key(key.expose()),
        None => MicrosoftAzureBuilder::from_env(),
    };
    builder = builder
        .with_account(account)
        .with_container_name(container)
        .with_client_options(options(cloud)?)
        .with_retry(retry());
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
    }
    builder.build().map_err(ClientError::Settings)
}

/// Time limits are on silence, never on a whole request: a large read at the pace of a slow client may take hours.
fn options(cloud: &Cloud) -> Result<ClientOptions, ClientError> {
    let mut options = ClientOptions::new()
        .with_allow_http(cloud.allow_http)
        .with_timeout_disabled()
        .with_read_timeout(limits::STORE_IDLE_TIMEOUT)
        .with_connect_timeout(limits::STORE_CONNECT_TIMEOUT);
    if let Some(pem) = &cloud.certificates {
        for certificate in Certificate::from_pem_bundle(pem).map_err(ClientError::Certificates)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: limits::STORE_RETRIES_MAX,
        retry_timeout: limits::STORE_RETRY_WINDOW,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::path::PathBuf;
    use std::time::Duration;

    use object_store::signer::Method;
    use roadstead_proto::domain::secret::Secret;

    use super::*;

    fn cloud(service: Service) -> Cloud {
        Cloud {
            service,
            prefix: "cache/eu".to_owned(),
            endpoint: Some("https://inside.example:9000".to_owned()),
            public_endpoint: None,
            allow_http: false,
            certificates: None,
            uploads: PathBuf::from("unused"),
        }
    }

    fn s3(path_style: Option<bool>) -> Service {
        let secret_access_key = Secret::new("secret");
        Service::S3(S3 {
            bucket: "images".to_owned(),
            region: Some("eu-central-1".to_owned()),
            path_style,
            credentials: Some(S3Credentials { access_key_id: "AKID".to_owned(), secret_access_key }),
            checksum: None,
        })
    }

    fn azure() -> Service {
        let account_key = Some(Secret::new("c2VjcmV0"));
        Service::Azure(Azure { account: "acc".to_owned(), container: "images".to_owned(), account_key })
    }

    /// Where a signed URL leads, without what signs it.
    async fn signed(signer: &dyn Signer) -> String {
        let url = signer.signed_url(Method::GET, &"sha256/ab.1".into(), Duration::from_secs(60)).await.unwrap();
        url.as_str().split('?').next().unwrap().to_owned()
    }

    #[tokio::test]
    async fn the_bucket_is_named_where_the_settings_say() {
        let public = Some("https://outside.example".to_owned());
        for (cloud, inside, outside) in [
            (cloud(s3(None)), "inside.example:9000/images", "inside.example:9000/images"),
            (
                Cloud { public_endpoint: public.clone(), ..cloud(s3(None)) },
                "inside.example:9000/images",
                "outside.example/images",
            ),
            (cloud(s3(Some(false))), "images.inside.example:9000", "images.inside.example:9000"),
            (Cloud { endpoint: None, ..cloud(s3(None)) }, "images.s3.eu-central-1.amazonaws.com", ""),
            (Cloud { endpoint: None, ..cloud(s3(Some(true))) }, "s3.eu-central-1.amazonaws.com/images", ""),
            (
                Cloud { endpoint: None, public_endpoint: public, ..cloud(azure()) },
                "acc.blob.core.windows.net/images",
                "outside.example/images",
            ),
        ] {
            let client = connect(&cloud).unwrap();
            let (outside, inside) = (if outside.is_empty() { inside } else { outside }, inside);
            assert_eq!(signed(&*client.signer).await, format!("https://{inside}/cache/eu/sha256/ab.1"), "{cloud}");
            assert_eq!(signed(&*client.bucket.signer).await, format!("https://{outside}/cache/eu/sha256/ab.1"));
        }
    }

    #[test]
    fn what_is_no_certificate_or_key_is_said_before_anything_is_sent() {
        let pem = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec());
        assert!(connect(&Cloud { certificates: pem, ..cloud(s3(None)) }).is_err());
        let missing = Some(PathBuf::from("/nowhere/at/all"));
        let gcs = Service::Gcs(Gcs { bucket: "images".to_owned(), credentials_file: missing });
        assert!(matches!(connect(&Cloud { endpoint: None, ..cloud(gcs) }), Err(ClientError::Settings(_))));
    }
}
