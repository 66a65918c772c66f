//! The network in user space: each address that processes call is a relay of this process, which looks up who calls and
//! treats the bytes of each direction as the trial says.
//!
//! Other than packets that are dropped, a connection is made although nothing passes: it is this process that accepts it.
//! What is said over it does not arrive, which is how a cut looks to whoever has a connection already.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::caller::Callers;
use super::way::{Way, carry};

/// All relays of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    shared: Arc<Shared>,
    running: Mutex<Vec<DropGuard>>,
}

#[derive(Debug, Default)]
struct Shared {
    callers: Callers,
    /// By who sends and who receives.
    ways: Mutex<HashMap<(String, String), watch::Sender<Way>>>,
}

impl Shared {
    fn way(&self, from: &str, to: &str) -> watch::Receiver<Way> {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.entry((from.to_owned(), to.to_owned())).or_default().subscribe()
    }

    async fn relay(self: Arc<Self>, caller: TcpStream, name: String, address: SocketAddr, number: u64) {
        let (Ok(from), Ok(to)) = (caller.peer_addr(), caller.local_addr()) else { return };
        let who = self.callers.name(from, to);
        // Refused by whoever is not there: the caller sees its connection end.
        let Ok(called) = TcpStream::connect(address).await else { return };
        // Small messages are not to wait for an answer to the last one.
        let _ = (caller.set_nodelay(true), called.set_nodelay(true));
        let (there, back) = (self.way(&who, &name), self.way(&name, &who));
        let ((caller_reads, caller_writes), (called_reads, called_writes)) = (caller.into_split(), called.into_split());
        // Where one direction breaks, both ends hear of it.
        let _ = tokio::try_join!(
            carry(caller_reads, called_writes, there, 2 * number),
            carry(called_reads, caller_writes, back, 2 * number + 1),
        );
    }
}

impl Relays {
    /// Who is which process.
    pub(crate) fn callers(&self) -> &Callers {
        &self.shared.callers
    }

    /// A relay to what `name` listens on at `address`, and where it is.
    pub(crate) async fn front(&self, name: &str, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((address.ip(), 0)).await.unwrap();
        let front = listener.local_addr().unwrap();
        let (stop, shared, name) = (CancellationToken::new(), Arc::clone(&self.shared), name.to_owned());
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(stop.clone().drop_guard());
        tokio::spawn(async move {
            let mut number = 0;
            while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
                let Ok((caller, _)) = accepted else { continue };
                number += 1;
                let relayed = Arc::clone(&shared).relay(caller, name.clone(), address, number);
                let stop = stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(relayed).await });
            }
        });
        front
    }

    /// How the way from one to the other is from now on, also for connections that stand.
    pub(crate) fn set(&self, from: &str, to: &str, way: Way) {
        let mut ways = self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.entry((from.to_owned(), to.to_owned())).or_default().send_replace(way);
    }

    /// Every way is as at first.
    pub(crate) fn heal(&self) {
        let ways = self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.values().for_each(|way| {
            way.send_replace(Way::default());
        });
    }
}
