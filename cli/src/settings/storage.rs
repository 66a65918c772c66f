//! Where blobs are kept, as an operator says it: the tables below `[storage]`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use roadstead_gateway::config::Redirects;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::registry::RegionId;
use roadstead_proto::domain::secret::Secret;
use roadstead_storage::config::{
    Azure, Backend, Checksum, Cloud, Config, ConfigError, Gcs, S3, S3Credentials, Service,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::written::{Size, Span};

/// `[storage]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileStorage {
    /// A bucket of S3.
    pub(crate) s3: Option<FileS3>,
    /// A bucket of Google Cloud Storage.
    pub(crate) gcs: Option<FileGcs>,
    /// A container of Azure Blob Storage.
    pub(crate) azure: Option<FileAzure>,
    /// Who is sent to the bucket.
    pub(crate) redirect: Option<FileRedirect>,
    /// The buckets of regions, by name.
    #[serde(default)]
    pub(crate) regions: BTreeMap<String, FileRegion>,
}

/// `[storage.regions.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRegion {
    /// A bucket of S3.
    pub(crate) s3: Option<FileS3>,
    /// A bucket of Google Cloud Storage.
    pub(crate) gcs: Option<FileGcs>,
    /// A container of Azure Blob Storage.
    pub(crate) azure: Option<FileAzure>,
}

/// `[storage.s3]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileS3 {
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) path_style: Option<bool>,
    pub(crate) allow_http: Option<bool>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) access_key_id: Option<String>,
    pub(crate) secret_access_key_file: Option<PathBuf>,
    pub(crate) secret_access_key_env: Option<String>,
    /// Known only to be refused with a better answer than "unknown field".
    #[serde(default)]
    pub(crate) secret_access_key: Option<IgnoredAny>,
    pub(crate) checksum: Option<FileChecksum>,
}

/// `[storage.gcs]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileGcs {
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) allow_http: Option<bool>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) credentials_file: Option<PathBuf>,
}

/// `[storage.azure]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileAzure {
    pub(crate) account: String,
    pub(crate) container: String,
    pub(crate) prefix: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) allow_http: Option<bool>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) account_key_file: Option<PathBuf>,
    pub(crate) account_key_env: Option<String>,
    /// Known only to be refused with a better answer than "unknown field".
    #[serde(default)]
    pub(crate) account_key: Option<IgnoredAny>,
}

/// `[storage.redirect]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRedirect {
    pub(crate) mode: Option<FileMode>,
    pub(crate) networks: Option<Vec<IpNet>>,
    pub(crate) min_size: Option<Size>,
    pub(crate) expiry: Option<Span>,
    pub(crate) endpoint: Option<String>,
}

/// Whether clients are sent to the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileMode {
    /// All bytes go through this process.
    Never,
    /// Those of the networks are, for what is large.
    Auto,
}

/// See [`Checksum`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileChecksum {
    None,
    Sha256,
    Crc64nvme,
}

/// Where blobs are kept, and who is sent there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageSettings {
    /// The bucket, or the data directory's own folder.
    pub(crate) bucket: Option<Cloud>,
    /// Nobody without.
    pub(crate) redirects: Option<Redirects>,
    /// The buckets of regions: what lies there is copied before an upstream is asked.
    pub(crate) regions: BTreeMap<RegionId, Cloud>,
}

