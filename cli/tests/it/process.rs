//! A running `roadstead`: its lines, its signals, its end.

use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything is waited for: a test that hangs says nothing, one that panics says why.
const PATIENCE: Duration = Duration::from_secs(30);

/// Variables that would make a test depend on who runs it.
const FOREIGN: [&str; 15] = [
    "ROADSTEAD_ADMIN_TOKEN",
    "ROADSTEAD_SECRET_KEY",
    "ROADSTEAD_NODE",
    "ROADSTEAD_TLS_CA",
    "ROADSTEAD_TLS_CERT",
    "ROADSTEAD_TLS_KEY",
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

/// `roadstead` with these arguments, in `directory`, and nothing of the tester's own environment.
pub(crate) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roadstead"));
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    command.current_dir(directory).args(args).stdin(Stdio::null());
    command
}

/// Runs it to its end and returns the exit code and what it said on standard error; for starts that are refused.
pub(crate) fn refused(command: Command) -> (Option<i32>, String) {
    let process = Roadstead::spawn(command);
    let Ended { code, printed, logged } = process.ended();
    assert!(printed.is_empty(), "a refused start has nothing to say but why: {printed}");
    (code, logged)
}

/// Lines as they arrive, from a thread of their own.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Arrived>, Condvar)>);

#[derive(Default)]
struct Arrived {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn of(source: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let arriving = lines.clone();
        thread::spawn(move || {
            let (arrived, changed) = &*arriving.0;
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                arrived.lock().unwrap().lines.push(line);
                changed.notify_all();
            }
            arrived.lock().unwrap().ended = true;
            changed.notify_all();
        });
        lines
    }

    /// The first line that fits.
    fn wait_for(&self, fits: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        let (arrived, changed) = &*self.0;
        let mut now = arrived.lock().unwrap();
        loop {
            if let Some(line) = now.lines.iter().find(|line| fits(line)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if now.ended || left.is_zero() {
                return Err(now.lines.join("\n"));
            }
            now = changed.wait_timeout(now, left).unwrap().0;
        }
    }

    /// Everything, once there will be no more.
    fn whole(&self) -> Option<String> {
        let (arrived, changed) = &*self.0;
        let (now, waited) = changed.wait_timeout_while(arrived.lock().unwrap(), PATIENCE, |now| !now.ended).unwrap();
        (!waited.timed_out()).then(|| now.lines.join("\n"))
    }
}

/// A process that serves; killed when dropped.
pub(crate) struct Roadstead {
    child: Child,
    printed: Lines,
    logged: Lines,
    /// What image names begin with, as printed.
    pub(crate) prefix: String,
    /// `http://…` of the listener for pulls, as printed.
    pub(crate) url: String,
    /// `http://…` of the admin listener, as printed.
    pub(crate) admin_url: String,
}

/// How a process ended, and all it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) printed: String,
    pub(crate) logged: String,
}

impl Roadstead {
    /// Starts it and waits for nothing.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = Lines::of(child.stdout.take().unwrap());
        let logged = Lines::of(child.stderr.take().unwrap());
        Self { child, printed, logged, prefix: String::new(), url: String::new(), admin_url: String::new() }
    }

    /// Starts it and waits until it has printed everything.
    pub(crate) fn start(command: Command) -> Self {
        Self::spawn(command).until_it_serves()
    }

    /// Waits until it has printed everything that a process prints that serves pulls.
    pub(crate) fn until_it_serves(self) -> Self {
        let mut started = self;
        started.printed_line("  docker pull ");
        started.prefix = started.field("Pull prefix");
        started.url = format!("http://{}", started.prefix.split_once('/').unwrap().0);
        started.admin_url = started.field("Metrics").strip_suffix("/metrics").unwrap().to_owned();
        started
    }

    /// The line that begins so.
    pub(crate) fn printed_line(&self, beginning: &str) -> String {
        self.printed.wait_for(|line| line.starts_with(beginning)).unwrap_or_else(|printed| {
            panic!("`{beginning}…` was not printed, but:\n{printed}\nand logged:\n{}", self.logged_so_far())
        })
    }

    /// What stands behind a label, up to the first space.
    pub(crate) fn field(&self, label: &str) -> String {
        let line = self.printed_line(&format!("  {label}"));
        let value = line.trim_start().strip_prefix(label).unwrap().trim_start();
        value.split(' ').next().unwrap().to_owned()
    }

    /// Waits for a log line with this text.
    pub(crate) fn logged(&self, text: &str) {
        let found = self.logged.wait_for(|line| line.contains(text));
        found.unwrap_or_else(|logged| panic!("`{text}` was not logged, but:\n{logged}"));
    }

    /// Everything printed so far.
    pub(crate) fn printed_so_far(&self) -> String {
        self.printed.0.0.lock().unwrap().lines.join("\n")
    }

    fn logged_so_far(&self) -> String {
        self.logged.0.0.lock().unwrap().lines.join("\n")
    }

    /// Sends a signal, as an operator would.
    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        // Both streams end with the process; waiting for them first bounds the wait for it.
        let (Some(printed), Some(logged)) = (self.printed.whole(), self.logged.whole()) else {
            panic!("it did not end; it logged:\n{}", self.logged_so_far());
        };
        Ended { code: self.child.wait().unwrap().code(), printed, logged }
    }

    /// Ends it in good order.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.logged);
        ended
    }

    /// Ends it as a loss of power would, as far as the process is concerned.
    pub(crate) fn kill(self) {
        self.signal("KILL");
        self.ended();
    }
}

impl Drop for Roadstead {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every regular file below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
