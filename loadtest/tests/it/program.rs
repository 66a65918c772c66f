//! The program as scripts use it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;

use crate::world::client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_roadstead-loadtest");

/// A running program and what it printed until it was ready; killed when dropped.
struct Running {
    child: Child,
    printed: Vec<String>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["upstream", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let printed = lines.take_while(|line| line != "ready").collect();
        Self { child, printed }
    }

    fn url(&self) -> &str {
        self.printed[0].split(' ').nth(1).unwrap()
    }

    /// Asks it to end, as an operator would, and returns its exit code.
    fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("/bin/sh").args(["-c", &format!("kill -TERM {pid}")]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_serves_what_it_prints_and_ends_in_good_order() {
    let image = Image::builder(7).layers(&[1000, 2048]).build();
    let mut program = Running::start(&["--image", "a/b:1=7:1kB,2KiB", "--image", "c:2=8:0"]);
    let printed = program.printed.join("\n");
    assert!(printed.contains(&format!("/a/b:1  {}", image.digest())), "{printed}");
    assert!(printed.contains(&format!("{}  1000 bytes", image.layers()[0].digest())), "{printed}");
    let url = program.url().to_owned();
    let response = client().get(format!("{url}/v2/a/b/manifests/1")).send().await.unwrap();
    assert_eq!(digest_of(&response.bytes().await.unwrap()), image.digest());
    assert_eq!(client().get(format!("{url}/v2/c/manifests/2")).send().await.unwrap().status(), 200);
    assert_eq!(program.terminate(), Some(0));
}

#[tokio::test]
async fn it_serves_a_demo_when_nothing_is_said() {
    let mut program = Running::start(&["--token-auth", "user:secret", "--redirect", "--latency", "1ms"]);
    assert!(program.printed.iter().any(|line| line.contains("/library/demo:latest  sha256:")));
    let url = program.url().to_owned();
    assert_eq!(client().get(format!("{url}/v2/")).send().await.unwrap().status(), 401);
    let token = format!("{url}/token?service=synthetic");
    assert_eq!(client().get(&token).send().await.unwrap().status(), 401);
    assert_eq!(client().get(&token).basic_auth("user", Some("secret")).send().await.unwrap().status(), 200);
    assert_eq!(program.terminate(), Some(0));
}

#[tokio::test]
async fn it_speaks_tls_and_tells_how_to_trust_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let mut program = Running::start(&["--tls", &path, "--http", "1.1", "--require-client-certificate"]);
    let ca = directory.path().join("ca.pem");
    assert!(program.printed.contains(&format!("trust it by {}", ca.display())), "{:?}", program.printed);
    let read = |name: &str| std::fs::read(directory.path().join(name)).unwrap();
    let identity = reqwest::Identity::from_pem(&[read("client.pem"), read("client.key")].concat()).unwrap();
    drop(client());
    let trusted = reqwest::Certificate::from_pem(&read("ca.pem")).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).identity(identity).build().unwrap();
    let response = client.get(format!("{}/v2/", program.url())).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_11));
    assert_eq!(program.terminate(), Some(0));
}

#[tokio::test]
async fn it_plays_a_registry_and_a_scenario_and_takes_other_wishes() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = directory.path().join("scenario.toml");
    std::fs::write(&scenario, "[[steps]]\nimages = [{ repository = \"late/x\", tag = \"1\" }]\n").unwrap();
    let path = scenario.display().to_string();
    let args = ["--profile", "harbor", "--basic-auth", "u:p", "--scenario", &path, "--stage-listen", "127.0.0.1:0"];
    let mut program = Running::start(&args);
    let printed = program.printed.join("\n");
    assert!(printed.contains("/proxy/library/demo:latest  sha256:"), "{printed}");
    let url = program.url().to_owned();
    let challenged = client().get(format!("{url}/v2/")).send().await.unwrap();
    assert_eq!(challenged.headers()["www-authenticate"], "Basic realm=\"synthetic\"");
    let late = || client().get(format!("{url}/v2/proxy/late/x/manifests/1")).basic_auth("u", Some("p"));
    while late().send().await.unwrap().status() != 200 {}
    let stage = program.printed.iter().find_map(|line| line.strip_prefix("stage at ")).unwrap();
    assert_eq!(client().post(format!("{stage}down")).send().await.unwrap().status(), 204);
    assert!(late().send().await.is_err());
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn bad_usage_has_its_own_exit_code() {
    for args in [
        &["upstream", "--image", "nonsense"][..],
        &["no-such-command"],
        &["upstream", "--fault", "{}"],
        &["upstream", "--http", "2"],
        &["upstream", "--fault", r#"{"effect":{"status":{"status":99}}}"#],
        &["upstream", "--profile", "no-such-registry"],
        &["upstream", "--scenario", "/no/such/file"],
        &["upstream", "--rate", r#"{"window_seconds":0}"#],
    ] {
        let output = Command::new(PROGRAM).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(Command::new(PROGRAM).arg("--help").output().unwrap().status.code(), Some(0));
}
