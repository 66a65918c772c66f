//! A port that can be closed and opened again.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::route::Origin;
use super::serve::Server;
use super::stage;
use super::wire::{Connection, Wire};

/// How long answers that are on their way may take to end when the server does.
const GRACE: Duration = Duration::from_secs(2);

/// How many connections may wait to be accepted; tests open hundreds at once.
const BACKLOG: u32 = 1024;

/// One listening port and its connections.
#[derive(Debug)]
pub(super) struct Port {
    addr: SocketAddr,
    origin: Origin,
    server: Arc<Server>,
    state: Mutex<State>,
    /// Set once, at the end.
    gone: CancellationToken,
}

#[derive(Debug)]
enum State {
    Open(Accepting),
    /// The port stays ours: bound, but not listening, so that connections are refused and nobody else takes it.
    /// `None` after listening again has failed: the port is lost.
    Closed(Option<TcpSocket>),
}

#[derive(Debug)]
struct Accepting {
    task: JoinHandle<()>,
    /// No more connections; those that are open may end.
    drain: CancellationToken,
    /// No more connections, and no more of those that are open.
    stop: CancellationToken,
}

impl Port {
    pub(super) async fn open(addr: SocketAddr, origin: Origin, server: Arc<Server>) -> io::Result<Self> {
        let listener = bind(addr)?.listen(BACKLOG)?;
        let (addr, gone) = (listener.local_addr()?, CancellationToken::new());
        let accepting = Accepting::start(listener, origin, Arc::clone(&server), &gone);
        Ok(Self { addr, origin, server, state: Mutex::new(State::Open(accepting)), gone })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts every connection off and refuses new ones.
    pub(super) async fn close(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        if let State::Open(accepting) = &mut *state {
            accepting.stop.cancel();
            accepting.ended().await;
            *state = State::Closed(Some(bind(self.addr)?));
        }
        Ok(())
    }

    /// Listens again, on the same port.
    pub(super) async fn reopen(&self) -> io::Result<()> {
        let mut state = self.state.lock().await;
        let State::Closed(socket) = &mut *state else {
            return Ok(());
        };
        let Some(socket) = socket.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let listener = socket.listen(BACKLOG)?;
        *state = State::Open(Accepting::start(listener, self.origin, Arc::clone(&self.server), &self.gone));
        Ok(())
    }

    /// Lets answers that are on their way end, for a while.
    pub(super) async fn drain(&self) {
        if let State::Open(accepting) = &mut *self.state.lock().await {
            accepting.drain.cancel();
            if timeout(GRACE, accepting.ended()).await.is_err() {
                accepting.stop.cancel();
                accepting.ended().await;
            }
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Accepting {
    fn start(listener: TcpListener, origin: Origin, server: Arc<Server>, gone: &CancellationToken) -> Self {
        let (drain, stop) = (CancellationToken::new(), gone.child_token());
        let task = tokio::spawn(accept(listener, origin, server, drain.clone(), stop.clone()));
        Self { task, drain, stop }
    }

    async fn ended(&mut self) {
        if !self.task.is_finished() {
            // Cancelled only with the runtime, and a panic has printed itself.
            let _ = (&mut self.task).await;
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the last listener linger on the port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn accept(
    listener: TcpListener,
    origin: Origin,
    server: Arc<Server>,
    drain: CancellationToken,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = drain.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    server.tally.connected();
                    drop(connections.spawn(converse(stream, origin, Arc::clone(&server), drain.clone())));
                }
                Err(error) => debug!(%error, "a connection was not accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    tokio::select! {
        () = stop.cancelled() => {}
        () = async { while connections.join_next().await.is_some() {} } => {}
    }
    connections.shutdown().await;
}

/// All requests of one connection, one after the other.
async fn converse(stream: TcpStream, origin: Origin, server: Arc<Server>, drain: CancellationToken) {
    // Answers are small or fast; waiting for more to send would only add latency.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let io = TokioIo::new(Wire::new(stream, Arc::clone(&connection)));
    let service = service_fn(|request: Request<Incoming>| {
        let (server, connection) = (Arc::clone(&server), Arc::clone(&connection));
        async move {
            if origin == Origin::Registry && stage::is_for(request.uri().path()) {
                return Ok(stage::serve(&server, request).await);
            }
            let (head, _) = request.into_parts();
            Ok::<_, Infallible>(server.serve(origin, &head, connection).await)
        }
    });
    let mut serving = std::pin::pin!(
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(None).serve_connection(io, service)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}
