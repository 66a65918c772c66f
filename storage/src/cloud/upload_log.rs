//! Uploads under way, remembered over the end of the process: a file each, in a directory of this process alone.
//!
//! ```text
//! <algorithm>-<hex>.<token>-<16 hex digits of the id's SHA-256>
//!     roadstead-upload 1
//!     store s3://bucket/prefix at https://endpoint
//!     id <the store's own id of the upload>
//! ```
//!
//! A file is written under another name and renamed, so that it is whole or not there; it is synced, so that it
//! outlives a power loss as the parts in the store do. An upload is rare and large (more than one part): two syncs are
//! nothing beside it. Ids differ, and so do the files of two uploads of one key, of which one could not be aborted.
//!
//! A file of another store, or of a later format, stays untouched: whoever goes back to that store or release finds it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::offload::offload;

use crate::blob::{BodyError, Part};
use crate::key;
use crate::object::UploadLog;

const HEADING: &str = "roadstead-upload 1";
const UNFINISHED: &str = ".new";

/// Uploads under way in a directory.
#[derive(Debug, Clone)]
pub struct FileLog {
    directory: PathBuf,
    store: String,
}

/// An id that does not fit on a line. No known store makes one.
#[derive(Debug, thiserror::Error)]
#[error("the store's id of an upload is not one line of text")]
struct StrangeId;

impl FileLog {
    /// The log of uploads to `store`, which it is told apart by from others. The directory is created.
    pub fn open(directory: &Path, store: String) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        for name in names(directory)?.filter(|name| name.ends_with(UNFINISHED)) {
            fs::remove_file(directory.join(name))?;
        }
        Ok(Self { directory: directory.to_owned(), store })
    }

    fn write(&self, key: &ObjectKey, upload: &str) -> io::Result<()> {
        let name = file_name(key, upload);
        let unfinished = self.directory.join(format!("{name}{UNFINISHED}"));
        let mut file = File::create(&unfinished)?;
        write!(file, "{HEADING}\nstore {}\nid {upload}\n", self.store)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.directory.join(&name))?;
        File::open(&self.directory)?.sync_all()
    }

    fn remove(&self, key: &ObjectKey, upload: &str) {
        let path = self.directory.join(file_name(key, upload));
        if let Err(error) = fs::remove_file(&path) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %path.display(), error, "the record of an upload that ended stays");
        }
    }

    fn read(&self) -> io::Result<Vec<(ObjectKey, String)>> {
        let mut left = Vec::new();
        for name in names(&self.directory)? {
            let Some(key) = key_in(&name) else { continue };
            let text = fs::read_to_string(self.directory.join(&name))?;
            match self.id_in(&text) {
                Some(id) if file_name(&key, id) == name => left.push((key, id.to_owned())),
                _ => tracing::warn!(
                    path = %self.directory.join(&name).display(),
                    "the record of an upload is of another store or release: its parts stay where they are"
                ),
            }
        }
        Ok(left)
    }

    fn id_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let heading = lines.next()? == HEADING;
        let store = lines.next()?.strip_prefix("store ")? == self.store;
        let id = lines.next()?.strip_prefix("id ")?;
        (heading && store && lines.next().is_none()).then_some(id)
    }
}

fn names(directory: &Path) -> io::Result<impl Iterator<Item = String>> {
    Ok(fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()))
}

/// The object's name, on one level, and what tells two uploads of it apart.
fn file_name(key: &ObjectKey, upload: &str) -> String {
    let object = key::object_path(key).as_ref().replace('/', "-");
    let id = Digest::sha256(upload.as_bytes()).hex();
    format!("{object}-{}", &id[..16])
}

fn key_in(name: &str) -> Option<ObjectKey> {
    let (object, id) = name.rsplit_once('-')?;
    let whole = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match key::parse(&object.replacen('-', "/", 1).into())? {
        (key, Part::Object) if whole => Some(key),
        _ => None,
    }
}

#[async_trait]
impl UploadLog for FileLog {
    async fn began(&self, key: &ObjectKey, upload: &str) -> Result<(), BodyError> {
        if upload.contains(['\n', '\r']) {
            return Err(StrangeId.into());
        }
        let (log, key, upload) = (self.clone(), *key, upload.to_owned());
        Ok(offload(move || log.write(&key, &upload)).await??)
    }

    async fn ended(&self, key: &ObjectKey, upload: &str) {
        let (log, key, upload) = (self.clone(), *key, upload.to_owned());
        // Also when whoever waits for it leaves; the runtime ends only after it.
        let removed = offload(move || log.remove(&key, &upload));
        if let Err(error) = removed.await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the record of an upload that ended stays");
        }
    }

    async fn left(&self) -> Result<Vec<(ObjectKey, String)>, BodyError> {
        let log = self.clone();
        Ok(offload(move || log.read()).await??)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use roadstead_proto::domain::digest::Algorithm;
    use roadstead_proto::domain::lease::FencingToken;

    fn key(token: u64) -> ObjectKey {
        ObjectKey { digest: Digest::of(Algorithm::Sha512, b"x"), token: FencingToken(token) }
    }

    fn at(directory: &Path, store: &str) -> FileLog {
        FileLog::open(directory, store.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn what_began_and_did_not_end_is_known_to_the_next_process() {
        let directory = tempfile::tempdir().unwrap();
        let log = at(directory.path(), "s3://a");
        // Two of one key: the first could not be aborted.
        for (token, id) in [(1, "first/+="), (1, "second"), (2, "third")] {
            log.began(&key(token), id).await.unwrap();
        }
        log.ended(&key(1), "second").await;
        let mut left = at(directory.path(), "s3://a").left().await.unwrap();
        left.sort();
        assert_eq!(left, [(key(1), "first/+=".to_owned()), (key(2), "third".to_owned())]);
    }

    #[tokio::test]
    async fn what_is_of_another_store_or_release_or_torn_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        at(directory.path(), "s3://a").began(&key(1), "id").await.unwrap();
        let name = file_name(&key(1), "id");
        assert_eq!(at(directory.path(), "s3://b").left().await.unwrap(), []);
        for text in ["", "roadstead-upload 2\nstore s3://a\nid id\n", "roadstead-upload 1\nstore s3://a\nid id"] {
            fs::write(directory.path().join(&name), text).unwrap();
            assert_eq!(at(directory.path(), "s3://a").left().await.unwrap(), [], "{text}");
        }
        assert!(directory.path().join(&name).exists());
        fs::write(directory.path().join("notes.txt"), "not ours").unwrap();
        fs::write(directory.path().join(format!("{name}{UNFINISHED}")), "torn").unwrap();
        assert_eq!(at(directory.path(), "s3://a").left().await.unwrap(), []);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "what was never whole is removed");
    }

    #[tokio::test]
    async fn an_id_of_two_lines_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let log = at(directory.path(), "s3://a");
        assert!(log.began(&key(1), "one\nid two").await.is_err());
        assert_eq!(log.left().await.unwrap(), []);
    }

    #[tokio::test]
    async fn it_reads_as_designed() {
        let directory = tempfile::tempdir().unwrap();
        let key = ObjectKey { digest: Digest::sha256(b""), token: FencingToken(7) };
        at(directory.path(), "s3://bucket/prefix at https://host").began(&key, "abc").await.unwrap();
        let name = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.7-ba7816bf8f01cfea";
        let text = fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text, "roadstead-upload 1\nstore s3://bucket/prefix at https://host\nid abc\n");
    }
}
