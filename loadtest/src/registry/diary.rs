//! Every request, a page each: which faults it met, what left, how it ended. Kept on demand only, for it grows.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;

use super::{Effect, Kind};

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page {
    /// Its kind.
    pub kind: Kind,
    /// The repository it named.
    pub repository: Option<String>,
    /// The tag or digest it named.
    pub reference: Option<String>,
    /// Its `Range` header.
    pub range: Option<String>,
    /// The faults it met, in order; of two that contradict each other the first took effect.
    pub met: Vec<Effect>,
    /// The status of its answer, once there is one.
    pub status: Option<u16>,
    /// The part of the manifest or blob that the answer was to bring; empty where it is another kind of answer.
    pub part: Range<u64>,
    /// How much of that was handed to the connection.
    pub sent: u64,
    /// How it ended.
    pub end: End,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It is still on its way.
    Open,
    /// It was sent to its end.
    Whole,
    /// A fault cut it off, or the client left.
    CutOff,
}

/// All pages since the beginning.
#[derive(Clone, Debug, Default)]
pub(super) struct Diary {
    pages: Arc<Mutex<Option<Vec<Page>>>>,
}

/// The page of a request in flight; without a diary that is kept, of no page.
#[derive(Debug, Default)]
pub(super) struct Entry {
    diary: Diary,
    index: Option<usize>,
}

impl Diary {
    pub(super) fn begin(&self) {
        self.lock().get_or_insert_default();
    }

    pub(super) fn pages(&self) -> Vec<Page> {
        self.lock().clone().unwrap_or_default()
    }

    pub(super) fn open(&self, page: impl FnOnce() -> Page) -> Entry {
        let index = self.lock().as_mut().map(|pages| {
            pages.push(page());
            pages.len() - 1
        });
        Entry { diary: self.clone(), index }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Page>>> {
        self.pages.lock().expect("nothing panics while it is held")
    }
}

impl Entry {
    pub(super) fn write(&self, change: impl FnOnce(&mut Page)) {
        if let Some(index) = self.index
            && let Some(pages) = self.diary.lock().as_mut()
        {
            change(&mut pages[index]);
        }
    }
}
