//! A line of the table as data, and how it is played.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use roadstead_gateway::config::Timeouts;
use roadstead_loadtest::content::digest_of;
use roadstead_loadtest::image::Image;
use roadstead_loadtest::registry::{self, Fault, Kind};

use crate::world::{Keeping, World, blob, eventually, manifest, read};

/// A line, as it is told.
pub(crate) struct Line {
    pub(crate) test: &'static str,
    pub(crate) fault: String,
    pub(crate) client: String,
    pub(crate) kept: String,
    pub(crate) asked: String,
}

/// What is pulled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pull {
    /// The image's manifest by its tag.
    Tag,
    /// The same by its digest.
    Digest,
    /// The layer, of which no manifest was pulled before.
    Layer,
    /// The layer after the manifest, which says its size.
    LayerOfManifest,
}

/// What a client sees.
pub(crate) enum Sees {
    /// 200 and every byte.
    Whole,
    /// This status, with this code of the distribution API.
    Refused(u16, &'static str),
    /// 200, and then the connection is cut.
    Cut,
    /// That, or 502 where the verdict on so small a body is there before the headers leave.
    CutOrBadGateway,
}

/// What the store and the metadata have after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

/// How patient the gateway is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As in production, but for the pauses between attempts.
    Usual,
    /// Little: for upstreams that keep silent.
    Little,
}

/// One thing that goes wrong, and what becomes of it.
pub(crate) struct Case {
    /// In words.
    pub(crate) fault: &'static str,
    pub(crate) upstream: registry::Config,
    pub(crate) faults: Vec<Fault>,
    pub(crate) keeping: Keeping,
    pub(crate) room: bool,
    /// Credentials that the gateway has.
    pub(crate) credentials: Option<(&'static str, &'static str)>,
    pub(crate) patience: Patience,
    pub(crate) pull: Pull,
    pub(crate) layer: u64,
    pub(crate) client: Sees,
    pub(crate) kept: Kept,
    /// Requests by kind; what is not named is not asked.
    pub(crate) asked: Vec<(Kind, u64)>,
    /// The most bytes of the layer that the upstream may send, in hundredths of it.
    pub(crate) bytes_percent: Option<u64>,
}

/// Nothing goes wrong, and a layer is pulled: what a line does not say.
pub(crate) fn case(fault: &'static str) -> Case {
    Case {
        fault,
        upstream: registry::Config::default(),
        faults: Vec::new(),
        keeping: Keeping::Directory,
        room: true,
        credentials: None,
        patience: Patience::Usual,
        pull: Pull::Layer,
        layer: 9_000_000,
        client: Sees::Whole,
        kept: Kept::Yes,
        asked: vec![(Kind::BlobGet, 1)],
        bytes_percent: None,
    }
}

const SILENCE: Duration = Duration::from_millis(2500);

impl Case {
    pub(crate) fn by(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.faults = faults.into_iter().collect();
        self
    }

    pub(crate) fn at(mut self, upstream: registry::Config) -> Self {
        self.upstream = upstream;
        self
    }

    pub(crate) fn over(mut self, keeping: Keeping) -> Self {
        self.keeping = keeping;
        self
    }

    pub(crate) fn without_room(mut self) -> Self {
        self.room = false;
        self
    }

    pub(crate) fn signed_in(mut self, user: &'static str, password: &'static str) -> Self {
        self.credentials = Some((user, password));
        self
    }

    pub(crate) fn impatient(mut self) -> Self {
        self.patience = Patience::Little;
        self
    }

    pub(crate) fn pulling(mut self, pull: Pull) -> Self {
        self.pull = pull;
        self
    }

    pub(crate) fn layer(mut self, bytes: u64) -> Self {
        self.layer = bytes;
        self
    }

    pub(crate) fn seen(mut self, client: Sees) -> Self {
        self.client = client;
        if !matches!(self.client, Sees::Whole) {
            self.kept = Kept::No;
        }
        self
    }

