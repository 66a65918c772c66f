//! The gateway's process: started, looked at from outside, ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::observed::{Census, Exit};
use super::run::StormError;
use super::scenario::AuthPlan;
use crate::measure::process::peak_resident;
use crate::registry::Credentials;

/// How long a start or an end may take. Ends are the gateway's own test of its tasks: one that never ends keeps it from
/// ending.
const PATIENCE: Duration = Duration::from_secs(20);

/// Pause between two looks at something that is about to change.
pub(super) const GLANCE: Duration = Duration::from_millis(20);

/// Which gateway is tested.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `roadstead` binary.
    pub program: PathBuf,
}

/// A running gateway with a data directory of its own; killed when dropped.
#[derive(Debug)]
pub(super) struct Gateway {
    child: Child,
    folder: PathBuf,
    /// What comes before a repository where clients pull.
    pub(super) base: String,
    admin: String,
}

/// What the upstream wants to see of users.
pub(super) fn credentials() -> Credentials {
    Credentials::new("storm", "storm's password")
}

impl Gateway {
    /// Starts `roadstead serve` in a folder, in front of that upstream, and waits until it is ready.
    pub(super) async fn start(
        setup: &Setup,
        folder: &Path,
        upstream: &str,
        auth: AuthPlan,
    ) -> Result<Self, StormError> {
        let user = match auth {
            AuthPlan::Basic | AuthPlan::Token(_) => {
                format!("username = \"{}\"\npassword_env = \"STORM_PASSWORD\"\n", credentials().user)
            }
            AuthPlan::Open | AuthPlan::AnonymousToken(_) => String::new(),
        };
        let settings = format!(
            "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = \"{}\"\n\
             allow_upstream_networks = [\"127.0.0.0/8\"]\n\n\
             [[upstream]]\nname = \"storm\"\nurl = \"{upstream}\"\n{user}",
            folder.join("data").display()
        );
        let config = folder.join("serve.toml");
        fs::write(&config, settings)?;
        let printed = folder.join("printed");
        let child = Command::new(&setup.program)
            .args(["serve", "--config"])
            .arg(&config)
            .env("STORM_PASSWORD", credentials().password)
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(File::create(&printed)?)
            .stderr(File::create(folder.join("log"))?)
            .spawn()
            .map_err(|error| StormError::Start(setup.program.clone(), error.to_string()))?;
        let mut gateway = Self { child, folder: folder.to_owned(), base: String::new(), admin: String::new() };
        let until = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&printed)?;
            let word = |label: &str| {
                let line = text.lines().find_map(|line| line.trim_start().strip_prefix(label))?;
                // The line may not have been written to its end.
                text.contains("  Data ").then(|| line.trim().to_owned())
            };
            if let (Some(address), Some(admin)) = (word("Pull prefix"), word("Metrics")) {
                let (host, registry) = address.split_once('/').unwrap_or((&address, ""));
                gateway.base = format!("http://{host}/v2/{}", registry.trim_end_matches('/'));
                gateway.admin = admin;
                return Ok(gateway);
            }
            if gateway.child.try_wait()?.is_some() || Instant::now() > until {
                let log = fs::read_to_string(folder.join("log"))?;
                return Err(StormError::Start(setup.program.clone(), log));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// What it has open.
    pub(super) fn census(&self) -> io::Result<Census> {
        let process = PathBuf::from(format!("/proc/{}", self.child.id()));
        let mut census = Census { threads: fs::read_dir(process.join("task"))?.count(), ..Census::default() };
        for entry in fs::read_dir(process.join("fd"))? {
            // It may be closed in this very moment.
            let Ok(target) = fs::read_link(entry?.path()) else { continue };
            if target.to_string_lossy().starts_with("socket:") {
                census.sockets += 1;
            } else {
                census.others += 1;
            }
        }
        Ok(census)
    }

    /// Its metrics, summed over their labels.
    pub(super) async fn metrics(&self, http: &reqwest::Client) -> Result<BTreeMap<String, f64>, StormError> {
        let text = http.get(&self.admin).send().await?.error_for_status()?.text().await?;
        Ok(sums(&text))
    }

    /// The most memory that it has held.
    pub(super) fn peak(&self) -> io::Result<u64> {
        peak_resident(&[self.child.id()])
    }

    /// Files of downloads and uploads that have ended.
    pub(super) fn leftovers(&self) -> io::Result<Vec<String>> {
        let data = self.folder.join("data");
        let mut found = Vec::new();
        for (folder, only) in [("spool", ""), ("uploads", ""), ("blobs", "#")] {
            list(&data.join(folder), only, &mut found)?;
        }
        Ok(found)
    }

    /// Asks it to end, and waits until it has.
    pub(super) async fn stop(&mut self) -> io::Result<Exit> {
        // The shell's own: the standard library sends no signals.
        Command::new("/bin/sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status()?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code().map_or(Exit::Signal, Exit::Code));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(Exit::Never)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Ended already, in the ordinary case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The files below a folder whose names contain a text.
fn list(folder: &Path, containing: &str, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, containing, found)?;
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().contains(containing)) {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Prometheus text format: name → sum over all its lines.
fn sums(text: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
        if let Some(value) = value {
            *sums.entry(name.to_owned()).or_default() += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_their_labels() {
        let text = "# HELP a help 1\na{x=\"1 2\"} 3\na{x=\"2\"} 4\nb 5\n";
        assert_eq!(sums(text), BTreeMap::from([("a".to_owned(), 7.0), ("b".to_owned(), 5.0)]));
    }

    #[test]
    fn files_are_found_by_what_their_names_contain() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sha256")).unwrap();
        fs::write(folder.path().join("sha256/00.1"), "").unwrap();
        fs::write(folder.path().join("sha256/00.1#3"), "").unwrap();
        let mut found = Vec::new();
        list(folder.path(), "#", &mut found).unwrap();
        list(&folder.path().join("no-such-folder"), "", &mut found).unwrap();
        assert_eq!(found, [folder.path().join("sha256/00.1#3").display().to_string()]);
    }
}
