//! The list of entries: domain ↔ protobuf. Only on the wire, never on disk.

use super::command::{entry_from, entry_to, required};
use super::configure::count;
use super::pb::meta::v1 as pb;
use super::query::{Asked, consistency_from, consistency_to};
use super::record::{digest, kind_from, kind_to, sha1_from};
use super::{DecodeError, Record};
use crate::domain::entry::{CachedEntry, Content, EntryRef, Usage};
use crate::domain::registry::UpstreamId;
use crate::domain::time::Timestamp;
use crate::state::read::{EntryPage, EntryQuery};

/// A question for one entry as it is listed, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedEntry(pub EntryRef);

impl Record for Asked<EntryQuery> {
    type Message = pb::GetEntriesRequest;

    fn to_message(&self) -> pb::GetEntriesRequest {
        pb::GetEntriesRequest {
            upstream: self.question.upstream.0,
            search: self.question.search.clone(),
            page: self.question.page,
            per_page: self.question.per_page as u64,
            consistency: consistency_to(self.consistency),
        }
    }

    fn from_message(m: pb::GetEntriesRequest) -> Result<Self, DecodeError> {
        let question = EntryQuery {
            upstream: UpstreamId(m.upstream),
            search: m.search,
            page: m.page,
            per_page: count(m.per_page),
        };
        Ok(Self { question, consistency: consistency_from(m.consistency) })
    }
}

impl Record for EntryPage {
    type Message = pb::EntryPage;

    fn to_message(&self) -> pb::EntryPage {
        pb::EntryPage {
            entries: self.entries.iter().map(Record::to_message).collect(),
            has_next: self.has_next,
            total: self.total,
            is_cut: self.is_cut,
        }
    }

    fn from_message(m: pb::EntryPage) -> Result<Self, DecodeError> {
        Ok(Self {
            entries: m.entries.into_iter().map(CachedEntry::from_message).collect::<Result<_, _>>()?,
            has_next: m.has_next,
            total: m.total,
            is_cut: m.is_cut,
        })
    }
}

impl Record for Asked<AskedEntry> {
    type Message = pb::GetEntryRequest;

    fn to_message(&self) -> pb::GetEntryRequest {
        pb::GetEntryRequest { entry: Some(entry_to(&self.question.0)), consistency: consistency_to(self.consistency) }
    }

    fn from_message(m: pb::GetEntryRequest) -> Result<Self, DecodeError> {
        Ok(Self { question: AskedEntry(entry_from(m.entry)?), consistency: consistency_from(m.consistency) })
    }
}

impl Record for Option<CachedEntry> {
    type Message = pb::EntryView;

    fn to_message(&self) -> pb::EntryView {
        pb::EntryView { entry: self.as_ref().map(Record::to_message) }
    }

    fn from_message(m: pb::EntryView) -> Result<Self, DecodeError> {
        m.entry.map(CachedEntry::from_message).transpose()
    }
}

impl Record for CachedEntry {
    type Message = pb::CachedEntry;

    fn to_message(&self) -> pb::CachedEntry {
        let content = self.content.as_ref().map(|content| pb::EntryContent {
            size: content.size,
            media_type: content.media_type.as_str().to_owned(),
            sha1: content.sha1.map(|hash| hash.to_vec()).unwrap_or_default(),
        });
        pb::CachedEntry {
            entry: Some(entry_to(&self.entry)),
            kind: kind_to(self.kind),
            digest: self.digest.hash().to_vec(),
            checked_at: self.checked_at.0,
            created_at: self.created_at.0,
            updated_at: self.updated_at.0,
            upstream_etag: self.upstream_etag.clone(),
            content,
            usage: Some(self.usage.to_message()),
        }
    }

    fn from_message(m: pb::CachedEntry) -> Result<Self, DecodeError> {
        const NAME: &str = "CachedEntry";
        let content = |m: pb::EntryContent| {
            Ok(Content {
                size: m.size,
                media_type: m.media_type.parse().map_err(|_| DecodeError::field("EntryContent", "media_type"))?,
                sha1: sha1_from(&m.sha1, "EntryContent")?,
            })
        };
        Ok(Self {
            entry: entry_from(m.entry)?,
            kind: kind_from(m.kind, NAME)?,
            digest: digest(&m.digest, NAME)?,
            checked_at: Timestamp(m.checked_at),
            created_at: Timestamp(m.created_at),
            updated_at: Timestamp(m.updated_at),
            upstream_etag: m.upstream_etag,
            content: m.content.map(content).transpose()?,
            usage: Usage::from_message(required(m.usage, NAME, "usage")?)?,
        })
    }
}
