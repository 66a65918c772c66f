//! Plays a scenario: an upstream in this process, a gateway in its own, 64 clients; then faults off, and once more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::JoinSet;

use super::client::{Known, Manner, Puller};
use super::gateway::{GLANCE, Gateway, Setup, credentials};
use super::observed::{Asking, Census, Object, Observed, Phase, Process};
use super::scenario::{AuthPlan, Event, Happening, Scenario};
use crate::registry::{Auth, Bandwidth, Config, Redirect, TokenAuth, Upstream};

/// How long after the faults an image may still be refused: what the gateway remembers of "not here" (10 s) and of limits,
/// and as much again.
const RECOVERY: Duration = Duration::from_secs(25);
/// Pause between two attempts to pull what is still refused.
const RETRY: Duration = Duration::from_millis(250);
/// How long what was delivered may take to be recorded, and what was open to be closed.
const SETTLING: Duration = Duration::from_secs(10);
/// How long the gateway's runtime keeps threads that have nothing to do, and a little more.
const LINGER: Duration = Duration::from_secs(15);
/// One scenario in so many waits for that.
const LINGER_EVERY: u64 = 25;
/// Descriptors that a process may open once and for all while it works.
pub(super) const CENSUS_SLACK: usize = 4;

/// A scenario could not be played.
#[derive(Debug, thiserror::Error)]
pub enum StormError {
    /// The gateway did not start.
    #[error("{0} did not start: {1}")]
    Start(PathBuf, String),
    /// A file or process of ours.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The gateway's metrics could not be read, or the client could not be made.
    #[error("asking the gateway: {0}")]
    Http(#[from] reqwest::Error),
}

/// Plays a scenario in a folder.
///
/// # Errors
/// When the upstream or the gateway cannot be started or looked at: that says nothing about the scenario.
pub async fn play(setup: &Setup, scenario: &Scenario, folder: &Path) -> Result<Observed, StormError> {
    let upstream = Arc::new(Upstream::start(config(scenario)).await?);
    upstream.keep_diary();
    let images = known(scenario, &upstream);
    let mut gateway = Gateway::start(setup, folder, &upstream.url(), scenario.auth).await?;
    // A connection for each request: what one client does to it is no other's.
    let http = Client::builder().no_proxy().pool_max_idle_per_host(0).tls_certs_only([]).build()?;
    let puller = Puller { http: http.clone(), base: gateway.base.clone(), images };
    gateway.metrics(&http).await?;
    let before = gateway.census()?;

    let mut helpers = JoinSet::new();
    helpers.spawn(keep_releasing(Arc::clone(&upstream), scenario.release_every_millis));
    let events = tokio::spawn(happen(Arc::clone(&upstream), scenario.events.clone()));
    let mut observed = Observed::default();
    let mut clients = JoinSet::new();
    for (number, plan) in scenario.clients.iter().cloned().enumerate() {
        let puller = puller.clone();
        clients.spawn(async move {
            tokio::time::sleep(Duration::from_millis(plan.at_millis)).await;
            puller.play(number, &plan).await
        });
    }
    for seen in clients.join_all().await {
        observed.answers.extend(seen);
    }
    // A panic there is ours, and has printed itself.
    let _ = events.await;

    upstream.set_faults([]);
    upstream.set_bandwidth(Bandwidth::default());
    recover(&puller, &mut observed).await;
    settle(&gateway, &http).await?;
    // For good: what was pulled once has to be there from now on. It also ends the connections that are kept for later.
    go_away(&upstream).await?;
    let asked = asked(&gateway, &http).await?;
    pull_all(&puller, &mut observed).await;
    observed.asked_again = self::asked(&gateway, &http).await? - asked;
    observed.pages = upstream.diary();
    observed.gateway = look(&mut gateway, &http, before, scenario.seed.is_multiple_of(LINGER_EVERY)).await?;
    Ok(observed)
}

fn config(scenario: &Scenario) -> Config {
    let token = |credentials, anonymous, seconds| {
        Auth::Token(TokenAuth { credentials, anonymous, expires_in: Some(seconds), ..TokenAuth::default() })
    };
    Config {
        auth: match scenario.auth {
            AuthPlan::Open => Auth::None,
            AuthPlan::Basic => Auth::Basic(credentials()),
            AuthPlan::AnonymousToken(seconds) => token(None, true, seconds),
            AuthPlan::Token(seconds) => token(Some(credentials()), false, seconds),
        },
        redirect: scenario.redirect.map(|status| Redirect { status, heads: false }),
        bandwidth: Bandwidth { total: scenario.bandwidth, per_connection: None },
        faults: scenario.faults.clone(),
        ..Config::default()
    }
}

fn known(scenario: &Scenario, upstream: &Upstream) -> Arc<Vec<Known>> {
    let images = scenario.build_images().into_iter().zip(&scenario.images).map(|(image, plan)| {
        upstream.push(&plan.repository, &plan.tag, &image);
        let blobs = image.blobs().map(|blob| blob.content().bytes()).collect();
        Known { repository: plan.repository.clone(), tag: plan.tag.clone(), image, blobs }
    });
    Arc::new(images.collect())
}

/// Also after the storm: a request that arrived in it may be held late.
async fn keep_releasing(upstream: Arc<Upstream>, every_millis: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(every_millis)).await;
        upstream.release();
    }
}

