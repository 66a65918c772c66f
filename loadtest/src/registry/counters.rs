//! What was asked of an upstream: the numbers that tests are about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::diary::{End, Entry};
use super::route::Origin;

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `GET /v2/`
    Ping,
    /// The token endpoint.
    Token,
    /// `GET` of a manifest.
    ManifestGet,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a blob, at the registry.
    BlobGet,
    /// `HEAD` of a blob, at the registry.
    BlobHead,
    /// The list of tags.
    Tags,
    /// The list of referrers.
    Referrers,
    /// `GET` of a blob, at the origin that redirects lead to.
    CdnGet,
    /// `HEAD` of a blob, at the origin that redirects lead to.
    CdnHead,
    /// Anything else.
    Other,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1.
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2.
    #[serde(rename = "2")]
    Http2,
}

impl Protocol {
    /// Its name in the TLS handshake.
    pub(super) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// The headers of one request, as far as anyone asked about them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Path and query.
    pub target: String,
    /// All `Accept` lines, joined by commas.
    pub accept: Option<String>,
    /// `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// `Range`.
    pub range: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The scheme of `Authorization`, never what follows it.
    pub authorization: Option<String>,
}

/// A snapshot of everything counted since the start or the last reset.
///
/// Requests are counted when they arrive, bytes when they are handed to the connection, both before the client can see
/// them; a number read after an answer was received includes that answer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    requests: BTreeMap<Kind, BTreeMap<String, u64>>,
    ranged: u64,
    statuses: BTreeMap<u16, u64>,
    bytes: BTreeMap<String, u64>,
    in_flight: BTreeMap<Kind, u64>,
    peak_in_flight: BTreeMap<Kind, u64>,
    aborted: BTreeMap<Kind, u64>,
    protocols: BTreeMap<Kind, BTreeMap<Protocol, u64>>,
    connections: u64,
    spoken: BTreeMap<Protocol, u64>,
    handshakes_failed: u64,
    client_certificates: u64,
    cdn_client_certificates: u64,
    cdn_authorizations: u64,
    last: BTreeMap<Kind, Seen>,
}

impl Counters {
    /// All requests of any kind, to both origins.
    pub fn total(&self) -> u64 {
        self.requests.values().flat_map(BTreeMap::values).sum()
    }

    /// Requests of one kind.
    pub fn of(&self, kind: Kind) -> u64 {
        self.requests.get(&kind).map_or(0, |by_key| by_key.values().sum())
    }

    /// Requests of one kind for one key: `repository:tag`, `repository@digest`, a repository (tags), a digest (the other
    /// origin) or the scopes joined by spaces (tokens).
    pub fn of_key(&self, kind: Kind, key: &str) -> u64 {
        self.requests.get(&kind).and_then(|by_key| by_key.get(key)).copied().unwrap_or(0)
    }

    /// Every key that was asked for, with its count.
    pub fn keys(&self, kind: Kind) -> impl Iterator<Item = (&str, u64)> {
        self.requests.get(&kind).into_iter().flatten().map(|(key, count)| (key.as_str(), *count))
    }

    /// `GET`s of one blob at the registry, through any repository; a redirected download counts once.
    pub fn blob_gets(&self, digest: &str) -> u64 {
        self.keys(Kind::BlobGet).filter(|(key, _)| is_of(key, digest)).map(|(_, count)| count).sum()
    }

    /// Manifest requests, `GET` and `HEAD`, for one `repository` and tag or digest.
    pub fn manifest_requests(&self, repository: &str, reference: &str) -> u64 {
        let key = key_of(repository, reference);
        self.of_key(Kind::ManifestGet, &key) + self.of_key(Kind::ManifestHead, &key)
    }

    /// Requests that came with a `Range` header.
    pub fn ranged(&self) -> u64 {
        self.ranged
    }

    /// Answers with one status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// Body bytes sent of the manifest or blob with this digest, from both origins.
    pub fn bytes_of(&self, digest: &str) -> u64 {
        self.bytes.get(digest).copied().unwrap_or(0)
    }

    /// Body bytes sent of all manifests and blobs.
    pub fn bytes(&self) -> u64 {
        self.bytes.values().sum()
    }

    /// Requests of one kind that have arrived and are not fully answered.
    pub fn in_flight(&self, kind: Kind) -> u64 {
        self.in_flight.get(&kind).copied().unwrap_or(0)
    }

    /// The most requests of one kind that were in flight at the same time.
    pub fn peak_in_flight(&self, kind: Kind) -> u64 {
        self.peak_in_flight.get(&kind).copied().unwrap_or(0)
    }

    /// Requests of one kind that ended before their last byte: the client left, or a fault cut them off.
    pub fn aborted(&self, kind: Kind) -> u64 {
        self.aborted.get(&kind).copied().unwrap_or(0)
    }

    /// Connections accepted, on both origins.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Connections that came to speak this version of HTTP, on both origins.
    pub fn connections_of(&self, protocol: Protocol) -> u64 {
        self.spoken.get(&protocol).copied().unwrap_or(0)
    }

    /// Requests of one kind that came by this version of HTTP.
    pub fn of_protocol(&self, kind: Kind, protocol: Protocol) -> u64 {
        self.protocols.get(&kind).and_then(|by_protocol| by_protocol.get(&protocol)).copied().unwrap_or(0)
    }

