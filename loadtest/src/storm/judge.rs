//! Scenario and observed → what is wrong. Pure.

use std::fmt;

use serde::Serialize;

use super::answers::judge_answers;
use super::observed::{Exit, Observed, Process};
use super::run::{CENSUS_SLACK, is_back};
use super::scenario::Scenario;
use super::traffic::{Traffic, judge_traffic};
use crate::image::Image;

/// Most memory of a gateway whose content is some megabytes: what it takes empty, all of the content, and as much again
/// for what is on its way to 64 clients.
const MEMORY_MAX: u64 = 256 * 1024 * 1024;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The rule that was broken.
    pub rule: Rule,
    /// By what.
    pub what: String,
}

/// What has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// No answer ends cleanly with bytes that are not the right ones.
    WrongBytes,
    /// Headers tell what comes.
    WrongHeaders,
    /// Everything comes to an end.
    Hung,
    /// A refusal says why, in the way of the distribution specification.
    UnclearRefusal,
    /// Nothing fails that no fault has touched.
    Unfounded,
    /// When the faults are gone, everything can be pulled.
    NotRecovered,
    /// What was pulled is served without the upstream.
    AskedAgain,
    /// A download that breaks off is continued, not begun anew.
    BegunAnew,
    /// The upstream sends everything once, but for what faults force.
    TooManyBytes,
    /// Nothing of a download stays behind: no count, no file, no descriptor, no task.
    LeftBehind,
    /// Memory is bounded.
    Memory,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// What the requests of clients came to, and what the upstream sent for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests that got all that they asked for.
    pub completed: u64,
    /// Requests that were refused with an error.
    pub refused: u64,
    /// Requests whose connection broke off.
    pub aborted: u64,
    /// Requests whose client left.
    pub left: u64,
    /// Parts of a blob that ended cleanly with a wrong byte of the upstream's: they lie before the part that waits for the
    /// verdict, and stream as they arrive.
    pub unverified_parts: u64,
    /// What the upstream was to send, and sent.
    pub traffic: Traffic,
    /// The most memory of a gateway.
    pub peak_bytes: u64,
}

impl Summary {
    /// Adds those of another scenario.
    pub fn add(&mut self, other: &Summary) {
        self.completed += other.completed;
        self.refused += other.refused;
        self.aborted += other.aborted;
        self.left += other.left;
        self.unverified_parts += other.unverified_parts;
        self.traffic.content += other.traffic.content;
        self.traffic.sent += other.traffic.sent;
        self.traffic.forced += other.traffic.forced;
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
    }
}

/// What comes of a scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// What is wrong; nothing, if all is well.
    pub violations: Vec<Violation>,
    /// What it came to.
    pub summary: Summary,
}

impl Verdict {
    pub(super) fn complain(&mut self, rule: Rule, what: impl fmt::Display) {
        self.violations.push(Violation { rule, what: what.to_string() });
    }
}

/// Judges what was observed of a scenario.
pub fn judge(scenario: &Scenario, observed: &Observed) -> Verdict {
    judge_with(scenario, &scenario.build_images(), observed)
}

pub(super) fn judge_with(scenario: &Scenario, images: &[Image], observed: &Observed) -> Verdict {
    let mut verdict = Verdict::default();
    judge_answers(scenario, images, observed, &mut verdict);
    judge_traffic(scenario, images, &observed.pages, &mut verdict);
    for (image, why) in &observed.unrecovered {
        verdict.complain(Rule::NotRecovered, format!("image {image}: {why}"));
    }
    if observed.asked_again > 0 {
        let what = format!("the upstream was asked {} times for what had been pulled", observed.asked_again);
        verdict.complain(Rule::AskedAgain, what);
    }
    judge_process(&observed.gateway, &mut verdict);
    verdict
}

fn judge_process(process: &Process, verdict: &mut Verdict) {
    for name in ["roadstead_fills_running", "roadstead_unrecorded"] {
        if let Some(value) = process.metrics.get(name).filter(|value| **value != 0.0) {
            verdict.complain(Rule::LeftBehind, format!("{name} is {value} at the end"));
        }
    }
    for file in &process.leftovers {
        verdict.complain(Rule::LeftBehind, format!("the file {file}"));
    }
    let Process { before, after, .. } = process;
    if !is_back(*before, *after, process.lingered) {
        let what = format!("open at the start {before:?}, at the end {after:?}, of which {CENSUS_SLACK} may be new");
        verdict.complain(Rule::LeftBehind, what);
    }
    if process.exit != Exit::Code(0) {
        verdict.complain(Rule::LeftBehind, format!("on SIGTERM it ended with {:?}: a task did not end", process.exit));
    }
    if process.peak_bytes > MEMORY_MAX {
        verdict.complain(Rule::Memory, format!("{} bytes at once, {MEMORY_MAX} may be", process.peak_bytes));
    }
    verdict.summary.peak_bytes = process.peak_bytes;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::storm::observed::Census;

    fn well() -> Process {
        let census = Census { sockets: 3, others: 20, threads: 5 };
        Process { before: census, after: census, exit: Exit::Code(0), peak_bytes: 1, ..Process::default() }
    }

    fn rules(process: &Process) -> Vec<Rule> {
        let mut verdict = Verdict::default();
        judge_process(process, &mut verdict);
        verdict.violations.into_iter().map(|violation| violation.rule).collect()
    }

    #[test]
    fn nothing_stays_behind() {
        assert_eq!(rules(&well()), []);
        let metrics = BTreeMap::from([("roadstead_fills_running".to_owned(), 1.0)]);
        let more = |sockets, others, threads| Census { sockets, others, threads };
        for process in [
            Process { metrics, ..well() },
            Process { leftovers: vec!["blobs/sha256/00.1#2".to_owned()], ..well() },
            Process { after: more(8, 20, 5), ..well() },
            Process { after: more(3, 25, 5), ..well() },
            Process { after: more(3, 20, 50), lingered: true, ..well() },
            Process { exit: Exit::Code(1), ..well() },
            Process { exit: Exit::Never, ..well() },
        ] {
            assert_eq!(rules(&process), [Rule::LeftBehind], "{process:?}");
        }
        // Threads of a pool end when nobody has needed them for a while.
        assert_eq!(rules(&Process { after: more(3, 20, 50), ..well() }), []);
    }

    #[test]
    fn memory_is_bounded() {
        assert_eq!(rules(&Process { peak_bytes: MEMORY_MAX + 1, ..well() }), [Rule::Memory]);
    }

    #[test]
    fn everything_can_be_pulled_afterwards_and_without_the_upstream() {
        let scenario = Scenario::from_seed(1);
        let judged = |observed: Observed| {
            let observed = Observed { gateway: well(), ..observed };
            judge(&scenario, &observed).violations.into_iter().map(|violation| violation.rule).collect::<Vec<_>>()
        };
        assert_eq!(judged(Observed::default()), []);
        let unrecovered = vec![(0, "404".to_owned())];
        assert_eq!(judged(Observed { unrecovered, ..Observed::default() }), [Rule::NotRecovered]);
        assert_eq!(judged(Observed { asked_again: 1, ..Observed::default() }), [Rule::AskedAgain]);
    }
}
