//! What is broken on purpose, to see that each invariant can fail. A check that never failed proves nothing.

use std::fs;
use std::io;
use std::path::Path;

/// Something that the real code rules out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// Who is told that somebody else holds a lease is told that it has one.
    EverybodyLeads,
    /// Every grant has the same token.
    OneToken,
    /// The network between gateways and clients changes bytes.
    WrongBytes,
    /// The disks of all nodes go back to an earlier time: they had said that they synced, and had not.
    DisksForget,
    /// A watch tells old news between new ones.
    OldNews,
    /// Gateways crash and nobody starts them again.
    NobodyStarts,
}

/// What is broken, the scenario and seed in which it shows, and the invariant that has to notice.
pub(crate) struct Trial {
    pub(crate) name: &'static str,
    pub(crate) sabotage: Sabotage,
    pub(crate) scenario: &'static str,
    pub(crate) violates: &'static str,
}

/// One trial for each invariant at least.
pub(crate) const TRIALS: [Trial; 7] = [
    Trial {
        name: "everybody-leads",
        sabotage: Sabotage::EverybodyLeads,
        scenario: "herd",
        violates: "one download per source and digest while the leader lives",
    },
    Trial { name: "wrong-bytes", sabotage: Sabotage::WrongBytes, scenario: "smoke", violates: "no wrong byte ever" },
    Trial {
        name: "one-token",
        sabotage: Sabotage::OneToken,
        scenario: "herd",
        violates: "fencing tokens strictly increase",
    },
    Trial {
        name: "older-completes",
        sabotage: Sabotage::EverybodyLeads,
        scenario: "gateway_loss",
        violates: "no older token ever completes",
    },
    Trial {
        name: "disks-forget",
        sabotage: Sabotage::DisksForget,
        scenario: "smoke",
        violates: "acknowledged configuration survives",
    },
    Trial {
        name: "old-news",
        sabotage: Sabotage::OldNews,
        scenario: "smoke",
        violates: "revisions are monotonic per watcher",
    },
    Trial {
        name: "nobody-starts",
        sabotage: Sabotage::NobodyStarts,
        scenario: "smoke",
        violates: "every pull ends once everything is well",
    },
];

/// The sabotage of the trial `name`.
pub(crate) fn named(name: &str) -> Option<Sabotage> {
    TRIALS.iter().find(|trial| trial.name == name).map(|trial| trial.sabotage)
}

/// Copies the files of a directory, over what is there.
pub(crate) fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
