//! Small files that are written once: whole, durably, and never over another one. Most are for this user alone.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use roadstead_proto::domain::secret::Secret;

/// Read and write for the owner, nothing for anybody else.
const OWNER_ONLY: u32 = 0o600;
/// And read for everybody else.
const PUBLIC: u32 = 0o644;
/// No file of ours comes near this; stops a wrong file from being read whole.
const LENGTH_MAX: u64 = 4096;

/// A file that was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its content, without white space around it.
    pub(crate) content: Secret,
    /// Whether others than its owner may read or write it.
    pub(crate) open_to_others: bool,
}

/// Reads a file; `None` if it is not there.
pub(crate) fn read(path: &Path) -> io::Result<Option<Found>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let open_to_others = file.metadata()?.permissions().mode() & 0o077 != 0;
    let mut text = String::new();
    file.take(LENGTH_MAX).read_to_string(&mut text)?;
    Ok(Some(Found { content: Secret::new(text.trim()), open_to_others }))
}

/// Writes a file for its owner alone, that is not there yet.
///
/// Only one process at a time may do this in a directory.
pub(crate) fn create(path: &Path, content: &Secret) -> io::Result<()> {
    write(path, content.expose(), OWNER_ONLY)
}

/// The same for what anybody may read.
pub(crate) fn create_public(path: &Path, content: &str) -> io::Result<()> {
    write(path, content, PUBLIC)
}

/// Durable: after a crash the file is there whole, or not at all.
fn write(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let part = path.with_extension("part");
    // Left by a crash; it may have been created with another mode.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The mode counts from the first moment: nobody can open the file before it is narrowed.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content.trim_end().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    // A link, unlike a rename, never replaces a file.
    let linked = fs::hard_link(&part, path);
    fs::remove_file(&part)?;
    linked?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_by_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        assert_eq!(read(&path).unwrap(), None);
        fs::write(path.with_extension("part"), "left by a crash").unwrap();
        create(&path, &Secret::new("rst_x")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"rst_x\n");
        assert_eq!(read(&path).unwrap().unwrap(), Found { content: Secret::new("rst_x"), open_to_others: false });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        create(&path, &Secret::new("first")).unwrap();
        assert_eq!(create(&path, &Secret::new("second")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path).unwrap().unwrap().content.expose(), "first");
    }

    #[test]
    fn a_file_that_others_may_read_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, " text \n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap().unwrap().open_to_others);
    }
}
