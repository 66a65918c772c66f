//! The network between a client and the nodes: names, and lines that a test can cut.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roadstead_proto::rpc::{Connect, Connection};
use tokio::io::{AsyncRead, AsyncWrite, copy, copy_bidirectional, split};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How a line behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// As it should.
    Up,
    /// Nobody listens at the other end, and what was open breaks.
    Refuses,
    /// Everything is accepted, and nothing comes of it.
    Hangs,
    /// What is said arrives, and what is answered does not.
    Mute,
}

struct End {
    address: SocketAddr,
    line: watch::Sender<Line>,
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
        self.ends().insert(name.to_owned(), End { address, line: watch::channel(Line::Up).0 });
    }

    /// From now on the line to `name` behaves so, for what is open too.
    pub(crate) fn set(&self, name: &str, line: Line) {
        self.ends()[name].line.send_replace(line);
    }

    /// `name` stands for all of `addresses`.
    pub(crate) fn stands_for(&self, name: &str, addresses: &[String]) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), addresses.to_vec());
    }
}

/// Moves bytes for as long as the line behaves as it does; whoever called hangs on a line that does not.
async fn carry(
    mut near: impl AsyncRead + AsyncWrite + Unpin,
    mut far: impl AsyncRead + AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
) {
    loop {
        let now = *line.borrow_and_update();
        let carried = async {
            match now {
                Line::Up => drop(copy_bidirectional(&mut near, &mut far).await),
                Line::Refuses => {}
                Line::Hangs => std::future::pending().await,
                Line::Mute => {
                    let (mut said, _) = split(&mut near);
                    let (_, mut heard) = split(&mut far);
                    drop(copy(&mut said, &mut heard).await);
                }
            }
        };
        tokio::select! {
            () = carried => return,
            changed = line.changed() => match changed {
                // What was said on a bad line is not heard again.
                Ok(()) if now == Line::Up => {}
                _ => return,
            },
        }
    }
}

/// The wire as a client dials through it.
pub(crate) struct Through(pub(crate) Arc<Wire>);

#[async_trait::async_trait]
impl Connect for Through {
    async fn connect(&self, name: &str) -> io::Result<Box<dyn Connection>> {
        let (address, line) = {
            let ends = self.0.ends();
            let end = ends.get(name).ok_or(io::ErrorKind::NotFound)?;
            (end.address, end.line.subscribe())
        };
        if *line.borrow() == Line::Refuses {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (here, near) = tokio::io::duplex(1 << 16);
        tokio::spawn(carry(near, stream, line));
        Ok(Box::new(here))
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<String>> {
        let names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(names.get(name).cloned().unwrap_or_else(|| vec![name.to_owned()]))
    }
}