/// Why blobs cannot be kept as the file says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageSettingsError {
    /// More than one bucket.
    #[error("[storage.{0}] and [storage.{1}] are both there; blobs are kept in one place, so leave one of them out")]
    Several(&'static str, &'static str),
    /// Not a region's name.
    #[error("[storage.regions] names `{0}`, which is no region: {1}")]
    Region(String, String),
    /// A region that is kept nowhere.
    #[error("[storage.regions.{0}] names no bucket; add [storage.regions.{0}.s3], .gcs or .azure")]
    RegionWithoutBucket(RegionId),
    /// What is wrong with a region's bucket.
    #[error("of region {region}: {source}")]
    OfRegion {
        /// Which.
        region: RegionId,
        /// What.
        source: Box<StorageSettingsError>,
    },
    /// A secret in the file itself.
    #[error(
        "[storage] has a `{0}` in the configuration file; keep it in a file or an environment variable and name that by \
         `{0}_file` or `{0}_env`"
    )]
    SecretInFile(&'static str),
    /// Two secrets.
    #[error("[storage] has both `{0}_file` and `{0}_env`; leave one out")]
    TwoSecrets(&'static str),
    /// The file with the secret.
    #[error("cannot read the {key} of [storage] from {}", path.display())]
    SecretFile {
        /// Which secret.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable with the secret.
    #[error("the {key} of [storage] is expected in the environment variable {variable}, which is not set")]
    SecretVariable {
        /// Which secret.
        key: &'static str,
        /// Which variable.
        variable: String,
    },
    /// A secret that is none.
    #[error("the {0} of [storage] is not one line of text; check the file or variable that holds it")]
    NotOneLine(&'static str),
    /// Half of what is needed to sign in.
    #[error(
        "[storage.s3] has an `access_key_id` but no secret; add `secret_access_key_file` or `secret_access_key_env`"
    )]
    NoSecret,
    /// The other half.
    #[error("[storage.s3] has a secret access key but no `access_key_id`; add it")]
    NoAccessKeyId,
    /// Certificates that cannot be read.
    #[error("cannot read the certificates of `ca` in [storage] from {}", path.display())]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What storage itself refuses.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Redirects from a directory.
    #[error("[storage.redirect] sends clients to a bucket, and there is none; add one, or set mode = \"never\"")]
    RedirectWithoutBucket,
    /// Redirects of nobody.
    #[error(
        "[storage.redirect] needs `networks`: those whose clients reach the bucket, such as [\"10.0.0.0/8\"]; for all of \
         them [\"0.0.0.0/0\", \"::/0\"]"
    )]
    NoNetworks,
    /// Too short or too long.
    #[error(
        "the expiry of [storage.redirect] is {0}; {min} to {max} are possible",
        min = Span(limits::REDIRECT_EXPIRY_MIN),
        max = Span(limits::REDIRECT_EXPIRY_MAX)
    )]
    Expiry(Span),
}

