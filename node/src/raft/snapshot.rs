//! The snapshot file: written from one read transaction, verified, loaded.
//!
//! A sequence of length-delimited `SnapshotRecord`: one header, the rows in key order, one trailer with their number and
//! the SHA-256 of everything before it. A file is built under another name and takes its place by rename, complete
//! and synced; whoever is sending the old one keeps it open.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message;
use roadstead_proto::wire::pb::raft::v1 as pb;
use sha2::{Digest, Sha256};

use super::codec::Stored;
use super::{LogId, Snapshot, SnapshotMeta, StoredMembership};
use crate::store::files::{damaged, failed, replace};
use crate::store::keys::{PART_SUFFIX, SNAPSHOT_FILE, SNAPSHOT_FORMAT};
use crate::store::rows::TABLE_ID_BYTES;
use crate::store::state::{Head, View};

/// Longest record accepted. Rows are bounded by the largest manifest; the rest is slack.
const RECORD_BYTES_MAX: u64 = 64 << 20;

/// The snapshots of a directory: the current one, and those on their way.
pub(crate) struct Snapshots {
    directory: PathBuf,
    current: Mutex<Option<SnapshotMeta>>,
    parts: AtomicU64,
}

impl Snapshots {
    /// Finds the current snapshot of a directory.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(SNAPSHOT_FILE);
        let current = if path.exists() { Some(Reader::open(File::open(path)?)?.meta()?) } else { None };
        Ok(Self { directory: directory.to_owned(), current: Mutex::new(current), parts: AtomicU64::new(0) })
    }

    fn current_meta(&self) -> MutexGuard<'_, Option<SnapshotMeta>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last entry that the current snapshot covers.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.current_meta().as_ref().and_then(|meta| meta.last_log_id).map(|id| id.index)
    }

    /// The size of the current snapshot.
    pub(crate) fn current_bytes(&self) -> u64 {
        let _current = self.current_meta();
        std::fs::metadata(self.directory.join(SNAPSHOT_FILE)).map_or(0, |file| file.len())
    }

    /// The current snapshot, open.
    pub(crate) fn current(&self) -> io::Result<Option<Snapshot>> {
        let meta = self.current_meta();
        let Some(meta) = meta.clone() else { return Ok(None) };
        let path = self.directory.join(SNAPSHOT_FILE);
        Ok(Some(Snapshot { meta, snapshot: SnapshotFile { file: File::open(&path)?, path, is_part: false } }))
    }

    /// A file to receive a snapshot into.
    pub(crate) fn receive(&self) -> io::Result<Incoming> {
        Ok(Incoming { part: self.new_part()? })
    }

    fn new_part(&self) -> io::Result<SnapshotFile> {
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{SNAPSHOT_FILE}.{number}{PART_SUFFIX}"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(SnapshotFile { file, path, is_part: true })
    }

    /// Writes the rows of `view` as a snapshot; `before_offer` runs when the file is complete and before anybody sees it.
    pub(crate) fn build(&self, view: &View, before_offer: impl FnOnce() -> io::Result<()>) -> io::Result<Snapshot> {
        let head = view.head()?;
        let part = self.new_part()?;
        let mut writer = RecordWriter::new(Synced::buffered(&part.file));
        writer.write(header_record(&head))?;
        view.for_each(|key, value| writer.write(row_record(key, value)))?;
        writer.finish()?.flush()?;
        part.file.sync_all()?;
        before_offer()?;
        self.offer(part, meta_of(&head)?)?;
        self.current()?.ok_or_else(|| damaged("the snapshot just written is gone"))
    }

    /// Writes the rows of another snapshot under another head, as the first snapshot of this directory.
    pub(crate) fn rewrite(&self, mut rows: Reader, head: &Head) -> io::Result<()> {
        let part = self.new_part()?;
        let mut writer = RecordWriter::new(Synced::buffered(&part.file));
        writer.write(header_record(head))?;
        while let Some((key, value)) = rows.next_row()? {
            writer.write(row_record(&key, &value))?;
        }
        writer.finish()?.flush()?;
        part.file.sync_all()?;
        self.offer(part, meta_of(head)?)
    }

    /// Makes a complete file the current snapshot, unless a later one came first.
    pub(crate) fn offer(&self, mut file: SnapshotFile, meta: SnapshotMeta) -> io::Result<()> {
        let mut current = self.current_meta();
        if current.as_ref().is_some_and(|current| current.last_log_id >= meta.last_log_id) {
            return Ok(());
        }
        if !file.is_part {
            // Another directory's current one, which stays where it is.
            let mut copy = self.new_part()?;
            io::copy(&mut file, &mut copy.file)?;
            copy.file.sync_all()?;
            file = copy;
        }
        replace(&file.path, &self.directory.join(SNAPSHOT_FILE))?;
        file.is_part = false;
        *current = Some(meta);
        Ok(())
    }
}

