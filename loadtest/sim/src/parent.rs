//! Many runs, each in a process of its own: nothing of a run may reach the next one, and a panic is one run's.
//!
//! Before any result is believed, each scenario is run twice under its first seed with everything traced: unless both
//! traces are the same number, nothing else is run. Then each invariant is shown to fail where something is broken on purpose.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sabotage::{TRIALS, Trial};
use crate::scenario;

/// Numbers the folders of this process's runs.
static FOLDERS: AtomicU64 = AtomicU64::new(0);

struct Job {
    scenario: String,
    seed: u64,
}

/// Proves, then runs every scenario under every seed.
pub(crate) fn run(seeds: Range<u64>, scenarios: &[String], jobs: usize) -> ExitCode {
    let scenarios: Vec<String> = match scenarios {
        [] => scenario::NAMES.map(str::to_owned).to_vec(),
        named => named.to_vec(),
    };
    if let Some(unknown) = scenarios.iter().find(|name| scenario::of(name, 0).is_none()) {
        eprintln!("there is no scenario `{unknown}`; there are {}", scenario::NAMES.join(", "));
        return ExitCode::from(64);
    }
    let first: VecDeque<Job> =
        scenarios.iter().map(|scenario| Job { scenario: scenario.clone(), seed: seeds.start }).collect();
    let is_well = Mutex::new(true);
    let note = |well: bool| *is_well.lock().expect("nobody panics with it") &= well;
    if !at_once(jobs, first, |job| repeats(job, note)) {
        println!("what does not repeat itself proves nothing: no further run was made");
        return ExitCode::FAILURE;
    }
    note(at_once(jobs, TRIALS.iter().collect(), |trial| is_caught(trial)));
    let rest = seeds.skip(1).flat_map(|seed| scenarios.iter().map(move |name| Job { scenario: name.clone(), seed }));
    note(at_once(jobs, rest.collect(), one));
    let is_well = *is_well.lock().expect("nobody panics with it");
    println!("{}", if is_well { "everything held" } else { "something did not hold" });
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does `act` on all, some at the same time; whether all went well.
fn at_once<T: Send>(jobs: usize, queue: VecDeque<T>, act: impl Fn(&T) -> bool + Sync) -> bool {
    let (queue, all_well) = (Mutex::new(queue), Mutex::new(true));
    let next = || queue.lock().expect("nobody panics with it").pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let is_well = act(&job);
                    *all_well.lock().expect("nobody panics with it") &= is_well;
                }
            });
        }
    });
    all_well.into_inner().expect("nobody panics with it")
}

/// A directory that goes with this value. Its name differs from run to run; the runs themselves never see it.
struct Folder(PathBuf);

impl Folder {
    fn new(job: &Job) -> io::Result<Self> {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("roadstead-sim-{}-{}-{}-{number}", std::process::id(), job.scenario, job.seed);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn child(job: &Job, arguments: &[&str]) -> io::Result<Output> {
    let folder = Folder::new(job)?;
    let program = std::env::current_exe()?;
    command(&program, &folder.0, job).args(arguments).output()
}

fn command(program: &Path, folder: &Path, job: &Job) -> Command {
    let mut command = Command::new(program);
    // The environment reaches a run in no way: what is found in it could differ.
    command.env_clear().current_dir(folder);
    command.args(["one", "--scenario", &job.scenario, "--seed", &job.seed.to_string()]);
    command
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

/// Says what came of a run; whether it went well.
fn told(job: &Job, ran: &io::Result<Output>) -> bool {
    let Job { scenario, seed } = job;
    match ran {
        Ok(output) if output.status.success() => {
            println!("ok       {scenario} {seed}: {}", last_line(output));
            true
        }
        Ok(output) => {
            println!("FAILED   {scenario} {seed}: {}", output.status);
            print!("{}", String::from_utf8_lossy(&output.stdout));
            print!("{}", String::from_utf8_lossy(&output.stderr));
            println!("again:   cargo run -- one --scenario {scenario} --seed {seed} --history-to history.txt");
            false
        }
        Err(error) => {
            println!("FAILED   {scenario} {seed}: {error}");
            false
        }
    }
}

fn one(job: &Job) -> bool {
    told(job, &child(job, &[]))
}

/// Whether a run repeats itself; whether it went well is noted apart.
fn repeats(job: &Job, note: impl Fn(bool)) -> bool {
    let runs = [(); 2].map(|()| child(job, &["--trace"]));
    note(told(job, &runs[0]));
    let lines = runs.map(|ran| ran.map(|output| last_line(&output)).unwrap_or_default());
    let repeats = lines[0] == lines[1] && lines[0].contains("trace");
    if !repeats {
        println!("DIFFERS  {} {}:\n  {}\n  {}", job.scenario, job.seed, lines[0], lines[1]);
    }
    repeats
}

/// Whether the invariant that has to notice does.
fn is_caught(trial: &Trial) -> bool {
    let job = Job { scenario: trial.scenario.to_owned(), seed: 0 };
    let ran = child(&job, &["--sabotage", trial.name]);
    let said = ran.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let is_caught = said.contains(&format!("violated {}", trial.violates));
    let verdict = if is_caught { "caught  " } else { "MISSED  " };
    println!("{verdict} {}: {}", trial.name, trial.violates);
    is_caught
}
