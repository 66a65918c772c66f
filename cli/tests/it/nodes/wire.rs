//! The network between a client and the nodes: names, and lines that a test can cut.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roadstead_proto::rpc::{Connect, Connection};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// How a line behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it should.
    Up,
    /// Nobody listens at the other end.
    Refuses,
    /// It is accepted, and nothing ever comes of it.
    Hangs,
}

struct End {
    address: SocketAddr,
    line: Line,
    /// Ends the connections of now.
    cut: CancellationToken,
    calls: usize,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Wire {
    ends: Mutex<BTreeMap<String, End>>,
    names: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Wire {
    fn ends(&self) -> MutexGuard<'_, BTreeMap<String, End>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `name` listens on `address`.
    pub(crate) fn connects(&self, name: &str, address: SocketAddr) {
        let end = End { address, line: Line::Up, cut: CancellationToken::new(), calls: 0 };
        self.ends().insert(name.to_owned(), end);
    }

    /// From now on the line to `name` behaves so; what runs over it breaks.
    pub(crate) fn set(&self, name: &str, line: Line) {
        let mut ends = self.ends();
        let end = ends.get_mut(name).unwrap();
        end.line = line;
        std::mem::replace(&mut end.cut, CancellationToken::new()).cancel();
    }

    /// `name` stands for all of `addresses`.
    pub(crate) fn stands_for(&self, name: &str, addresses: &[String]) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), addresses.to_vec());
    }

    /// How often `name` was connected to.
    pub(crate) fn connections(&self, name: &str) -> usize {
        self.ends()[name].calls
    }
}

/// The wire as a client dials through it.
pub(crate) struct Through(pub(crate) Arc<Wire>);

#[async_trait::async_trait]
impl Connect for Through {
    async fn connect(&self, name: &str) -> io::Result<Box<dyn Connection>> {
        let (address, line, cut) = {
            let mut ends = self.0.ends();
            let end = ends.get_mut(name).ok_or(io::ErrorKind::NotFound)?;
            end.calls += 1;
            (end.address, end.line, end.cut.clone())
        };
        let (near, mut far) = tokio::io::duplex(1 << 16);
        match line {
            Line::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Line::Hangs => {
                tokio::spawn(async move {
                    cut.cancelled().await;
                    drop(far);
                });
            }
            Line::Up => {
                let mut stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    cut.run_until_cancelled(tokio::io::copy_bidirectional(&mut far, &mut stream)).await
                });
            }
        }
        Ok(Box::new(near))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<String>> {
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(names.get(name).cloned().unwrap_or_else(|| vec![name.to_owned()]))
    }
}