/// An open snapshot file: what raft hands from a builder to a sender and from a receiver to the state machine.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    file: File,
    path: PathBuf,
    /// Not offered yet: removed when dropped.
    is_part: bool,
}

impl SnapshotFile {
    pub(crate) fn reader(&self) -> io::Result<Reader> {
        Reader::open(File::open(&self.path)?)
    }
}

impl Read for SnapshotFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.is_part {
            // What stays behind is swept at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A snapshot that is being received.
#[derive(Debug)]
pub(crate) struct Incoming {
    part: SnapshotFile,
}

impl Incoming {
    /// Appends what arrived.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.part.file.write_all(bytes)
    }

    /// Verifies what was received and hands it over. Raft is given nothing that is not whole: it would stop for good.
    pub(crate) fn finish(self) -> io::Result<SnapshotFile> {
        self.part.file.sync_all()?;
        let mut reader = self.part.reader()?;
        while reader.next_row()?.is_some() {}
        Ok(self.part)
    }
}

fn header_record(head: &Head) -> pb::snapshot_record::Record {
    pb::snapshot_record::Record::Header(pb::SnapshotHeader {
        format: SNAPSHOT_FORMAT,
        last_applied: head.applied,
        membership: head.membership.clone(),
    })
}

fn row_record(key: &[u8], value: &[u8]) -> pb::snapshot_record::Record {
    let (table, key) = key.split_at(TABLE_ID_BYTES.min(key.len()));
    let table = table.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    pb::snapshot_record::Record::Row(pb::SnapshotRow { table, key: key.to_vec(), value: value.to_vec() })
}

fn meta_of(head: &Head) -> io::Result<SnapshotMeta> {
    Ok(SnapshotMeta {
        last_log_id: head.applied.map(LogId::from_message).transpose()?,
        last_membership: head.membership.clone().map(StoredMembership::from_message).transpose()?.unwrap_or_default(),
    })
}

/// Bytes of a new snapshot that may wait for the disk. A file system may let an fsync of the log wait for everything that
/// waits, and a proposal waits for that.
const UNSYNCED_BYTES_MAX: usize = 4 << 20;

/// A file that never has much to sync.
struct Synced<'a> {
    file: &'a File,
    unsynced: usize,
}

impl<'a> Synced<'a> {
    fn buffered(file: &'a File) -> BufWriter<Self> {
        BufWriter::with_capacity(1 << 20, Self { file, unsynced: 0 })
    }
}

impl Write for Synced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced += written;
        if self.unsynced >= UNSYNCED_BYTES_MAX {
            self.file.sync_data()?;
            self.unsynced = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes records, counting and hashing them.
struct RecordWriter<W> {
    out: W,
    hash: Sha256,
    rows: u64,
}

impl<W: Write> RecordWriter<W> {
    fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), rows: 0 }
    }

    fn write(&mut self, record: pb::snapshot_record::Record) -> io::Result<()> {
        self.rows += u64::from(matches!(record, pb::snapshot_record::Record::Row(_)));
        let bytes = pb::SnapshotRecord { record: Some(record) }.encode_length_delimited_to_vec();
        self.hash.update(&bytes);
        self.out.write_all(&bytes)
    }

    fn finish(mut self) -> io::Result<W> {
        self.write_trailer()?;
        Ok(self.out)
    }

    fn write_trailer(&mut self) -> io::Result<()> {
        let sha256 = self.hash.clone().finalize().to_vec();
        let trailer = pb::SnapshotTrailer { rows: self.rows, sha256 };
        self.write(pb::snapshot_record::Record::Trailer(trailer))
    }
}

