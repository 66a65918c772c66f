use std::time::Duration;

use proptest::prelude::*;

use super::*;

const S3: &str = "[s3]\nbucket = 'images'\nendpoint = 'https://s3.example'\n";

fn with(text: &str) -> Result<StorageSettings, StorageSettingsError> {
    let file = toml::from_str(text).unwrap();
    resolve(file, PathBuf::from("data/uploads"), &|name| (name == "KEY").then(|| "hunter2\n".into()))
}

#[test]
fn without_a_bucket_blobs_are_in_the_data_directory() {
    let settings = with("").unwrap();
    assert_eq!(settings, StorageSettings { bucket: None, redirects: None, regions: BTreeMap::new() });
    assert_eq!(settings.to_string(), "  storage          the data directory\n  redirect         never\n");
}

#[test]
fn each_service_has_its_settings() {
    let text = "[s3]\nbucket = 'b'\nprefix = 'p/q'\nregion = 'eu-central-1'\nendpoint = 'http://s3:9000'\n\
                allow_http = true\npath_style = false\naccess_key_id = 'AKID'\nsecret_access_key_env = 'KEY'\n\
                checksum = 'crc64nvme'";
    let settings = with(text).unwrap();
    assert!(settings.to_string().contains("s3://b/p/q at http://s3:9000, as AKID\n"), "{settings}");
    let bucket = settings.bucket.unwrap();
    assert_eq!(bucket.uploads, Path::new("data/uploads"));
    let Service::S3(s3) = bucket.service else { panic!() };
    assert_eq!(s3.credentials.unwrap().secret_access_key.expose(), "hunter2");
    assert_eq!((s3.path_style, s3.checksum), (Some(false), Some(Checksum::Crc64Nvme)));

    let gcs = with("[gcs]\nbucket = 'b'\ncredentials_file = '/etc/key.json'").unwrap().to_string();
    assert!(gcs.contains("gs://b, as named in /etc/key.json\n"), "{gcs}");
    let azure = with("[azure]\naccount = 'a'\ncontainer = 'c'\naccount_key_env = 'KEY'").unwrap();
    assert!(azure.to_string().contains("az://a/c, as the account\n"), "{azure}");
    assert!(with(S3).unwrap().to_string().contains("as the environment says\n"));
}

#[test]
fn other_regions_have_buckets_of_any_service() {
    let text = format!(
        "{S3}[regions.eu.gcs]\nbucket = 'e'\n[regions.us-east.s3]\nbucket = 'u'\naccess_key_id = 'READER'\n\
         secret_access_key_env = 'KEY'"
    );
    let settings = with(&text).unwrap();
    let shown = settings.to_string();
    assert!(shown.contains("  region eu        gs://e, as the environment says, for reading\n"), "{shown}");
    assert!(shown.contains("  region us-east   s3://u, as READER, for reading\n"), "{shown}");
    assert_eq!(settings.regions.len(), 2);
}

#[test]
fn redirects_are_for_named_networks_of_clients() {
    let text = format!("{S3}[redirect]\nmode = 'auto'\nnetworks = ['10.0.0.0/8', 'fd00::/8']");
    let redirects = with(&text).unwrap().redirects.unwrap();
    assert_eq!(redirects.min_size, limits::REDIRECT_MIN_SIZE_DEFAULT);
    assert_eq!(redirects.expiry, limits::REDIRECT_EXPIRY_DEFAULT);
    let text = format!("{text}\nmin_size = '1MiB'\nexpiry = '1m'\nendpoint = 'https://public.example'");
    let settings = with(&text).unwrap();
    assert_eq!(settings.bucket.as_ref().unwrap().public_endpoint.as_deref(), Some("https://public.example"));
    assert_eq!(settings.redirects.as_ref().unwrap().expiry, Duration::from_secs(60));
    let shown =
        "redirect         from 1MiB on, for 10.0.0.0/8, fd00::/8, URLs valid for 1m, to https://public.example\n";
    assert!(settings.to_string().contains(shown), "{settings}");
    let never = with(&text.replace("auto", "never")).unwrap();
    assert_eq!((never.redirects, never.bucket.unwrap().public_endpoint), (None, None));
}

