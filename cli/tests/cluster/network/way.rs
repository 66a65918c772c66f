//! How one direction between two processes is, and what that does to bytes.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// How long TCP takes at least to see that something was lost and to send it again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// How much is read at a time: a few packets, so that losses meet many of them.
const PIECE: usize = 16 * 1024;
/// How many pieces are on their way at once: about what socket buffers hold.
const ON_THE_WAY: usize = 64;

/// One direction. By default it is as fast as the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Nothing passes. What is sent meanwhile comes once it passes again, as TCP would have it; so does the end of a
    /// connection.
    pub(crate) silent: bool,
    /// How long everything takes.
    pub(crate) delay: Duration,
    /// How many of a hundred pieces are lost and have to be sent again, so that they and all after them come late.
    pub(crate) lost_percent: u8,
    /// How much passes.
    pub(crate) bytes_per_second: Option<u64>,
}

/// Carries bytes from one end to the other until there are no more. `seed` decides which pieces are lost.
pub(super) async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: watch::Receiver<Way>,
    seed: u64,
) -> io::Result<()> {
    let (sent, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let departing = way.clone();
    let read = async move {
        let mut lot = Lot(seed);
        loop {
            let mut piece = vec![0; PIECE];
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return Ok(());
            }
            piece.truncate(length);
            let Way { delay, lost_percent, .. } = *departing.borrow();
            let lost = if lot.hundredth() < lost_percent { RETRANSMISSION } else { Duration::ZERO };
            if sent.send((Instant::now() + delay + lost, piece)).await.is_err() {
                // The other half has ended, and says why.
                return Ok(());
            }
        }
    };
    let write = async move {
        let mut way = way;
        let mut line_free = Instant::now();
        while let Some((due, piece)) = arriving.recv().await {
            sleep_until(due).await;
            if let Some(rate) = way.borrow().bytes_per_second {
                line_free = line_free.max(Instant::now()) + Duration::from_secs_f64(piece.len() as f64 / rate as f64);
            }
            sleep_until(line_free).await;
            until_open(&mut way).await?;
            to.write_all(&piece).await?;
        }
        until_open(&mut way).await?;
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(|_| ())
}

async fn until_open(way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let opened = way.wait_for(|way| !way.silent).await;
    opened.map(|_| ()).map_err(|_| io::Error::other("the network is gone"))
}

/// Numbers that look random and are the same in every run.
struct Lot(u64);

impl Lot {
    fn hundredth(&mut self) -> u8 {
        // Knuth's constants; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from((self.0 >> 33) % 100).expect("below a hundred")
    }
}
