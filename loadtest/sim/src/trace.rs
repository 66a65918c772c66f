//! Everything that the code says while it runs, packets and raft's steps included, as one number: two runs with the same
//! number did the same.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use roadstead_proto::domain::digest::encode_hex;
use sha2::{Digest as _, Sha256};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// What is traced: turmoil's packets, and the steps of ours and of raft.
const WHAT: &str = "debug,turmoil=trace,h2=info,hyper=info,tower=info";

/// The trace of this process's run.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Sink>>);

struct Sink {
    hash: Sha256,
    lines: u64,
    file: Option<BufWriter<File>>,
}

struct SimulatedTime;

impl FormatTime for SimulatedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:.3}", turmoil::sim_elapsed().unwrap_or_default().as_secs_f64())
    }
}

impl Trace {
    /// Begins to trace, into `file` as well where one is wanted.
    pub(crate) fn begin(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        let trace = Self(Arc::new(Mutex::new(Sink { hash: Sha256::new(), lines: 0, file })));
        let writer = trace.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_timer(SimulatedTime)
            .with_env_filter(EnvFilter::new(std::env::var("SIM_TRACE").unwrap_or_else(|_| WHAT.to_owned())))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        Ok(trace)
    }

    /// The number, and how many lines it stands for.
    pub(crate) fn end(&self) -> (String, u64) {
        let mut sink = self.0.lock().expect("one thread");
        if let Some(file) = &mut sink.file {
            let _ = file.flush();
        }
        (encode_hex(&sink.hash.clone().finalize()[..8]), sink.lines)
    }
}

impl Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sink = self.0.lock().expect("one thread");
        sink.hash.update(bytes);
        sink.lines += 1;
        if let Some(file) = &mut sink.file {
            file.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