#[test]
fn what_cannot_be_is_a_sentence_without_secrets() {
    let credentials = |text: &str| format!("{S3}{text}");
    for (text, part) in [
        ("[s3]\nbucket = 'a'\n[gcs]\nbucket = 'b'".to_owned(), "[storage.s3] and [storage.gcs] are both there"),
        ("[s3]\nbucket = ''".to_owned(), "the bucket of the object store is empty"),
        ("[s3]\nbucket = 'b'\nendpoint = 'http://h'".to_owned(), "set allow_http"),
        (credentials("secret_access_key = 'hunter2'"), "has a `secret_access_key` in the configuration file"),
        (credentials("access_key_id = 'a'"), "has an `access_key_id` but no secret"),
        (credentials("secret_access_key_env = 'KEY'"), "no `access_key_id`"),
        (credentials("secret_access_key_env = 'KEY'\nsecret_access_key_file = 'x'"), "leave one out"),
        (credentials("secret_access_key_env = 'OTHER'"), "environment variable OTHER, which is not set"),
        (credentials("secret_access_key_file = '/nowhere/at/all'"), "from /nowhere/at/all"),
        (credentials("ca = '/nowhere/at/all'"), "from /nowhere/at/all"),
        ("[azure]\naccount='a'\ncontainer='c'\naccount_key = 'hunter2'".to_owned(), "has a `account_key` in the"),
        ("[redirect]\nmode = 'auto'\nnetworks = ['::/0']".to_owned(), "and there is none"),
        (credentials("[regions.EU.gcs]\nbucket = 'b'"), "names `EU`, which is no region"),
        (credentials("[regions.eu]"), "[storage.regions.eu] names no bucket"),
        (credentials("[regions.eu.gcs]\nbucket = ''"), "of region eu: the bucket of the object store is empty"),
        (credentials("[redirect]\nmode = 'auto'"), "needs `networks`"),
        (credentials("[redirect]\nmode = 'auto'\nnetworks = []"), "needs `networks`"),
        (
            credentials("[redirect]\nmode = 'auto'\nnetworks = ['::/0']\nexpiry = '1s'"),
            "is 1s; 10s to 24h are possible",
        ),
        (credentials("[redirect]\nmode = 'auto'\nnetworks = ['::/0']\nendpoint = 'x'"), "the public endpoint of"),
    ] {
        let error = with(&text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

proptest! {
    /// Whatever stands in the section, redirects need a bucket, networks and an expiry within bounds; and no secret is told.
    #[test]
    fn redirects_are_only_what_they_may_be(
        bucket in "(\\[s3\\]\nbucket='b'\nendpoint='https?://s3'\n)?",
        mode in "(mode='(auto|never|x)')?",
        networks in "(networks=\\[('(10\\.0\\.0\\.0/(8|33)|::/0|x)'){0,1}\\])?",
        expiry in "(expiry='[0-9]{1,3}(s|m|h|d)')?",
        secret in "(secret_access_key(_env)?='(KEY|hunter2)')?",
    ) {
        let secret = if bucket.is_empty() { String::new() } else { secret };
        let text = format!("{bucket}{secret}\n[redirect]\n{mode}\n{networks}\n{expiry}");
        let Ok(file) = toml::from_str(&text) else { return Ok(()) };
        match resolve(file, PathBuf::from("uploads"), &|name| (name == "KEY").then(|| "hunter2".into())) {
            Ok(settings) => {
                prop_assert!(!settings.to_string().contains("hunter2"));
                if let Some(redirects) = settings.redirects {
                    prop_assert!(settings.bucket.is_some() && mode.contains("auto"));
                    prop_assert!(!redirects.networks.is_empty());
                    prop_assert!((limits::REDIRECT_EXPIRY_MIN..=limits::REDIRECT_EXPIRY_MAX).contains(&redirects.expiry));
                }
            }
            // The name of a variable is told, whatever it is called; no value is.
            Err(error) => {
                prop_assert!(!error.to_string().replace("variable hunter2", "").contains("hunter2"), "{}", error);
            }
        }
    }
}
