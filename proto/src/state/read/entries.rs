//! The list of what is cached of an upstream.

use super::upstream;
use crate::domain::entry::{CachedEntry, Content, ContentKind, EntryRef, Right, TagEntry};
use crate::domain::image::Reference;
use crate::domain::limits;
use crate::domain::registry::UpstreamId;
use crate::domain::upstream::Upstream;
use crate::state::rows::{EntryCount, Indexed, Indexing, Rows, RowsError, load};
use crate::state::table::{self, Table, id_key};
use crate::wire::Record;

/// A page of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryQuery {
    /// Whose.
    pub upstream: UpstreamId,
    /// What stands in the relative path, with or without a leading slash; letters are of either case.
    pub search: Option<String>,
    /// From 1.
    pub page: u64,
    /// At most [`limits::ENTRIES_PER_PAGE_MAX`] count.
    pub per_page: usize,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryPage {
    /// Newest first.
    pub entries: Vec<CachedEntry>,
    /// Whether another page follows.
    pub has_next: bool,
    /// How many there are on all pages. Not known for a search that did not come to the end of the list, nor while the index
    /// is incomplete.
    pub total: Option<u64>,
    /// There may be more than was looked at: the list goes on beyond [`limits::ENTRIES_SCAN_MAX`], or is incomplete.
    pub is_cut: bool,
}

/// A page of the list of an upstream.
///
/// Looks at no more rows than [`limits::ENTRIES_SCAN_MAX`], a thousand in memory at a time.
pub fn entries(rows: &dyn Rows, query: &EntryQuery) -> Result<EntryPage, RowsError> {
    let Some(upstream) = upstream(rows, query.upstream)? else { return Ok(EntryPage::default()) };
    let per_page = query.per_page.min(limits::ENTRIES_PER_PAGE_MAX);
    let wanted = Wanted {
        search: query.search.as_deref().filter(|text| !text.is_empty()).map(str::to_ascii_lowercase),
        skip: query.page.saturating_sub(1).saturating_mul(per_page as u64),
        take: per_page,
    };
    let found = walk(rows, &upstream, &wanted)?;
    let is_complete = load(rows, Table::Indexing, table::INDEXING_KEY)? == Some(Indexing::Complete);
    let total = match wanted.search {
        Some(_) => found.is_all.then_some(found.matched),
        None => {
            let counted: Option<EntryCount> = load(rows, Table::EntryCounts, &id_key(upstream.id.0))?;
            Some(counted.filter(|counted| counted.epoch == upstream.epoch).map_or(0, |counted| counted.entries))
        }
    };
    let mut entries = Vec::with_capacity(found.page.len());
    for (entry, kind) in found.page {
        entries.extend(cached(rows, &upstream, entry, kind)?);
    }
    Ok(EntryPage {
        entries,
        has_next: found.matched > wanted.skip.saturating_add(per_page as u64),
        total: total.filter(|_| is_complete),
        is_cut: found.is_cut || !is_complete,
    })
}

struct Wanted {
    search: Option<String>,
    skip: u64,
    take: usize,
}

impl Wanted {
    /// How many rows to read next, at most: a search counts them all, a list ends one behind its page.
    fn chunk(&self, found: &Found) -> usize {
        const MOST: usize = 1000;
        let end = self.skip.saturating_add(self.take as u64).saturating_add(1);
        match self.search {
            Some(_) => MOST,
            None => usize::try_from(end.saturating_sub(found.matched)).map_or(MOST, |left| left.min(MOST)),
        }
    }
}

#[derive(Default)]
struct Found {
    page: Vec<(EntryRef, ContentKind)>,
    /// How many were met that match, on whichever page.
    matched: u64,
    /// The whole list was looked at.
    is_all: bool,
    /// The bound was met before what was wanted.
    is_cut: bool,
}