/// Puts the settings together; `uploads` is where a bucket's uploads are remembered.
pub(crate) fn resolve(
    file: FileStorage,
    uploads: PathBuf,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<StorageSettings, StorageSettingsError> {
    let FileStorage { s3, gcs, azure, redirect, regions } = file;
    let bucket = of_one(s3, gcs, azure, variable)?;
    let auto = redirect.filter(|redirect| redirect.mode == Some(FileMode::Auto));
    let public_endpoint = auto.as_ref().and_then(|redirect| redirect.endpoint.clone());
    let bucket = bucket.map(|bucket| Cloud { uploads, public_endpoint, ..bucket });
    if let Some(bucket) = &bucket {
        validate(bucket)?;
    }
    let redirects = auto.map(|redirect| of_redirect(&redirect, bucket.is_some())).transpose()?;
    let regions =
        regions.into_iter().map(|(name, region)| of_region(name, region, variable)).collect::<Result<_, _>>()?;
    Ok(StorageSettings { bucket, redirects, regions })
}

fn of_region(
    name: String,
    file: FileRegion,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(RegionId, Cloud), StorageSettingsError> {
    let region: RegionId = match name.parse() {
        Ok(region) => region,
        Err(error) => return Err(StorageSettingsError::Region(name, format!("{error}"))),
    };
    let bucket = of_one(file.s3, file.gcs, file.azure, variable).and_then(|bucket| {
        bucket.iter().try_for_each(validate)?;
        Ok(bucket)
    });
    match bucket {
        Ok(Some(bucket)) => Ok((region, bucket)),
        Ok(None) => Err(StorageSettingsError::RegionWithoutBucket(region)),
        Err(error) => Err(StorageSettingsError::OfRegion { region, source: Box::new(error) }),
    }
}

fn validate(bucket: &Cloud) -> Result<(), StorageSettingsError> {
    let backend = Backend::Cloud(Box::new(bucket.clone()));
    Ok(Config { backend, ..Config::local("unused") }.validate()?)
}

/// The one bucket that is named, if any.
fn of_one(
    s3: Option<FileS3>,
    gcs: Option<FileGcs>,
    azure: Option<FileAzure>,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Cloud>, StorageSettingsError> {
    let named = [("s3", s3.is_some()), ("gcs", gcs.is_some()), ("azure", azure.is_some())];
    let mut named = named.into_iter().filter(|(_, there)| *there);
    if let (Some((first, _)), Some((second, _))) = (named.next(), named.next()) {
        return Err(StorageSettingsError::Several(first, second));
    }
    Ok(match (s3, gcs, azure) {
        (Some(s3), ..) => Some(of_s3(s3, variable)?),
        (_, Some(gcs), _) => Some(of_gcs(gcs)?),
        (.., Some(azure)) => Some(of_azure(azure, variable)?),
        (None, None, None) => None,
    })
}

fn of_redirect(redirect: &FileRedirect, has_bucket: bool) -> Result<Redirects, StorageSettingsError> {
    if !has_bucket {
        return Err(StorageSettingsError::RedirectWithoutBucket);
    }
    let networks = redirect.networks.clone().filter(|networks| !networks.is_empty());
    let expiry = redirect.expiry.map_or(limits::REDIRECT_EXPIRY_DEFAULT, |span| span.0);
    if !(limits::REDIRECT_EXPIRY_MIN..=limits::REDIRECT_EXPIRY_MAX).contains(&expiry) {
        return Err(StorageSettingsError::Expiry(Span(expiry)));
    }
    Ok(Redirects {
        min_size: redirect.min_size.map_or(limits::REDIRECT_MIN_SIZE_DEFAULT, |size| size.0),
        networks: networks.ok_or(StorageSettingsError::NoNetworks)?,
        expiry,
    })
}

fn of_s3(s3: FileS3, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Cloud, StorageSettingsError> {
    let named = Named {
        key: "secret_access_key",
        in_file: s3.secret_access_key.is_some(),
        file: s3.secret_access_key_file.as_deref(),
        env: s3.secret_access_key_env.as_deref(),
    };
    let credentials = match (s3.access_key_id, named.read(variable)?) {
        (None, None) => None,
        (Some(_), None) => return Err(StorageSettingsError::NoSecret),
        (None, Some(_)) => return Err(StorageSettingsError::NoAccessKeyId),
        (Some(access_key_id), Some(secret_access_key)) => Some(S3Credentials { access_key_id, secret_access_key }),
    };
    let service = Service::S3(S3 {
        bucket: s3.bucket,
        region: s3.region,
        path_style: s3.path_style,
        credentials,
        checksum: match s3.checksum {
            None | Some(FileChecksum::None) => None,
            Some(FileChecksum::Sha256) => Some(Checksum::Sha256),
            Some(FileChecksum::Crc64nvme) => Some(Checksum::Crc64Nvme),
        },
    });
    cloud(service, s3.prefix, s3.endpoint, s3.allow_http, s3.ca)
}

fn of_gcs(gcs: FileGcs) -> Result<Cloud, StorageSettingsError> {
    let service = Service::Gcs(Gcs { bucket: gcs.bucket, credentials_file: gcs.credentials_file });
    cloud(service, gcs.prefix, gcs.endpoint, gcs.allow_http, gcs.ca)
}

fn of_azure(azure: FileAzure, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Cloud, StorageSettingsError> {
    let named = Named {
        key: "account_key",
        in_file: azure.account_key.is_some(),
        file: azure.account_key_file.as_deref(),
        env: azure.account_key_env.as_deref(),
    };
    let account_key = named.read(variable)?;
    let service = Service::Azure(Azure { account: azure.account, container: azure.container, account_key });
    cloud(service, azure.prefix, azure.endpoint, azure.allow_http, azure.ca)
}

fn cloud(
    service: Service,
    prefix: Option<String>,
    endpoint: Option<String>,
    allow_http: Option<bool>,
    ca: Option<PathBuf>,
) -> Result<Cloud, StorageSettingsError> {
    let certificates =
        ca.map(|path| std::fs::read(&path).map_err(|source| StorageSettingsError::Ca { path, source })).transpose()?;
    Ok(Cloud {
        service,
        prefix: prefix.unwrap_or_default(),
        endpoint,
        public_endpoint: None,
        allow_http: allow_http.unwrap_or(false),
        certificates,
        uploads: PathBuf::new(),
    })
}

/// Where a secret is.
struct Named<'a> {
    key: &'static str,
    in_file: bool,
    file: Option<&'a Path>,
    env: Option<&'a str>,
}

impl Named<'_> {
    fn read(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Option<Secret>, StorageSettingsError> {
        let key = self.key;
        if self.in_file {
            return Err(StorageSettingsError::SecretInFile(key));
        }
        let bytes = match (self.file, self.env) {
            (Some(_), Some(_)) => return Err(StorageSettingsError::TwoSecrets(key)),
            (Some(path), None) => std::fs::read(path).map_err(|source| {
                let path = path.to_owned();
                StorageSettingsError::SecretFile { key, path, source }
            })?,
            (None, Some(name)) => variable(name)
                .ok_or_else(|| StorageSettingsError::SecretVariable { key, variable: name.to_owned() })?
                .into_encoded_bytes(),
            (None, None) => return Ok(None),
        };
        // Editors and `echo` end a file with a line break.
        let text = String::from_utf8(bytes).map_err(|_| StorageSettingsError::NotOneLine(key))?;
        let secret = Secret::new(text.trim_end_matches(['\n', '\r']));
        let usable = !secret.expose().is_empty() && !secret.expose().chars().any(char::is_control);
        if usable { Ok(Some(secret)) } else { Err(StorageSettingsError::NotOneLine(key)) }
    }
}

impl fmt::Display for StorageSettings {
    /// What `--check-config` answers about it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bucket {
            None => writeln!(f, "  storage          the data directory")?,
            Some(bucket) => {
                writeln!(f, "  storage          {bucket}, as {}", who(&bucket.service))?;
            }
        }
        for (region, bucket) in &self.regions {
            writeln!(f, "  region {:<9} {bucket}, as {}, for reading", region.as_str(), who(&bucket.service))?;
        }
        let Some(Redirects { min_size, networks, expiry }) = &self.redirects else {
            return writeln!(f, "  redirect         never");
        };
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        let (networks, size, expiry) = (networks.join(", "), Size(*min_size), Span(*expiry));
        write!(f, "  redirect         from {size} on, for {networks}, URLs valid for {expiry}")?;
        match self.bucket.as_ref().and_then(|bucket| bucket.public_endpoint.as_ref()) {
            Some(endpoint) => writeln!(f, ", to {endpoint}"),
            None => writeln!(f),
        }
    }
}

/// Who is asking, without the proof.
fn who(service: &Service) -> String {
    let named = match service {
        Service::S3(s3) => s3.credentials.as_ref().map(|credentials| credentials.access_key_id.clone()),
        Service::Gcs(gcs) => gcs.credentials_file.as_ref().map(|path| format!("named in {}", path.display())),
        Service::Azure(azure) => azure.account_key.as_ref().map(|_| "the account".to_owned()),
    };
    named.unwrap_or_else(|| "the environment says".to_owned())
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
