//! Many clients at once on one address: what each of them waited, against one client elsewhere in the same run.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use url::Url;

/// Options of `herd`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What one client pulls first, to compare with; without it nothing is compared.
    #[arg(long, value_name = "URL")]
    direct: Option<Url>,
    /// How many clients pull at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    clients: u32,
    /// What all of them pull. Where it ends in a SHA-256 digest, the first client's bytes are checked against it.
    through: Url,
}

/// What one pull waited.
#[derive(Debug, Clone, Copy)]
struct Pull {
    first_byte: Duration,
    total: Duration,
    bytes: u64,
}

struct Comparison<'a> {
    direct: Option<Pull>,
    herd: &'a [Pull],
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let mut first: Vec<Duration> = self.herd.iter().map(|pull| pull.first_byte).collect();
        first.sort();
        let slowest = self.herd.iter().map(|pull| pull.total).max().unwrap_or_default();
        let (median, latest) = (first[first.len() / 2], first[first.len() - 1]);
        if let Some(direct) = self.direct {
            let (first, total) = (millis(direct.first_byte), direct.total.as_secs_f64());
            writeln!(f, "direct       first byte {first:.1} ms, whole {total:.3} s, {} bytes", direct.bytes)?;
        }
        let (median, latest_ms, whole) = (millis(median), millis(latest), slowest.as_secs_f64());
        writeln!(
            f,
            "{:4} clients first byte {median:.1} ms median, {latest_ms:.1} ms latest; slowest {whole:.3} s",
            first.len()
        )?;
        if let Some(direct) = self.direct {
            let later = latest_ms - millis(direct.first_byte);
            let ratio = slowest.as_secs_f64() / direct.total.as_secs_f64();
            writeln!(f, "against it   first byte {later:+.1} ms (latest of all), slowest {ratio:.3} times")?;
        }
        Ok(())
    }
}

/// Pulls and prints.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let direct = match &args.direct {
            Some(url) => Some(pull(url, None, false).await.context("the direct pull")?),
            None => None,
        };
        let start = Arc::new(Barrier::new(args.clients as usize));
        let clients: Vec<_> = (0..args.clients)
            .map(|client| {
                let (url, start) = (args.through.clone(), Arc::clone(&start));
                tokio::spawn(async move { pull(&url, Some(start), client == 0).await })
            })
            .collect();
        let mut herd = Vec::with_capacity(clients.len());
        for client in clients {
            herd.push(client.await?.context("a client of the herd")?);
        }
        print!("{}", Comparison { direct, herd: &herd });
        Ok(())
    })
}

/// One GET over a connection of its own; timed from the request, as the connection stands.
async fn pull(url: &Url, start: Option<Arc<Barrier>>, check: bool) -> anyhow::Result<Pull> {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80));
    if url.scheme() != "http" {
        bail!("{url}: only http is measured");
    }
    let stream = TcpStream::connect((host, port)).await.with_context(|| format!("connecting to {host}:{port}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    if let Some(start) = start {
        start.wait().await;
    }
    let request = Request::get(url.path()).header("host", format!("{host}:{port}")).body(Empty::<Bytes>::new())?;
    let began = Instant::now();
    let response = sender.send_request(request).await?;
    if response.status() != StatusCode::OK {
        bail!("{url} answered {}", response.status());
    }
    let (mut body, mut bytes, mut first_byte) = (response.into_body(), 0, None);
    let mut hash = check.then(Sha256::new);
    while let Some(frame) = body.frame().await {
        let data = frame?.into_data().map_err(|_| anyhow!("{url} sent trailers"))?;
        first_byte.get_or_insert_with(|| began.elapsed());
        bytes += data.len() as u64;
        if let Some(hash) = &mut hash {
            hash.update(&data);
        }
    }
    let total = began.elapsed();
    if let (Some(hash), Some((_, expected))) = (hash, url.path().rsplit_once("sha256:")) {
        let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if digest != expected {
            bail!("{url} sent content with digest sha256:{digest}");
        }
    }
    Ok(Pull { first_byte: first_byte.unwrap_or(total), total, bytes })
}
