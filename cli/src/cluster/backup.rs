//! The whole metadata into a file, and from a file into a new directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use roadstead_proto::wire::pb::admin::v1::SnapshotRequest;
use tokio::time::timeout;

use super::call::{Admin, CallError};
use super::flags::Restore;
use super::progress;
use crate::written::shell_word;

/// How long no byte may come.
const SILENCE: Duration = Duration::from_secs(60);
/// How often it is said how much has come.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The node.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The file.
    #[error("cannot write {}; nothing is there but what was there before", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file or the directory.
    #[error(transparent)]
    Restore(#[from] roadstead_node::RestoreError),
    /// The stream ended before anything came.
    #[error("the node sent an empty snapshot; see its log")]
    Empty,
}

/// Copies the metadata into `out`, which is there whole or not at all.
pub(super) async fn snapshot(admin: &Admin, out: &Path, local: bool) -> Result<String, BackupError> {
    const DOING: &str = "copy the metadata";
    let mut client = admin.client()?;
    let mut pieces = admin.answer(DOING, SILENCE, client.snapshot(SnapshotRequest { local })).await?;
    let failed = |source| BackupError::Write { path: out.to_owned(), source };
    let mut part = Part::create(out).map_err(failed)?;
    let (mut size, mut told) = (0_u64, Instant::now());
    loop {
        let piece = timeout(SILENCE, pieces.message()).await;
        let piece =
            piece.map_err(|_| CallError::Late { doing: DOING, node: admin.node().clone(), patience: SILENCE })?;
        let Some(piece) = piece.map_err(|status| admin.failed(DOING, &status))? else { break };
        part.file.write_all(&piece.data).map_err(failed)?;
        size += piece.data.len() as u64;
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            progress(format_args!("{} MiB so far", size >> 20));
        }
    }
    if size == 0 {
        return Err(BackupError::Empty);
    }
    part.keep().map_err(failed)?;
    Ok(format!(
        "Wrote {size} bytes to {}. It holds names, addresses and encrypted passwords: keep it, and the secret key, where only \
         you can read them.\n",
        shell_word(out)
    ))
}

/// Makes the data directory of a new cluster's first node.
pub(super) fn restore(restore: &Restore) -> Result<String, BackupError> {
    let Restore { snapshot, data_dir, node_id, address } = restore;
    progress(format_args!("reading {}", snapshot.display()));
    let cluster = roadstead_node::restore(data_dir, snapshot, *node_id, &address.to_string())?;
    let data_dir = shell_word(data_dir);
    Ok(format!(
        "Made {data_dir}, of cluster {cluster} with node {node_id} as its only member.\n\n\
         Next, start that node, and add others with empty directories to it:\n\n  \
         roadstead node --node-id {node_id} --data-dir {data_dir} --address {address} ...\n  \
         roadstead cluster add --node {address} --id NUMBER --address HOST:PORT\n"
    ))
}

/// A file that does not have its name yet; gone when it is dropped before.
struct Part {
    file: File,
    path: PathBuf,
    name: PathBuf,
}

impl Part {
    fn create(name: &Path) -> io::Result<Self> {
        let mut path = name.to_owned().into_os_string();
        path.push(".part");
        let path = PathBuf::from(path);
        // Whoever runs twice at once is to be told, not to get a mixture; what a killed one left has to be removed by hand.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, name: name.to_owned() })
    }

    fn keep(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.name)?;
        let folder = self.name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Where it was kept there is nothing of this name any more.
        let _ = fs::remove_file(&self.path);
    }
}
