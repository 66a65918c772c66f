//! A port that can be closed and opened again.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::control::Control;
use super::route::Origin;
use super::stage;
use super::tls::{self, Agreed};
use super::wire::{Connection, Wire};
use super::{Protocol, Tls};

/// How long answers that are on their way may take to end when the server does.
const GRACE: Duration = Duration::from_secs(2);

/// How many connections may wait to be accepted; tests open hundreds at once.
const BACKLOG: u32 = 1024;

/// What one HTTP/2 stream may have on its way: several megabytes, so that the client's window is the limit, not ours.
const HTTP2_SEND_BUFFER: usize = 4 * 1024 * 1024;

/// A user name, a password and some scopes are shorter.
const FORM_LIMIT: usize = 64 * 1024;

/// One listening port and its connections.
#[derive(Debug)]
pub(super) struct Port {
    addr: SocketAddr,
    door: Door,
    state: Mutex<State>,
    /// Set once, at the end.
    gone: CancellationToken,
}

/// What every connection of a port needs.
#[derive(Clone)]
struct Door {
    origin: Origin,
    tls: Option<TlsAcceptor>,
    control: Control,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("origin", &self.origin).finish_non_exhaustive()
    }
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
    pub(super) async fn open(
        addr: SocketAddr,
        origin: Origin,
        tls: Option<&Tls>,
        control: Control,
    ) -> io::Result<Self> {
        let tls = tls.map(|tls| tls.acceptor(origin)).transpose()?;
        let door = Door { origin, tls, control };
        let listener = bind(addr)?.listen(BACKLOG)?;
        let (addr, gone) = (listener.local_addr()?, CancellationToken::new());
        let accepting = Accepting::start(listener, door.clone(), &gone);
        Ok(Self { addr, door, state: Mutex::new(State::Open(accepting)), gone })
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
        *state = State::Open(Accepting::start(listener, self.door.clone(), &self.gone));
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
    fn start(listener: TcpListener, door: Door, gone: &CancellationToken) -> Self {
        let (drain, stop) = (CancellationToken::new(), gone.child_token());
        let task = tokio::spawn(accept(listener, door, drain.clone(), stop.clone()));
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

async fn accept(listener: TcpListener, door: Door, drain: CancellationToken, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = drain.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    door.control.server.tally.connected(door.origin);
                    drop(connections.spawn(converse(stream, door.clone(), drain.clone())));
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

/// All requests of one connection.
async fn converse(stream: TcpStream, door: Door, drain: CancellationToken) {
    // Answers are small or fast; waiting for more to send would only add latency.
    let _ = stream.set_nodelay(true);
    let connection = Arc::new(Connection::default());
    let wire = Wire::new(stream, Arc::clone(&connection));
    let tally = &door.control.server.tally;
    let Some(acceptor) = &door.tls else {
        tally.speaks(door.origin, Protocol::Http1, false);
        return talk(wire, Protocol::Http1, door, connection, drain).await;
    };
    let accepted = tokio::select! {
        accepted = acceptor.accept(wire) => accepted,
        () = drain.cancelled() => return,
    };
    match accepted {
        Ok(stream) => {
            let Agreed { protocol, client_certificate } = tls::agreed(&stream);
            tally.speaks(door.origin, protocol, client_certificate);
            talk(stream, protocol, door, connection, drain).await;
        }
        Err(error) => {
            tally.handshake_failed();
            debug!(%error, "a TLS handshake failed");
        }
    }
}

async fn talk(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    door: Door,
    connection: Arc<Connection>,
    drain: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (origin, control, connection) = (door.origin, door.control.clone(), Arc::clone(&connection));
        async move {
            if origin != Origin::Cdn && stage::is_for(request.uri().path()) {
                return Ok(stage::serve(&control, request).await);
            }
            if origin == Origin::Stage {
                return Ok(stage::text(StatusCode::NOT_FOUND, "only /_stage/ is here".to_owned()));
            }
            let (mut head, body) = request.into_parts();
            name_the_host(&mut head);
            let form = if head.method == Method::POST { form(body).await } else { None };
            Ok::<_, Infallible>(control.server.serve(origin, &head, form.as_deref(), connection).await)
        }
    });
    let io = TokioIo::new(io);
    // The two builders share their shape, not a trait.
    macro_rules! until_ended {
        ($serving:expr) => {{
            let mut serving = std::pin::pin!($serving);
            tokio::select! {
                ended = serving.as_mut() => ended,
                () = drain.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            }
        }};
    }
    let ended = match protocol {
        Protocol::Http1 => until_ended!(
            http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(None).serve_connection(io, service)
        ),
        Protocol::Http2 => until_ended!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_send_buf_size(HTTP2_SEND_BUFFER)
                .serve_connection(io, service)
        ),
    };
    if let Err(error) = ended {
        debug!(%error, "a connection ended early");
    }
}

/// What a client posts to the token endpoint; `None` when it is no text, or too long.
async fn form(body: Incoming) -> Option<String> {
    let body = Limited::new(body, FORM_LIMIT).collect().await.ok()?.to_bytes();
    String::from_utf8(body.to_vec()).ok()
}

/// HTTP/2 names the host in the request's address; everything behind this looks for the header of HTTP/1.1.
fn name_the_host(head: &mut Parts) {
    let authority = head.uri.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(authority) = authority
        && !head.headers.contains_key(HOST)
    {
        head.headers.insert(HOST, authority);
    }
}
