//! The network in user space does what trials say of it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::network::{OUTSIDE, Relays, Way};

/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited for what must not come.
const LONG_ENOUGH: Duration = Duration::from_millis(150);

/// Something that says everything back, and what it has heard.
struct Echo {
    address: SocketAddr,
    heard: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (hears, heard) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let hears = hears.clone();
                tokio::spawn(async move {
                    let mut buffer = [0; 64 * 1024];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        let _ = hears.send(buffer[..length].to_vec());
                        if stream.write_all(&buffer[..length]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heard }
    }
}

async fn said_back(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut answer = vec![0; length];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer").unwrap();
    answer
}

async fn stays_silent(stream: &mut TcpStream) {
    let heard = timeout(LONG_ENOUGH, stream.read(&mut [0; 8])).await;
    assert!(heard.is_err(), "nothing was to come: {heard:?}");
}

#[tokio::test]
async fn bytes_and_ends_pass_both_ways() {
    let (echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    stream.write_all(b"ahoy").await.unwrap();
    assert_eq!(said_back(&mut stream, 4).await, b"ahoy");
    stream.shutdown().await.unwrap();
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0, "and it ends");
}

#[tokio::test]
async fn what_is_sent_into_a_silence_comes_when_it_is_over() {
    let (echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    relays.set(OUTSIDE, "echo", Way { silent: true, ..Way::default() });
    stream.write_all(b"ahoy").await.unwrap();
    stays_silent(&mut stream).await;
    relays.heal();
    assert_eq!(said_back(&mut stream, 4).await, b"ahoy");
}

#[tokio::test]
async fn a_silence_is_of_one_direction() {
    let (mut echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    relays.set("echo", OUTSIDE, Way { silent: true, ..Way::default() });
    stream.write_all(b"ahoy").await.unwrap();
    assert_eq!(timeout(PATIENCE, echo.heard.recv()).await.unwrap().unwrap(), b"ahoy", "it arrives");
    stays_silent(&mut stream).await;
    relays.heal();
    assert_eq!(said_back(&mut stream, 4).await, b"ahoy");
}

#[tokio::test]
async fn a_long_way_takes_its_time() {
    let (echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    let delay = Duration::from_millis(300);
    for (from, to) in [(OUTSIDE, "echo"), ("echo", OUTSIDE)] {
        relays.set(from, to, Way { delay, ..Way::default() });
    }
    let began = Instant::now();
    stream.write_all(b"ahoy").await.unwrap();
    said_back(&mut stream, 4).await;
    assert!(began.elapsed() >= 2 * delay, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_slow_line_lets_no_more_pass() {
    let (echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    relays.set(OUTSIDE, "echo", Way { bytes_per_second: Some(1_000_000), ..Way::default() });
    let began = Instant::now();
    stream.write_all(&vec![7; 300_000]).await.unwrap();
    assert_eq!(said_back(&mut stream, 300_000).await, vec![7; 300_000]);
    assert!(began.elapsed() >= Duration::from_millis(280), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_is_lost_comes_late() {
    let (echo, relays) = (Echo::start().await, Relays::default());
    let mut stream = TcpStream::connect(relays.front("echo", echo.address).await).await.unwrap();
    relays.set(OUTSIDE, "echo", Way { lost_percent: 100, ..Way::default() });
    let began = Instant::now();
    stream.write_all(b"ahoy").await.unwrap();
    said_back(&mut stream, 4).await;
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());
}

/// A shell that connects, says a word and stays.
struct Caller(Child);

impl Caller {
    fn start(front: SocketAddr, word: &str) -> Self {
        let script = format!("read -r; exec 3<>/dev/tcp/{}/{}; printf {word} >&3; read -r", front.ip(), front.port());
        let child = Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        Self(child)
    }

    fn call(&mut self) {
        use std::io::Write as _;
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn processes_are_told_apart() {
    let (mut echo, relays) = (Echo::start().await, Relays::default());
    let front = relays.front("echo", echo.address).await;
    let (mut cut_off, mut other) = (Caller::start(front, "first"), Caller::start(front, "second"));
    relays.callers().is(cut_off.0.id(), "gateway1");
    relays.callers().is(other.0.id(), "gateway2");
    relays.set("gateway1", "echo", Way { silent: true, ..Way::default() });
    cut_off.call();
    other.call();
    assert_eq!(timeout(PATIENCE, echo.heard.recv()).await.unwrap().unwrap(), b"second");
    assert!(timeout(LONG_ENOUGH, echo.heard.recv()).await.is_err(), "the first is cut off");
    relays.heal();
    assert_eq!(timeout(PATIENCE, echo.heard.recv()).await.unwrap().unwrap(), b"first");
}
