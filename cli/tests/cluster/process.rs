//! One process of a cluster: started, killed, ended, and its log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long an end in good order may take.
const END: Duration = Duration::from_secs(30);
/// Pause between two looks at something that is about to change.
const GLANCE: Duration = Duration::from_millis(20);
/// What a failed trial shows of each log.
const SHOWN: usize = 60;

/// Variables that would make a trial depend on who runs it.
const FOREIGN: [&str; 11] = [
    "ROADSTEAD_ADMIN_TOKEN",
    "ROADSTEAD_SECRET_KEY",
    "RUST_LOG",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// A process that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says is added to `NAME.log` in the folder.
    pub(crate) fn start(name: &str, mut command: Command, logs: &Path) -> Self {
        for variable in FOREIGN {
            let wanted = command.get_envs().any(|(name, _)| name == variable);
            if !wanted {
                command.env_remove(variable);
            }
        }
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", command.get_program()));
        Self { name: name.to_owned(), child, log }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still there.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether it has ended well.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some_and(|status| status.success())
    }

    /// Ends it as a loss of power would, as far as the process is concerned.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Sends a signal, as an operator would.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Ends it in good order, and panics if it does not end so.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM");
        let until = Instant::now() + END;
        while self.runs() {
            assert!(Instant::now() < until, "{} did not end within {END:?}", self.name);
            tokio::time::sleep(GLANCE).await;
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// Panics if it has ended, with the end of its log.
    pub(crate) fn must_run(&mut self) {
        if !self.runs() {
            panic!("{} has ended:\n{}", self.name, end_of(&self.log, SHOWN));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
fn end_of(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let shown = all[all.len().saturating_sub(lines)..].iter().map(|line| {
        let end = line.char_indices().nth(400).map_or(line.len(), |(end, _)| end);
        &line[..end]
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// Prints the end of every log, for a trial that failed.
pub(crate) fn show_logs(logs: &Path) {
    let Ok(entries) = fs::read_dir(logs) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        println!("\n--- the end of {} ---\n{}", path.display(), end_of(&path, SHOWN));
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, patience: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        tokio::time::sleep(GLANCE).await;
    }
    began.elapsed()
}