    pub(crate) fn not_kept(mut self) -> Self {
        self.kept = Kept::No;
        self
    }

    pub(crate) fn kept(mut self) -> Self {
        self.kept = Kept::Yes;
        self
    }

    pub(crate) fn asked(mut self, asked: impl IntoIterator<Item = (Kind, u64)>) -> Self {
        self.asked = asked.into_iter().collect();
        self
    }

    pub(crate) fn sending_at_most(mut self, percent: u64) -> Self {
        self.bytes_percent = Some(percent);
        self
    }

    pub(crate) fn line(&self, test: &'static str) -> Line {
        let client = match self.client {
            Sees::Whole => "200, every byte".to_owned(),
            Sees::Refused(status, code) => format!("{status} `{code}`"),
            Sees::Cut => "200, then cut".to_owned(),
            Sees::CutOrBadGateway => "200, then cut; or 502 `UNAVAILABLE`".to_owned(),
        };
        let kept = if self.kept == Kept::Yes { "yes" } else { "nothing" };
        let mut asked: Vec<String> =
            self.asked.iter().map(|(kind, count)| format!("{count} {}", name(*kind))).collect();
        if let Some(percent) = self.bytes_percent {
            asked.push(format!("at most {}.{:02} × the bytes", percent / 100, percent % 100));
        }
        let mut fault = self.fault.to_owned();
        if self.pull == Pull::LayerOfManifest {
            fault.push_str(" (the manifest was pulled before)");
        }
        Line { test, fault, client, kept: kept.to_owned(), asked: asked.join(", ") }
    }

    pub(crate) async fn play(self) {
        let image = Image::builder(1).layers(&[self.layer]).build();
        let layer = image.layers()[0].digest().to_owned();
        let mut world = World::with(vec![self.upstream.clone()], |settings| {
            settings[0].credentials = self.credentials.map(|(user, password)| World::credentials(user, password));
        })
        .await;
        world.upstream().push("a/b", "x", &image);
        world = self.shape(world).await;
        if self.pull == Pull::LayerOfManifest {
            assert_eq!(world.get(&manifest("a/b", "x")).await.digest(), image.digest());
            world.settle(image.digest()).await;
        }
        world.upstream().reset_counters();
        world.upstream().set_faults(self.faults.clone());

        let (path, wanted) = match self.pull {
            Pull::Tag => (manifest("a/b", "x"), image.digest().to_owned()),
            Pull::Digest => (manifest("a/b", image.digest()), image.digest().to_owned()),
            Pull::Layer | Pull::LayerOfManifest => (blob("a/b", &layer), layer.clone()),
        };
        self.check_client(&world, &path, &wanted).await;

        quiet(&world).await;
        self.check_upstream(&world, &layer);
        assert_eq!(world.is_recorded(&wanted).await, self.kept == Kept::Yes, "{}: kept", self.fault);

        // The fault is over, and what was kept is all there is. The same gateway serves it, whatever it has been through.
        world.upstream().set_faults([]);
        world.upstream().set_auth(registry::Auth::None);
        world.clock.advance(Duration::from_secs(3600));
        if self.kept == Kept::Yes {
            world.upstream().stop().await.unwrap();
        }
        let again = world.get(&path).await;
        assert_eq!((again.status, again.digest()), (StatusCode::OK, wanted.clone()), "{}: the next pull", self.fault);
        quiet(&world).await;

        // Drained, nothing is left of it; and a new start has what was kept.
        world.stop().await;
        let unclaimed: Vec<String> = world.files().into_iter().filter(|file| file.contains('#')).collect();
        assert!(unclaimed.is_empty(), "{}: left behind: {unclaimed:?}", self.fault);
        world.start_again_in_health().await;
        let again = world.get(&path).await;
        assert_eq!((again.status, again.digest()), (StatusCode::OK, wanted), "{}: after a restart", self.fault);
        world.stop().await;
    }

