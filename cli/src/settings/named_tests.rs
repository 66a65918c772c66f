use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn flags(texts: &[&str]) -> Result<Option<Vec<NamedUpstream>>, NamedError> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    choose(&texts, &[], &Defaults { validity: DAY, variable: &nothing })
}

fn in_file(text: &str) -> Result<NamedUpstream, NamedError> {
    let upstream: FileUpstream = toml::from_str(&format!("name = 'hub'\nurl = 'https://hub.example'\n{text}")).unwrap();
    let variable = |name: &str| (name == "HUB_PASSWORD").then(|| "hunter2".into());
    let chosen = choose(&[], &[upstream], &Defaults { validity: DAY, variable: &variable })?;
    Ok(chosen.unwrap().remove(0))
}

#[test]
fn flags_keep_their_order_and_take_the_common_validity() {
    let upstreams = flags(&["b=https://b.example", "a=http://127.0.0.1:5000"]).unwrap().unwrap();
    let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert!(upstreams.iter().all(|upstream| upstream.validity == DAY && upstream.sign_in.is_none()));
}

#[test]
fn flags_replace_the_list_of_the_file() {
    let file: FileUpstream = toml::from_str("name = 'file'\nurl = 'https://file.example'").unwrap();
    let flags = ["flag=https://flag.example".to_owned()];
    let chosen = choose(&flags, &[file], &Defaults { validity: DAY, variable: &nothing }).unwrap().unwrap();
    assert_eq!(chosen.len(), 1);
    assert_eq!(chosen[0].name, "flag");
}

#[test]
fn nobody_named_any() {
    assert_eq!(flags(&[]).unwrap(), None);
    let names: Vec<String> = built_in(DAY).into_iter().map(|upstream| upstream.name).collect();
    assert_eq!(names, ["docker-hub", "mcr", "quay"]);
    assert!(built_in(DAY)[0].url.is_docker_hub());
}

#[test]
fn mistakes_are_sentences_that_repeat_no_url() {
    for (texts, part) in [
        (&["https://user:hunter2@host"][..], "--upstream number 1 is not NAME=URL"),
        (&["a=https://a.example", "https://b.example/?x=y"], "--upstream number 2 is not NAME=URL"),
        (&["=https://a.example"], "upstream number 1 has no usable name"),
        (&["a\nb=https://a.example"], "upstream number 1 has no usable name"),
        (&["a=https://user:hunter2@host"], "must not contain credentials"),
        (&["a=host"], "the url of upstream `a` cannot be used: not a URL"),
        (&["a=ftp://host"], "the scheme is `ftp`"),
        (&["a=https://x.example", "a=https://y.example"], "two upstreams are called `a`"),
    ] {
        let error = flags(texts).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let many: Vec<String> = (0..21).map(|n| format!("n{n}=https://host{n}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(flags(&many).unwrap_err().to_string().starts_with("21 upstreams are named"));
}

#[test]
fn a_file_may_say_more() {
    let upstream = in_file(
        "username = 'me'\npassword_env = 'HUB_PASSWORD'\nvalidity = '1h'\nstale_if_error = '0'\n\
         on_not_found = 'gone'\non_error = 'next'",
    )
    .unwrap();
    let sign_in = upstream.sign_in.unwrap();
    assert_eq!((sign_in.username.as_str(), sign_in.password.expose()), ("me", "hunter2"));
    assert_eq!((upstream.validity, upstream.stale_if_error), (Duration::from_secs(3600), Duration::ZERO));
    assert_eq!((upstream.on_not_found, upstream.on_error), (OnNotFound::Gone, OnError::Next));
    assert_eq!(in_file("").unwrap().validity, DAY);
}

#[test]
fn a_password_file_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    let read = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        in_file(&format!("username = 'me'\npassword_file = '{}'", path.display()))
    };
    for content in ["pass word", "pass word\n", "pass word\r\n"] {
        assert_eq!(read(content.as_bytes()).unwrap().sign_in.unwrap().password.expose(), "pass word");
    }
    assert!(read(b"").unwrap_err().to_string().contains("has 0 bytes"));
    assert!(read(b"one\ntwo\n").unwrap_err().to_string().contains("not one line"));
    assert!(read(b"\xff\xfe").unwrap_err().to_string().contains("not one line"));
    assert!(read(&[b'x'; 511]).unwrap_err().to_string().contains("has 511 bytes"));
}

#[test]
fn half_a_sign_in_is_refused() {
    for (text, part) in [
        ("username = 'me'", "has a user name but no password"),
        ("password_env = 'HUB_PASSWORD'", "has a password but no user name"),
        ("username = 'me'\npassword_env = 'A'\npassword_file = 'b'", "has both"),
        ("username = 'me'\npassword_env = 'ABSENT'", "environment variable ABSENT, which is not set"),
        ("username = 'me'\npassword_file = '/nowhere/at/all'", "from /nowhere/at/all"),
        ("username = ''\npassword_env = 'HUB_PASSWORD'", "the user name of upstream `hub` has 0 bytes"),
        ("username = 'me'\npassword = 'hunter2'", "has its password in the configuration file"),
    ] {
        let error = in_file(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

proptest! {
    /// A flag names what stands before its first `=` and the address behind it; a refusal repeats nothing of an address.
    #[test]
    fn a_flag_is_a_name_and_an_address(
        name in "[a-zA-Z0-9 ._-]{0,9}|[a-z]{1,3}[\n\t]?[a-z]{0,3}|(https?://)?[a-z]{0,3}",
        url in "https?://([a-z]{1,3}:hunter2@)?[a-z]{1,5}\\.example(/[a-z]{1,3})?([?#]x=hunter2)?|hunter2|",
        equals in "=|==|",
    ) {
        let text = format!("{name}{equals}{url}");
        match flags(&[&text]) {
            Ok(upstreams) => {
                let upstream = upstreams.unwrap().remove(0);
                let (name, url) = text.split_once('=').unwrap();
                prop_assert_eq!(upstream.name.as_str(), name.trim());
                prop_assert_eq!(Ok(upstream.url), url.parse());
                prop_assert!(!upstream.name.is_empty() && !upstream.name.contains(char::is_control));
            }
            Err(error) => {
                let told = format!("{error} {error:?}");
                prop_assert!(!told.contains("hunter2"), "{}", told);
            }
        }
    }

    /// However they are mixed, upstreams keep their order, are at most twenty, and no two have one name.
    #[test]
    fn a_list_keeps_its_order(names in prop::collection::vec("[a-e]{1,2}", 0..24)) {
        let texts: Vec<String> = names.iter().map(|name| format!("{name}=https://{name}.example")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len();
        match flags(&texts) {
            Ok(None) => prop_assert!(names.is_empty()),
            Ok(Some(upstreams)) => {
                prop_assert!(distinct && names.len() <= limits::UPSTREAMS_PER_REGISTRY);
                prop_assert_eq!(upstreams.into_iter().map(|upstream| upstream.name).collect::<Vec<_>>(), names);
            }
            Err(_) => prop_assert!(!distinct || names.len() > limits::UPSTREAMS_PER_REGISTRY),
        }
    }
}
