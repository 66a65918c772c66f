//! Clients that pull images through the gateways, as an engine behind a load balancer does: what breaks is asked for
//! again, at the next gateway.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use roadstead_proto::domain::digest::Digest;
use tokio::time::timeout;
use turmoil::net::TcpStream;

use super::{GATEWAY_PORT, gateway_name, pause};
use crate::content::{Image, Object, REPOSITORY};
use crate::history::{Got, Recorder, What};
use crate::stage::Stage;

const CONNECT: Duration = Duration::from_secs(1);
/// containerd gives up after so long without headers.
const HEADERS: Duration = Duration::from_secs(30);
/// Silence inside a body. Packets that a partition swallows are never sent again.
const SILENCE: Duration = Duration::from_secs(15);
/// Tries for one thing. Enough to outlast every fault of a scenario.
const TRIES: u64 = 120;

/// Pulls images, one after the other, beginning after `wait`.
pub(crate) async fn run(stage: Stage, number: u64, images: Vec<usize>, wait: Duration) -> turmoil::Result {
    tokio::time::sleep(wait).await;
    for image in images {
        let image: Image = stage.images[image].clone();
        let puller = Puller { stage: stage.clone(), number, recorder: stage.history.of(format!("puller-{number}")) };
        puller.get(&format!("manifests/{}", image.tag), &image.manifest).await;
        let blobs = image.blobs.iter().map(|blob| puller.blob(blob));
        futures::future::join_all(blobs).await;
    }
    Ok(())
}

struct Puller {
    stage: Stage,
    number: u64,
    recorder: Recorder,
}

impl Puller {
    async fn blob(&self, blob: &Object) {
        self.get(&format!("blobs/{}", blob.digest), blob).await;
    }

    async fn get(&self, path: &str, object: &Object) {
        let digest = object.digest.clone();
        for tried in 0..TRIES {
            let gateway = gateway_name(1 + (self.number + tried) % self.stage.gateways);
            let pull = self.stage.calls.next();
            let began = What::PullBegan { pull, gateway: gateway.clone(), digest: digest.clone() };
            self.recorder.record(began);
            let got = attempt(&gateway, path, &object.digest).await;
            self.recorder.record(What::PullEnded { pull, got: got.clone() });
            if let Got::Whole { right, .. } = got {
                return self.recorder.record(What::PullOver { digest, tries: tried + 1, whole: right });
            }
            pause(300).await;
        }
        self.recorder.record(What::PullOver { digest, tries: TRIES, whole: false });
    }
}

async fn attempt(gateway: &str, path: &str, digest: &Digest) -> Got {
    let nothing = |why: &str| Got::Nothing(why.to_owned());
    let Ok(connected) = timeout(CONNECT, TcpStream::connect((gateway, GATEWAY_PORT))).await else {
        return nothing("no connection in time");
    };
    let Ok(stream) = connected else { return nothing("no connection") };
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return nothing("no handshake");
    };
    let connection = tokio::spawn(connection);
    let got = ask(&mut sender, gateway, path, digest).await;
    connection.abort();
    got
}

async fn ask(
    sender: &mut hyper::client::conn::http1::SendRequest<Empty<Bytes>>,
    gateway: &str,
    path: &str,
    digest: &Digest,
) -> Got {
    let uri = format!("/v2/virtual_registries/container/1/{REPOSITORY}/{path}");
    let request = Request::get(uri).header("host", gateway).body(Empty::new()).expect("a request");
    let mut response = match timeout(HEADERS, sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => return Got::Nothing("no answer".to_owned()),
        Err(_) => return Got::Nothing("no headers in time".to_owned()),
    };
    if !response.status().is_success() {
        return Got::Status(response.status().as_u16());
    }
    let mut body = Vec::new();
    loop {
        match timeout(SILENCE, response.frame()).await {
            Ok(Some(Ok(frame))) => body.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => return Got::Part { bytes: body.len() as u64 },
        }
    }
    Got::Whole { right: Digest::sha256(&body) == *digest, bytes: body.len() as u64 }
}