async fn happen(upstream: Arc<Upstream>, events: Vec<Event>) {
    let began = tokio::time::Instant::now();
    for event in events {
        tokio::time::sleep_until(began + Duration::from_millis(event.at_millis)).await;
        match event.what {
            Happening::RevokeTokens => upstream.revoke_tokens(),
            Happening::ExpireRedirects => upstream.expire_redirects(),
            Happening::Outage(millis) => {
                go_away(&upstream).await.expect("the port is given back soon");
                tokio::time::sleep(Duration::from_millis(millis)).await;
                upstream.resume().await.expect("the port is ours");
            }
        }
    }
}

/// Stops the upstream. Its port is free for a moment before it is ours again, and another scenario may take it meanwhile.
async fn go_away(upstream: &Upstream) -> std::io::Result<()> {
    let until = Instant::now() + SETTLING;
    loop {
        match upstream.stop().await {
            Err(_) if Instant::now() < until => tokio::time::sleep(GLANCE).await,
            stopped => return stopped,
        }
    }
}

fn whole_pull(phase: Phase, image: usize) -> Asking {
    Asking { phase, client: 0, image, object: Object::Tag, head: false, range: None }
}

/// Pulls every image whole, as often as it takes.
async fn recover(puller: &Puller, observed: &mut Observed) {
    for image in 0..puller.images.len() {
        let until = Instant::now() + RECOVERY;
        loop {
            let seen = puller.pull(whole_pull(Phase::Recovery, image), Manner::default()).await;
            let failed = seen.iter().find(|seen| !seen.is_whole()).map(|seen| format!("{seen:?}"));
            observed.answers.extend(seen);
            match failed {
                None => break,
                Some(_) if Instant::now() < until => tokio::time::sleep(RETRY).await,
                Some(why) => {
                    observed.unrecovered.push((image, why));
                    break;
                }
            }
        }
    }
}

async fn pull_all(puller: &Puller, observed: &mut Observed) {
    for image in 0..puller.images.len() {
        for object in [Object::Tag, Object::Manifest] {
            let asking = Asking { object, ..whole_pull(Phase::Gone, image) };
            observed.answers.extend(puller.pull(asking, Manner::default()).await);
        }
    }
}

/// How often the gateway has asked its upstream so far.
async fn asked(gateway: &Gateway, http: &Client) -> Result<u64, StormError> {
    let metrics = gateway.metrics(http).await?;
    Ok(metrics.get("roadstead_upstream_requests_total").map_or(0, |count| *count as u64))
}

/// Waits until everything that was delivered is recorded, or it is clear that it will not be.
async fn settle(gateway: &Gateway, http: &Client) -> Result<(), StormError> {
    let until = Instant::now() + SETTLING;
    loop {
        let metrics = gateway.metrics(http).await?;
        let value = |name: &str| metrics.get(name).copied().unwrap_or_default();
        let idle = value("roadstead_fills_running") == 0.0 && value("roadstead_unrecorded") == 0.0;
        if idle || Instant::now() > until {
            return Ok(());
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Looks at the gateway when all is over, and ends it.
async fn look(gateway: &mut Gateway, http: &Client, before: Census, lingers: bool) -> Result<Process, StormError> {
    let metrics = gateway.metrics(http).await?;
    let leftovers = gateway.leftovers()?;
    let until = Instant::now() + if lingers { LINGER } else { SETTLING };
    let after = loop {
        let after = gateway.census()?;
        if is_back(before, after, lingers) || Instant::now() > until {
            break after;
        }
        tokio::time::sleep(GLANCE).await;
    };
    let peak_bytes = gateway.peak()?;
    let exit = gateway.stop().await?;
    Ok(Process { before, after, lingered: lingers, metrics, leftovers, peak_bytes, exit })
}

/// Whether a process has given back what it opened.
pub(super) fn is_back(before: Census, after: Census, threads: bool) -> bool {
    let near = |before: usize, after: usize| after <= before + CENSUS_SLACK;
    near(before.sockets, after.sockets)
        && near(before.others, after.others)
        && (!threads || near(before.threads, after.threads))
}