impl Found {
    /// Whether the page is there, and what follows it is known: one more row says that, and only a search counts them all.
    fn is_enough(&self, wanted: &Wanted) -> bool {
        wanted.search.is_none() && self.matched > wanted.skip.saturating_add(wanted.take as u64)
    }
}

fn walk(rows: &dyn Rows, upstream: &Upstream, wanted: &Wanted) -> Result<Found, RowsError> {
    let prefix = table::indexed_prefix(upstream.id, upstream.epoch);
    let (mut found, mut after, mut seen) = (Found::default(), None::<Vec<u8>>, 0);
    loop {
        let size = wanted.chunk(&found);
        let chunk = rows.scan(Table::Indexed, &prefix, after.as_deref(), size)?;
        for (key, value) in &chunk {
            let is_on_the_page = |found: &Found| found.matched >= wanted.skip && found.page.len() < wanted.take;
            if wanted.search.is_none() && !is_on_the_page(&found) {
                found.matched += 1;
            } else {
                let entry = table::entry_of_indexed_key(key);
                let entry = entry.ok_or_else(|| RowsError::new("a key of the index names no entry"))?;
                let kind = Indexed::decode(value).map_err(RowsError::new)?.kind;
                if wanted.search.as_ref().is_none_or(|search| is_in(search, &entry, kind)) {
                    if is_on_the_page(&found) {
                        found.page.push((entry, kind));
                    }
                    found.matched += 1;
                }
            }
            if found.is_enough(wanted) {
                return Ok(found);
            }
        }
        seen += chunk.len();
        if chunk.len() < size {
            found.is_all = true;
            return Ok(found);
        }
        if seen >= limits::ENTRIES_SCAN_MAX {
            found.is_cut = true;
            return Ok(found);
        }
        after = chunk.into_iter().next_back().map(|(key, _)| key);
    }
}

fn is_in(search: &str, entry: &EntryRef, kind: ContentKind) -> bool {
    format!("/{}", entry.relative_path(kind)).to_ascii_lowercase().contains(search)
}

/// One entry, unless it is void or there is none.
pub fn entry(rows: &dyn Rows, entry: &EntryRef) -> Result<Option<CachedEntry>, RowsError> {
    let Some(upstream) = upstream(rows, entry.upstream)? else { return Ok(None) };
    // What a row is of, it says itself.
    cached(rows, &upstream, entry.clone(), ContentKind::Manifest)
}

fn cached(
    rows: &dyn Rows,
    upstream: &Upstream,
    entry: EntryRef,
    kind: ContentKind,
) -> Result<Option<CachedEntry>, RowsError> {
    let usage = super::usage(rows, &entry)?.unwrap_or_default();
    match &entry.reference {
        Reference::Digest(digest) => {
            let digest = *digest;
            let Some(right) = super::right(rows, upstream, &entry.repository, &digest)? else { return Ok(None) };
            Ok(Some(CachedEntry {
                kind: right.kind,
                digest,
                checked_at: right.created_at,
                created_at: right.created_at,
                updated_at: right.created_at,
                upstream_etag: None,
                content: Some(content(right)),
                usage,
                entry,
            }))
        }
        Reference::Tag(tag) => {
            let found: Option<TagEntry> =
                load(rows, Table::Tags, &table::tag_key(entry.upstream, &entry.repository, tag))?;
            let Some(tag) = found.filter(|tag| tag.upstream_epoch == upstream.epoch) else { return Ok(None) };
            let right = super::right(rows, upstream, &entry.repository, &tag.digest)?;
            Ok(Some(CachedEntry {
                kind,
                digest: tag.digest,
                checked_at: tag.checked_at,
                created_at: tag.created_at,
                updated_at: tag.updated_at,
                upstream_etag: tag.upstream_etag,
                content: right.map(content),
                usage,
                entry,
            }))
        }
    }
}

fn content(right: Right) -> Content {
    Content { size: right.size, media_type: right.media_type, sha1: right.sha1 }
}
