use std::path::Path;

use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/serve.toml");
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

const DEFAULTS: RoleDefaults = RoleDefaults { data_dir: "./roadstead-data", drain_delay: Duration::ZERO };

fn nothing(_: &str) -> Option<OsString> {
    None
}

/// As `roadstead serve` has it.
fn serve(flags: PullFlags, variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings, SettingsError> {
    resolve(flags, None, DEFAULTS, variable)
}

fn defaults() -> Settings {
    serve(PullFlags::default(), nothing).unwrap()
}

fn with_file(text: &str, flags: PullFlags) -> Result<Settings, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serve.toml");
    std::fs::write(&path, text).unwrap();
    serve(PullFlags { config: Some(path), ..flags }, nothing)
}

fn with_variable(name: &'static str, value: &'static str) -> Result<Settings, SettingsError> {
    serve(PullFlags::default(), |asked| (asked == name).then(|| value.into()))
}

#[test]
fn the_example_is_the_defaults() {
    let settings = serve(PullFlags { config: Some(EXAMPLE.into()), ..PullFlags::default() }, nothing).unwrap();
    // It names them, which is the one difference; they are the same ones.
    assert_eq!(settings, Settings { upstreams_named: true, ..defaults() });
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_defaults() {
    let text = "listen = '127.0.0.1:1'\nmirror_registry = 7\ndata_dir = 'file'\nlog_format = 'json'\ncache_validity = '1h'\n\
                blob_memory = '1GiB'\nmanifest_memory = '1MiB'\ndrain_timeout = '5s'";
    let flags = PullFlags {
        listen: Some(known_address("127.0.0.1:2")),
        cache_validity: Some(Span(Duration::from_secs(60))),
        ..PullFlags::default()
    };
    let settings = with_file(text, flags).unwrap();
    assert_eq!(settings.listen, known_address("127.0.0.1:2"));
    assert_eq!(settings.admin_listen, known_address(ADMIN_LISTEN));
    assert_eq!(settings.data_dir, Path::new("file"));
    assert_eq!((settings.mirror_registry, defaults().mirror_registry), (Some(RegistryId(7)), Some(RegistryId(1))));
    assert_eq!(settings.log_format, LogFormat::Json);
    assert_eq!((settings.blob_memory, settings.manifest_memory), (1 << 30, 1 << 20));
    assert_eq!(settings.drain_timeout, Duration::from_secs(5));
    assert!(!settings.upstreams_named);
    assert!(settings.upstreams.iter().all(|upstream| upstream.validity == Duration::from_secs(60)));
}

#[test]
fn how_much_is_prefetched_has_an_end_and_0_is_nothing() {
    let at_once = |text: &str| with_file(text, PullFlags::default()).map(|settings| settings.prefetch);
    let prefetch = |at_once| NonZeroUsize::new(at_once).map(|at_once| Prefetch { at_once });
    assert_eq!(defaults().prefetch, prefetch(limits::PREFETCH_DEFAULT));
    assert_eq!(at_once("prefetch = 32").unwrap(), prefetch(32));
    assert_eq!(at_once("prefetch = 0").unwrap(), None);
    let error = at_once("prefetch = 33").unwrap_err().to_string();
    assert_eq!(error, "prefetch is 33; at most 32 blobs are fetched ahead at a time, and 0 turns it off");
    assert!(with_file("prefetch = 0", PullFlags::default()).unwrap().to_string().contains("  prefetch         off\n"));
}

#[test]
fn registry_0_is_no_mirror() {
    assert_eq!(with_file("mirror_registry = 0", PullFlags::default()).unwrap().mirror_registry, None);
}

#[test]
fn the_common_validity_is_for_upstreams_that_name_none() {
    let text = "[[upstream]]\nname = 'a'\nurl = 'https://a.example'\n[[upstream]]\nname = 'b'\n\
                url = 'https://b.example'\nvalidity = '2h'";
    let flags = PullFlags { cache_validity: Some(Span(Duration::ZERO)), ..PullFlags::default() };
    let validities: Vec<u64> =
        with_file(text, flags).unwrap().upstreams.iter().map(|upstream| upstream.validity.as_secs()).collect();
    assert_eq!(validities, [0, 7200]);
}

#[test]
fn what_cannot_be_is_a_sentence() {
    let same = PullFlags { listen: Some(known_address(ADMIN_LISTEN)), ..PullFlags::default() };
    let missing = |flags: PullFlags| serve(flags, nothing).unwrap_err().to_string();
    assert!(missing(same).starts_with("--listen and --admin-listen are both 127.0.0.1:8081"));
    let path = || Some(PathBuf::from("/nowhere/at/all"));
    assert!(missing(PullFlags { config: path(), ..PullFlags::default() }).contains("file /nowhere/at/all"));
    assert!(missing(PullFlags { upstream_ca: path(), ..PullFlags::default() }).contains("from /nowhere/at/all"));
    let error = resolve(PullFlags::default(), Some(PathBuf::new()), DEFAULTS, nothing).unwrap_err().to_string();
    assert!(error.starts_with("--data-dir is empty"), "{error}");
    let inner = |network: &'static str| {
        let flags = PullFlags { upstreams: vec!["a=http://10.1.2.3:5000".to_owned()], ..PullFlags::default() };
        with_file(&format!("allow_upstream_networks = ['192.168.0.0/16', '{network}']"), flags)
    };
    let error = inner("10.2.0.0/16").unwrap_err().to_string();
    assert!(error.starts_with("upstream `a` cannot be used: 10.1.2.3 is closed to upstreams (private)"), "{error}");
    assert!(inner("10.1.0.0/16").unwrap().to_string().contains("public addresses, 192.168.0.0/16, 10.1.0.0/16"));
    let error = with_file("[cluster]\nregion = 'eu'", PullFlags::default()).unwrap_err().to_string();
    assert!(error.contains("are for `roadstead gateway`"), "{error}");
    let error = with_file("\nport = 1", PullFlags::default()).unwrap_err().to_string();
    assert!(error.contains("serve.toml, line 2: unknown field `port`"), "{error}");
}

#[test]
fn two_free_ports_are_two() {
    let free = Some(known_address("127.0.0.1:0"));
    assert!(serve(PullFlags { listen: free, admin_listen: free, ..PullFlags::default() }, nothing).is_ok());
}

#[test]
fn secrets_of_the_environment_are_checked_and_never_repeated() {
    let token = with_variable(ADMIN_TOKEN_VARIABLE, "rst_0123456789abcdef").unwrap().admin_token.unwrap();
    assert_eq!(token.expose(), "rst_0123456789abcdef");
    let key = with_variable(SECRET_KEY_VARIABLE, KEY).unwrap().secret_key.unwrap();
    assert_eq!(key.expose(), KEY);
    for (name, value) in [
        (ADMIN_TOKEN_VARIABLE, ""),
        (ADMIN_TOKEN_VARIABLE, "hunter2 with a space in it"),
        (SECRET_KEY_VARIABLE, ""),
        (SECRET_KEY_VARIABLE, "hunter2"),
    ] {
        let error = with_variable(name, value).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_answer_to_check_config_shows_what_would_be_used() {
    let shown = defaults().to_string();
    for part in [
        "127.0.0.1:8080",
        "./roadstead-data",
        "256MiB",
        "64MiB",
        "1m",
        "4 at a time",
        "1. docker-hub",
        "3. quay",
        "24h",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
}
