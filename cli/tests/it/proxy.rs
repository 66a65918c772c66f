//! A real proxy: it opens tunnels (CONNECT) and remembers them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Tunnel {
    /// Where to, as the client said it.
    pub(crate) to: String,
    /// `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
}

#[derive(Default)]
struct State {
    tunnels: Mutex<Vec<Tunnel>>,
    refusing: AtomicBool,
}

pub(crate) struct Proxy {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, state) = (listener.local_addr().unwrap(), Arc::new(State::default()));
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, Arc::clone(&shared)));
            }
        });
        Self { addr, state, accepting }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address, with these credentials (`user:password@`).
    pub(crate) fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.addr)
    }

    /// Every tunnel that was opened.
    pub(crate) fn tunnels(&self) -> Vec<Tunnel> {
        self.state.tunnels.lock().unwrap().clone()
    }

    /// From now on nobody is known.
    pub(crate) fn refuse(&self) {
        self.state.refusing.store(true, Ordering::Relaxed);
    }

    /// Takes no connections any more.
    pub(crate) async fn close(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }
}

/// Reads the request, connects, and passes bytes on until both sides have ended.
async fn tunnel(client: TcpStream, state: Arc<State>) {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.trim() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let to = head[0].strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned();
    let mut fields = head.iter().filter_map(|line| line.split_once(": "));
    let authorization = fields.find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    if state.refusing.load(Ordering::Relaxed) {
        let answer =
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    let authorization = authorization.map(|(_, value)| value.to_owned());
    state.tunnels.lock().unwrap().push(Tunnel { to: to.clone(), authorization });
    let Ok(mut server) = TcpStream::connect(&to).await else { return };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
