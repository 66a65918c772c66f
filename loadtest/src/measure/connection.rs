//! One keep-alive connection: send, read the head, drain the body.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::thread;
use std::time::{Duration, Instant};

use url::Url;

use super::head::{Head, HeadError};
use super::pace::Pace;

/// What is read at once. Less costs system calls, more falls out of the processor's cache.
const BUFFER: usize = 256 * 1024;

/// A server that says nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One address to load, with the request as it is sent.
#[derive(Clone, Debug)]
pub struct Target {
    address: SocketAddr,
    request: Vec<u8>,
}

impl Target {
    /// A GET of `url` with further header lines, such as `Accept: */*`.
    ///
    /// # Errors
    /// When the address is not plain HTTP or has no such host.
    pub fn get(url: &Url, headers: &[String]) -> io::Result<Self> {
        let unusable = |what| io::Error::new(io::ErrorKind::InvalidInput, format!("{url}: {what}"));
        if url.scheme() != "http" {
            return Err(unusable("only http is measured"));
        }
        let host = url.host_str().ok_or_else(|| unusable("no host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        let address = (host, port).to_socket_addrs()?.next().ok_or_else(|| unusable("no such host"))?;
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        for header in headers {
            request.push_str(&format!("{header}\r\n"));
        }
        request.push_str("\r\n");
        Ok(Self { address, request: request.into_bytes() })
    }

    /// The server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Why a request did not end as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("the server closed the connection before the end of its answer")]
    CutOff,
    #[error("{0}")]
    Unusable(#[from] HeadError),
    #[error("the head of the answer is larger than {BUFFER} bytes")]
    HugeHead,
    #[error("the server answered {0}")]
    Refused(u16),
}

/// One answer, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    pub(super) first_byte: Duration,
    pub(super) total: Duration,
    /// Bytes of the body that were read.
    pub(super) bytes: u64,
    /// Whether all of it was read; else time was up.
    pub(super) whole: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Box<[u8]>,
    rate: Option<u64>,
}

impl Connection {
    /// Connects; with a `rate`, reads no more than so many bytes per second.
    pub(super) fn open(address: SocketAddr, rate: Option<u64>) -> io::Result<Self> {
        let size = rate.map_or(BUFFER, |_| 16 * 1024);
        let mut connection = Self { address, stream: None, buffer: vec![0; size].into(), rate };
        connection.stream = Some(connection.connect()?);
        Ok(connection)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends one request and reads its answer, until `until` at the latest.
    pub(super) fn get(&mut self, target: &Target, until: Option<Instant>) -> Result<Drained, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect()?,
        };
        let began = Instant::now();
        stream.write_all(&target.request)?;
        let mut filled = 0;
        let head = loop {
            match stream.read(&mut self.buffer[filled..])? {
                0 if filled == self.buffer.len() => return Err(Failure::HugeHead),
                0 => return Err(Failure::CutOff),
                count => filled += count,
            }
            if let Some(head) = Head::parse(&self.buffer[..filled])? {
                break head;
            }
        };
        let first_byte = began.elapsed();
        let bytes = self.drain(&mut stream, (filled - head.size) as u64, head.length, until)?;
        let whole = bytes == head.length;
        if whole && !head.closes {
            self.stream = Some(stream);
        }
        if !(200..300).contains(&head.status) {
            return Err(Failure::Refused(head.status));
        }
        Ok(Drained { first_byte, total: began.elapsed(), bytes, whole })
    }

    /// Reads a body of which `bytes` have arrived; returns how many have in the end.
    fn drain(
        &mut self,
        stream: &mut TcpStream,
        mut bytes: u64,
        length: u64,
        until: Option<Instant>,
    ) -> Result<u64, Failure> {
        let mut pace = self.rate.map(|rate| Pace::new(rate, Instant::now()));
        let most = pace.as_ref().map_or(self.buffer.len(), |pace| pace.most().min(self.buffer.len()));
        while bytes < length {
            let most = usize::try_from(length - bytes).map_or(most, |left| left.min(most));
            let count = match stream.read(&mut self.buffer[..most])? {
                0 => return Err(Failure::CutOff),
                count => count,
            };
            bytes += count as u64;
            let now = Instant::now();
            if until.is_some_and(|until| now >= until) {
                break;
            }
            if let Some(pace) = &mut pace {
                let wait = pace.took(count, now);
                thread::sleep(until.map_or(wait, |until| wait.min(until - now)));
            }
        }
        Ok(bytes)
    }
}
