//! The connection below HTTP: where an answer is cut off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pace::Pacer;

const OPEN: u8 = 0;
const CLOSE_WHEN_FLUSHED: u8 = 1;
const RESET_WHEN_FLUSHED: u8 = 2;
const RESET_NOW: u8 = 3;

/// What the answers of one connection know about it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    end: AtomicU8,
    /// The connection's own line.
    pub(super) pacer: Pacer,
}

impl Connection {
    /// Closes in good order once all bytes written so far have left.
    pub(super) fn close(&self) {
        self.end.store(CLOSE_WHEN_FLUSHED, Ordering::Release);
    }

    /// Resets once all bytes written so far have left.
    pub(super) fn reset(&self) {
        self.end.store(RESET_WHEN_FLUSHED, Ordering::Release);
    }

    /// Resets before anything else leaves.
    pub(super) fn reset_now(&self) {
        self.end.store(RESET_NOW, Ordering::Release);
    }

    fn end(&self) -> u8 {
        self.end.load(Ordering::Acquire)
    }
}

/// A TCP stream that ends when its [`Connection`] says so.
///
/// The HTTP server flushes the stream below it only when its own buffer is empty; a flush is therefore the moment at which
/// all bytes of an answer have been handed to the kernel.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }

    fn refuse_when_reset<T>(&self) -> Option<Poll<io::Result<T>>> {
        (self.connection.end() == RESET_NOW).then(|| Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.refuse_when_reset() {
            return refused;
        }
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.refuse_when_reset() {
            return refused;
        }
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.connection.end() != OPEN {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // With no time to linger, closing sends a reset. A stream that is closed already cannot be reset; so be it.
        if matches!(self.connection.end(), RESET_WHEN_FLUSHED | RESET_NOW) {
            let _ = self.stream.set_zero_linger();
        }
    }
}
