//! The end of a gateway to the moment: over connections without a network, in a time that stands still while anybody works.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use roadstead_gateway::Gateway;
use roadstead_gateway::server::Listener;
use roadstead_gateway::telemetry::Telemetry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Where connections come in.
struct Door(UnboundedReceiver<DuplexStream>);

impl Listener for Door {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, SocketAddr)> {
        match self.0.recv().await {
            Some(stream) => Ok((stream, SocketAddr::from(([127, 0, 0, 1], 1)))),
            None => pending().await,
        }
    }
}

/// The status that a new connection is answered with.
async fn status(door: &UnboundedSender<DuplexStream>, path: &str) -> u16 {
    let (mut ours, theirs) = duplex(1 << 16);
    door.send(theirs).expect("connections are taken");
    let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    ours.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    ours.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn for_a_while_it_takes_connections_and_says_that_it_is_not_ready() {
    const DELAY: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_millis(2);
    let world = World::start().await;
    let (mut config, components) = world.parts("draining", Telemetry::new().unwrap());
    config.drain_delay = DELAY;
    let gateway = Gateway::start(config, components).await.unwrap();
    let ((door, public), (_admin_door, admin)) = (unbounded_channel(), unbounded_channel());
    let stop = CancellationToken::new();
    let served = tokio::spawn(gateway.serve(Door(public), Door(admin), stop.clone()));
    assert_eq!(status(&door, "/readyz").await, 200);

    let began = Instant::now();
    stop.cancel();
    for at in [began + MOMENT, began + DELAY - MOMENT] {
        tokio::time::sleep_until(at).await;
        assert_eq!((status(&door, "/readyz").await, status(&door, "/v2/").await), (503, 200));
    }
    door.closed().await;
    assert!((DELAY..DELAY + MOMENT).contains(&began.elapsed()), "{:?}", began.elapsed());
    served.await.unwrap();
}