/// The snapshot of a view, piece by piece: each is made when it is asked for, and nothing is written.
pub(crate) struct Export {
    view: View,
    writer: RecordWriter<Vec<u8>>,
    /// The last row that was taken.
    last: Option<Vec<u8>>,
    is_over: bool,
}

impl Export {
    /// About so many bytes make a piece.
    const PIECE: usize = 256 << 10;

    pub(crate) fn new(view: View) -> io::Result<Box<Self>> {
        let mut writer = RecordWriter::new(Vec::new());
        writer.write(header_record(&view.head()?))?;
        Ok(Box::new(Self { view, writer, last: None, is_over: false }))
    }

    /// The next piece; `None` after the last.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.is_over {
            return Ok(None);
        }
        let (writer, last) = (&mut self.writer, &mut self.last);
        let is_whole = self.view.for_each_after(last.clone().as_deref(), |key, value| {
            writer.write(row_record(key, value))?;
            let goes_on = writer.out.len() < Self::PIECE;
            if !goes_on {
                *last = Some(key.to_vec());
            }
            Ok(goes_on)
        })?;
        if is_whole {
            self.writer.write_trailer()?;
            self.is_over = true;
        }
        Ok(Some(std::mem::take(&mut self.writer.out)))
    }
}

/// Reads a snapshot record by record. Its end is reported only after the trailer proved that nothing is missing.
pub(crate) struct Reader {
    input: BufReader<File>,
    header: pb::SnapshotHeader,
    hash: Sha256,
    rows: u64,
}

impl Reader {
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let mut input = BufReader::with_capacity(1 << 20, file);
        let mut hash = Sha256::new();
        let bytes = read_record(&mut input)?;
        let Some(pb::snapshot_record::Record::Header(header)) = decode_record(&bytes)? else {
            return Err(damaged("the snapshot does not begin with a header"));
        };
        if header.format != SNAPSHOT_FORMAT {
            return Err(damaged(format!(
                "the snapshot has format {}, and this version reads format {SNAPSHOT_FORMAT}",
                header.format
            )));
        }
        hash.update(&bytes);
        Ok(Self { input, header, hash, rows: 0 })
    }

    /// What the snapshot covers.
    pub(crate) fn meta(&self) -> io::Result<SnapshotMeta> {
        meta_of(&self.head())
    }

    /// How far its rows have come.
    pub(crate) fn head(&self) -> Head {
        Head { applied: self.header.last_applied, membership: self.header.membership.clone() }
    }

    /// The next row with its whole key; `None` after the last, once the trailer is verified.
    pub(crate) fn next_row(&mut self) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let bytes = read_record(&mut self.input)?;
        match decode_record(&bytes)? {
            Some(pb::snapshot_record::Record::Row(row)) => {
                self.hash.update(&bytes);
                self.rows += 1;
                let table = u16::try_from(row.table).map_err(failed)?;
                Ok(Some(([&table.to_be_bytes()[..], &row.key].concat(), row.value)))
            }
            Some(pb::snapshot_record::Record::Trailer(trailer)) => {
                let is_whole = trailer.rows == self.rows && trailer.sha256 == self.hash.clone().finalize()[..];
                if is_whole {
                    Ok(None)
                } else {
                    Err(damaged("the snapshot is damaged: its trailer does not match its rows"))
                }
            }
            _ => Err(damaged("the snapshot holds a record of an unknown kind")),
        }
    }
}

fn decode_record(bytes: &[u8]) -> io::Result<Option<pb::snapshot_record::Record>> {
    Ok(pb::SnapshotRecord::decode_length_delimited(bytes).map_err(failed)?.record)
}

/// One record with the length in front of it.
fn read_record(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        bytes.push(byte[0]);
        if byte[0] < 0x80 || bytes.len() == 10 {
            break;
        }
    }
    let length = prost::encoding::decode_varint(&mut bytes.as_slice()).map_err(failed)?;
    if length > RECORD_BYTES_MAX {
        return Err(damaged(format!("the snapshot has a record of {length} bytes")));
    }
    let read = input.take(length).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read == length) {
        Ok(bytes)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
