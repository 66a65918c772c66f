//! What stays free of a disk: below it, nothing more is stored. A cache can do without the next blob; whatever else lives on
//! the same disk, the metadata first, cannot do without its next write.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

/// Bytes of a file system that are left to others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor(pub u64);

impl Floor {
    /// Whether `bytes` more may be written to the file system on which `file` is. Cheap: one call into the kernel, and
    /// nothing is read from the disk.
    ///
    /// # Errors
    /// [`ErrorKind::StorageFull`] where less than the floor would be left; else why it cannot be told.
    pub fn admit(self, file: impl AsFd, bytes: u64) -> io::Result<()> {
        if self.0 == 0 {
            return Ok(());
        }
        let disk = rustix::fs::fstatvfs(file)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= self.0.saturating_add(bytes) {
            return Ok(());
        }
        let left = TooLittleLeft { free, floor: self.0 };
        Err(io::Error::new(ErrorKind::StorageFull, left))
    }
}

/// The disk has less left than stays free.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the disk has {free} bytes left, and {floor} stay free (min_free_space): make room, or lower it")]
struct TooLittleLeft {
    free: u64,
    floor: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_floor_is_refused_as_a_full_disk_is() {
        let file = tempfile::tempfile().unwrap();
        Floor(0).admit(&file, u64::MAX).unwrap();
        Floor(1).admit(&file, 1).unwrap();
        for (floor, bytes) in [(1, u64::MAX), (u64::MAX, 0), (1 << 60, 1)] {
            let error = Floor(floor).admit(&file, bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            assert!(error.to_string().contains("min_free_space"), "{error}");
        }
    }
}