    async fn shape(&self, world: World) -> World {
        let timeouts = Timeouts {
            resume_pause: Duration::from_millis(1),
            resume_pause_max: Duration::from_millis(2),
            ..Timeouts::default()
        };
        let world = match self.patience {
            Patience::Usual => world.with_patience(timeouts, Duration::from_secs(20)).await,
            Patience::Little => {
                let little = Timeouts { answer: SILENCE, headers: SILENCE / 2, standstill: SILENCE, ..timeouts };
                world.with_patience(little, SILENCE).await
            }
        };
        let world = world.keeping(self.keeping.clone()).await;
        if self.room { world } else { world.without_room().await }
    }

    async fn check_client(&self, world: &World, path: &str, wanted: &str) {
        let response = world.send(Method::GET, &world.url(path), &[]).await.unwrap();
        let status = response.status();
        match self.client {
            Sees::Whole => {
                assert_eq!(status, StatusCode::OK, "{}", self.fault);
                let body = read(response).await.unwrap_or_else(|error| panic!("{}: {error}", self.fault));
                assert_eq!(digest_of(&body), *wanted, "{}", self.fault);
            }
            Sees::CutOrBadGateway if status == StatusCode::BAD_GATEWAY => {}
            Sees::Cut | Sees::CutOrBadGateway => {
                assert_eq!(status, StatusCode::OK, "{}", self.fault);
                let body = read(response).await;
                assert!(body.is_err(), "{}: {} bytes ended cleanly", self.fault, body.map_or(0, |body| body.len()));
            }
            Sees::Refused(expected, code) => {
                let body = response.bytes().await.unwrap();
                assert_eq!(status.as_u16(), expected, "{}: {body:?}", self.fault);
                let error: serde_json::Value = serde_json::from_slice(&body).expect("an error of the distribution API");
                assert_eq!(error["errors"][0]["code"], code, "{}", self.fault);
                let told = String::from_utf8_lossy(&body);
                assert!(!told.contains("127.0.0.1"), "{}: tells of the upstream: {told}", self.fault);
            }
        }
    }

    fn check_upstream(&self, world: &World, layer: &str) {
        let counters = world.upstream().counters();
        let asked: Vec<(Kind, u64)> =
            KINDS.iter().map(|kind| (*kind, counters.of(*kind))).filter(|asked| asked.1 > 0).collect();
        let mut expected = self.asked.clone();
        expected.sort_unstable();
        let mut sorted = asked.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected, "{}: what the upstream was asked", self.fault);
        assert_eq!(counters.cdn_authorizations(), 0, "{}: a secret crossed to another host", self.fault);
        if let Some(percent) = self.bytes_percent {
            let sent = counters.bytes_of(layer);
            assert!(sent * 100 <= self.layer * percent, "{}: {sent} bytes were sent", self.fault);
        }
    }
}

/// Waits until no download runs and nothing is left to record.
async fn quiet(world: &World) {
    eventually("nothing runs any more", async || {
        let metrics = world.metrics().await;
        ["roadstead_fills_running", "roadstead_unrecorded"].iter().all(|gauge| {
            let value = metrics.lines().find(|line| line.starts_with(gauge));
            value.is_none_or(|line| line.ends_with(" 0"))
        })
    })
    .await;
}

const KINDS: [Kind; 11] = [
    Kind::Ping,
    Kind::Token,
    Kind::ManifestGet,
    Kind::ManifestHead,
    Kind::BlobGet,
    Kind::BlobHead,
    Kind::Tags,
    Kind::Referrers,
    Kind::CdnGet,
    Kind::CdnHead,
    Kind::Other,
];

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ping => "ping",
        Kind::Token => "token",
        Kind::ManifestGet => "manifest GET",
        Kind::ManifestHead => "manifest HEAD",
        Kind::BlobGet => "blob GET",
        Kind::BlobHead => "blob HEAD",
        Kind::Tags => "tags",
        Kind::Referrers => "referrers",
        Kind::CdnGet => "GET at the redirect's target",
        Kind::CdnHead => "HEAD at the redirect's target",
        Kind::Other => "other",
    }
}
