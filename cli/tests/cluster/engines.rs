//! The container engines that people pull with: each with folders and a socket of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Process, until};
use crate::stage::{Image, REGISTRY};
use crate::world::{PATIENCE, World};

/// How long one pull may take.
const PULL: Duration = Duration::from_secs(120);

/// An engine that pulls.
#[derive(Debug)]
pub(crate) struct Engine {
    name: &'static str,
    /// What a pull's command line begins with.
    command: Vec<String>,
    logs: PathBuf,
    /// Held for its end.
    _daemon: Option<Process>,
    /// A folder that it needs elsewhere; goes with it.
    _runroot: Option<tempfile::TempDir>,
}

/// A pull that is under way.
pub(crate) struct Pull {
    name: &'static str,
    process: Process,
    logs: PathBuf,
}

fn found(program: &str) -> bool {
    let found = Command::new("/bin/sh").args(["-c", &format!("command -v {program} >/dev/null")]).status();
    found.is_ok_and(|status| status.success())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

async fn answers(daemon: &mut Process, words: &[&str]) {
    until("an engine answers", PATIENCE, async || {
        daemon.must_run();
        Command::new(words[0]).args(&words[1..]).output().is_ok_and(|output| output.status.success())
    })
    .await;
}

impl Engine {
    /// All engines that there are; of others it is printed that they are missing.
    pub(crate) async fn all(world: &World) -> Vec<Self> {
        let (folder, logs) = (world.path().join("engines"), world.logs());
        std::fs::create_dir(&folder).unwrap();
        let mut engines = Vec::new();
        for (name, programs) in
            [("docker", &["dockerd", "docker"][..]), ("podman", &["podman"]), ("containerd", &["containerd", "ctr"])]
        {
            match programs.iter().find(|program| !found(program)) {
                Some(missing) => println!("    skipped: a pull by {name}: there is no {missing}"),
                None => engines.push(Self::start(name, &folder.join(name), &logs).await),
            }
        }
        engines
    }

    async fn start(name: &'static str, folder: &Path, logs: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let at = |part: &str| folder.join(part).display().to_string();
        let mut runroot = None;
        let (daemon, command) = match name {
            "docker" => {
                let socket = format!("unix://{}", at("socket"));
                let mut command = Command::new("dockerd");
                command.args(["--host", &socket, "--data-root", &at("data"), "--exec-root", &at("exec")]);
                command.args(["--pidfile", &at("pid"), "--config-file", &at("daemon.json")]);
                command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
                command.arg("--ip-masq=false");
                std::fs::write(folder.join("daemon.json"), "{}").unwrap();
                let mut daemon = Process::start("dockerd", command, logs);
                answers(&mut daemon, &["docker", "--host", &socket, "version"]).await;
                (Some(daemon), words(&["docker", "--host", &socket, "pull", "-q"]))
            }
            "containerd" => {
                let socket = at("socket");
                let settings = format!(
                    "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
                     [grpc]\naddress = \"{socket}\"\n",
                    at("root"),
                    at("state"),
                );
                std::fs::write(folder.join("config.toml"), settings).unwrap();
                let mut command = Command::new("containerd");
                command.args(["--config", &at("config.toml")]);
                let mut daemon = Process::start("containerd", command, logs);
                answers(&mut daemon, &["ctr", "--address", &socket, "version"]).await;
                (Some(daemon), words(&["ctr", "--address", &socket, "images", "pull", "--plain-http"]))
            }
            _ => {
                // It takes no path of more than 50 characters there.
                let short = tempfile::Builder::new().prefix("rs-").tempdir_in("/tmp").unwrap();
                let (root, run) = (at("root"), short.path().display().to_string());
                runroot = Some(short);
                let command = ["podman", "--root", &root, "--runroot", &run, "pull", "-q", "--tls-verify=false"];
                (None, words(&command))
            }
        };
        Self { name, command, logs: logs.to_owned(), _daemon: daemon, _runroot: runroot }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Begins to pull an image from there.
    pub(crate) fn pull(&mut self, image: &Image, from: SocketAddr) -> Pull {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg(format!("{from}/{REGISTRY}/{}", image.name));
        let process = Process::start(&format!("{}-pull", self.name), command, &self.logs);
        Pull { name: self.name, process, logs: self.logs.clone() }
    }
}

impl Pull {
    /// Waits for its end, which has to be a good one; how long after `began` that was.
    pub(crate) async fn ended(mut self, began: Instant) -> Duration {
        until("an engine has pulled", PULL, async || !self.process.runs()).await;
        let took = began.elapsed();
        let log = std::fs::read_to_string(self.logs.join(format!("{}-pull.log", self.name))).unwrap_or_default();
        assert!(self.process.succeeded(), "{} failed: {log}", self.name);
        took
    }
}
