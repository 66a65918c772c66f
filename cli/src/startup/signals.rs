//! SIGTERM and SIGINT: the first ends in good order, the second at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell reports for a process that a signal ended is this and the signal's number.
const ENDED_BY_SIGNAL: i32 = 128;

/// Cancels `shutdown` on the first signal and ends the process on the second.
pub(crate) fn watch(shutdown: CancellationToken) -> io::Result<()> {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    tokio::spawn(async move {
        let (name, _) = signals.next().await;
        tracing::info!(
            signal = name,
            "ending in good order: no new pulls, running ones may end; a second signal ends at once"
        );
        shutdown.cancel();
        let (name, number) = signals.next().await;
        tracing::warn!(signal = name, "ending at once: running pulls are cut off");
        std::process::exit(ENDED_BY_SIGNAL + number);
    });
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// The next signal, by name and number.
    async fn next(&mut self) -> (&'static str, i32) {
        tokio::select! {
            _ = self.terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
        }
    }
}
