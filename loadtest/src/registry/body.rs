//! The bytes of an answer on their way: paced, counted, corrupted, cut off.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use tokio::sync::watch;

use super::counters::Visit;
use super::expiry::Expiry;
use super::pace::{Line, Narrow};
use super::plan::Cut;
use super::wire::Connection;
use crate::content::Content;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The body of an answer to HEAD.
pub(super) fn empty() -> Body {
    Empty::new().boxed_unsync()
}

/// All that sending a body takes.
pub(super) struct Sending {
    pub(super) content: Content,
    pub(super) range: Range<u64>,
    pub(super) counted_as: Option<String>,
    pub(super) corrupt: Option<u64>,
    pub(super) cut: Option<(u64, Cut)>,
    pub(super) line: Arc<Line>,
    /// A line of this answer's own, after the one that all share.
    pub(super) narrow: Option<Narrow>,
    pub(super) expiry: Expiry,
    pub(super) connection: Arc<Connection>,
    pub(super) releases: watch::Receiver<u64>,
    pub(super) visit: Visit,
}

impl Sending {
    pub(super) fn into_body(mut self) -> Body {
        if self.range.is_empty() {
            self.visit.finish();
            return empty();
        }
        let start = self.range.start;
        let stream = stream::unfold(self, move |mut sending| async move {
            let chunk = sending.next(start).await?;
            Some((Ok(Frame::data(chunk)), sending))
        });
        StreamBody::new(stream).boxed_unsync()
    }

    async fn next(&mut self, start: u64) -> Option<Bytes> {
        let sent = self.range.start - start;
        let mut most = self.line.chunk() as u64;
        match self.cut {
            Some((after, cut)) if after <= sent => self.cut_off(cut).await,
            Some((after, _)) => most = most.min(after - sent),
            None => {}
        }
        let most = most.min(self.range.end - self.range.start).min(self.expiry.until_next(sent));
        let most = self.narrow.as_ref().map_or(most, |narrow| most.min(narrow.chunk()));
        if most == 0 {
            return None;
        }
        self.line.send(&self.connection.pacer, most).await;
        if let Some(narrow) = &self.narrow {
            narrow.send(most).await;
        }
        let chunk = self.content.read(self.range.start, usize::try_from(most).expect("a chunk fits in memory"));
        let chunk = self.corrupted(chunk);
        self.range.start += most;
        if let Some(digest) = &self.counted_as {
            self.visit.sent(digest, most);
        }
        self.expiry.sent(sent + most);
        // Before the client can see the last byte: who has the whole answer must not find it in flight.
        if self.range.is_empty() {
            self.visit.finish();
        }
        Some(chunk)
    }

    /// Returns when the sending goes on after all.
    async fn cut_off(&mut self, cut: Cut) {
        match cut {
            Cut::Hang => {
                // The sender of releases lives as long as the server; without it nothing goes on.
                if self.releases.changed().await.is_err() {
                    std::future::pending().await
                }
                self.cut = None;
                return;
            }
            Cut::Truncate => self.connection.close(),
            Cut::Reset => self.connection.reset(),
        }
        // The server flushes once more when it finds nothing to write, and that flush ends the connection.
        tokio::task::yield_now().await;
        std::future::pending().await
    }

    fn corrupted(&self, chunk: Bytes) -> Bytes {
        let Some(index) = self.corrupt.and_then(|at| at.checked_sub(self.range.start)) else {
            return chunk;
        };
        match usize::try_from(index) {
            Ok(index) if index < chunk.len() => {
                let mut chunk = BytesMut::from(chunk);
                chunk[index] ^= 1;
                chunk.freeze()
            }
            _ => chunk,
        }
    }
}
