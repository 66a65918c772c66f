//! The real code on turmoil's network: streams that tonic takes, a listener that the gateway takes, and a way out.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use roadstead_gateway::server::Listener;
use roadstead_proto::rpc::{Connect, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use turmoil::net::{TcpListener, TcpStream};

/// A connection, as servers take it.
pub(crate) struct Accepted {
    stream: TcpStream,
    /// Whether one byte of each large piece that is sent is another one.
    spoils: bool,
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.spoils && buf.len() > 4096 {
            let mut wrong = buf.to_vec();
            wrong[buf.len() / 2] ^= 1;
            return Pin::new(&mut self.stream).poll_write(cx, &wrong);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Every connection to `port` of this host.
pub(crate) async fn incoming(port: u16) -> io::Result<impl Stream<Item = io::Result<Accepted>> + Send + 'static> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    Ok(futures::stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| Accepted { stream, spoils: false });
        Some((accepted, listener))
    }))
}

/// A listener of this host, as the gateway takes it.
pub(crate) struct Listening {
    listener: TcpListener,
    spoils: bool,
}

impl Listening {
    pub(crate) async fn on(port: u16, spoils: bool) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(("0.0.0.0", port)).await?, spoils })
    }
}

impl Listener for Listening {
    type Stream = Accepted;

    async fn accept(&mut self) -> io::Result<(Accepted, SocketAddr)> {
        let (stream, peer) = self.listener.accept().await?;
        Ok((Accepted { stream, spoils: self.spoils }, peer))
    }
}

/// The way out of this host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Network;

#[async_trait::async_trait]
impl Connect for Network {
    async fn connect(&self, address: &str) -> io::Result<Box<dyn Connection>> {
        let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
        let port = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
        let stream = TcpStream::connect((host, port)).await?;
        Ok(Box::new(stream))
    }
}