    /// Connections that ended in their TLS handshake: a client that trusts somebody else, or that is not let in.
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed
    }

    /// Connections to the registry whose client presented a good certificate.
    pub fn client_certificates(&self) -> u64 {
        self.client_certificates
    }

    /// Connections to the origin that redirects lead to whose client presented one. Zero, if the client behaves.
    pub fn cdn_client_certificates(&self) -> u64 {
        self.cdn_client_certificates
    }

    /// Requests with an `Authorization` header at the origin that redirects lead to. Zero, if the client behaves.
    pub fn cdn_authorizations(&self) -> u64 {
        self.cdn_authorizations
    }

    /// The last request of one kind.
    pub fn last(&self, kind: Kind) -> Option<&Seen> {
        self.last.get(&kind)
    }
}

/// How a manifest or blob is counted: `repository:tag` or `repository@digest`.
pub(super) fn key_of(repository: &str, reference: &str) -> String {
    let separator = if reference.contains(':') { '@' } else { ':' };
    format!("{repository}{separator}{reference}")
}

fn is_of(key: &str, digest: &str) -> bool {
    key.rsplit_once('@').is_some_and(|(_, of)| of == digest)
}

/// The counters while they run; readers wait on them.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    counters: Arc<watch::Sender<Counters>>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { counters: Arc::new(watch::Sender::new(Counters::default())) }
    }

    pub(super) fn snapshot(&self) -> Counters {
        self.counters.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Counters> {
        self.counters.subscribe()
    }

    /// Back to zero, save for what is in flight: those requests will still end.
    pub(super) fn reset(&self) {
        self.counters.send_modify(|counters| {
            let in_flight = std::mem::take(&mut counters.in_flight);
            *counters = Counters { peak_in_flight: in_flight.clone(), in_flight, ..Counters::default() };
        });
    }

    pub(super) fn connected(&self, origin: Origin) {
        if origin == Origin::Stage {
            return;
        }
        self.counters.send_modify(|counters| counters.connections += 1);
    }

    pub(super) fn handshake_failed(&self) {
        self.counters.send_modify(|counters| counters.handshakes_failed += 1);
    }

    /// Counts what a connection has come to be, before its first request.
    pub(super) fn speaks(&self, origin: Origin, protocol: Protocol, client_certificate: bool) {
        if origin == Origin::Stage {
            return;
        }
        self.counters.send_modify(|counters| {
            *counters.spoken.entry(protocol).or_default() += 1;
            match origin {
                Origin::Registry => counters.client_certificates += u64::from(client_certificate),
                Origin::Cdn => counters.cdn_client_certificates += u64::from(client_certificate),
                Origin::Stage => {}
            }
        });
    }

    /// Counts the arrival of a request; the visit ends when it is finished or dropped.
    pub(super) fn arrive(&self, kind: Kind, protocol: Protocol, key: String, seen: Seen) -> Visit {
        self.counters.send_modify(|counters| {
            *counters.protocols.entry(kind).or_default().entry(protocol).or_default() += 1;
            *counters.requests.entry(kind).or_default().entry(key).or_default() += 1;
            counters.ranged += u64::from(seen.range.is_some());
            if matches!(kind, Kind::CdnGet | Kind::CdnHead) && seen.authorization.is_some() {
                counters.cdn_authorizations += 1;
            }
            counters.last.insert(kind, seen);
            let now = counters.in_flight.entry(kind).or_default();
            *now += 1;
            let peak = counters.peak_in_flight.entry(kind).or_default();
            *peak = (*peak).max(*now);
        });
        Visit { tally: self.clone(), kind, open: true, entry: Entry::default() }
    }
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct Visit {
    tally: Tally,
    kind: Kind,
    open: bool,
    entry: Entry,
}

impl Visit {
    /// From now on it is written down there.
    pub(super) fn write_to(&mut self, entry: Entry) {
        self.entry = entry;
    }

    /// The part of a manifest or blob that the answer is to bring.
    pub(super) fn brings(&self, part: &Range<u64>) {
        self.entry.write(|page| page.part = part.clone());
    }

    pub(super) fn answered(&self, status: u16) {
        self.entry.write(|page| page.status = Some(status));
        self.tally.counters.send_modify(|counters| *counters.statuses.entry(status).or_default() += 1);
    }

    pub(super) fn sent(&self, digest: &str, bytes: u64) {
        self.entry.write(|page| page.sent += bytes);
        self.tally.counters.send_modify(|counters| match counters.bytes.get_mut(digest) {
            Some(sum) => *sum += bytes,
            None => drop(counters.bytes.insert(digest.to_owned(), bytes)),
        });
    }

    /// The last byte is on its way; what is dropped without this was cut off.
    pub(super) fn finish(&mut self) {
        self.end(false);
    }

    fn end(&mut self, aborted: bool) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        self.entry.write(|page| page.end = if aborted { End::CutOff } else { End::Whole });
        self.tally.counters.send_modify(|counters| {
            if let Some(now) = counters.in_flight.get_mut(&self.kind) {
                *now = now.saturating_sub(1);
            }
            if aborted {
                *counters.aborted.entry(self.kind).or_default() += 1;
            }
        });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.end(true);
    }
}
