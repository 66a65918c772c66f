//! The handle of a running upstream.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::timeout;
use tracing::{info, warn};

use super::control::{Control, Ports};
use super::listener::Port;
use super::route::Origin;
use super::serve::Server;
use super::{
    Auth, Bandwidth, Change, Config, Counters, Fault, Made, Page, RateLimit, RateState, Recipe, Redirect, Refused,
    Scenario, Step,
};
use crate::index::Bundle;

/// How long [`Upstream::wait_for`] waits before it gives up: a test that hangs says nothing, one that panics says why.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running synthetic upstream: a registry and the origin that it redirects to. Dropping it ends both.
#[derive(Debug)]
pub struct Upstream {
    server: Arc<Server>,
    ports: Arc<Ports>,
    stage: Option<Port>,
}

impl Upstream {
    /// Starts an upstream without any image, on the tokio runtime it is called in.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Self> {
        let server = Arc::new(Server::new(&config));
        let within = Control { server: Arc::clone(&server), ports: None };
        let cdn = Port::open(config.cdn_listen, Origin::Cdn, config.tls.as_ref(), within.clone()).await?;
        server.cdn_port.store(cdn.addr().port(), Ordering::Relaxed);
        let registry = Port::open(config.listen, Origin::Registry, config.tls.as_ref(), within).await?;
        let ports = Arc::new(Ports::new(registry, cdn));
        let stage = match config.stage_listen {
            Some(addr) => {
                let control = Control { server: Arc::clone(&server), ports: Some(Arc::clone(&ports)) };
                Some(Port::open(addr, Origin::Stage, None, control).await?)
            }
            None => None,
        };
        Ok(Self { server, ports, stage })
    }

    /// Where the registry listens.
    pub fn addr(&self) -> SocketAddr {
        self.ports.registry.addr()
    }

    /// Where blobs are redirected to.
    pub fn cdn_addr(&self) -> SocketAddr {
        self.ports.cdn.addr()
    }

    /// `http://<address>` of the registry; `https://` with TLS.
    pub fn url(&self) -> String {
        format!("{}://{}", self.server.scheme, self.addr())
    }

    /// The same of the origin that redirects lead to.
    pub fn cdn_url(&self) -> String {
        format!("{}://{}", self.server.scheme, self.cdn_addr())
    }

    /// The project that clients have to name before every repository, if there is one.
    pub fn project(&self) -> Option<&str> {
        self.server.project.as_deref()
    }

    /// `http://<address>` of the stage's own port, if it has one.
    pub fn stage_url(&self) -> Option<String> {
        self.stage.as_ref().map(|port| format!("http://{}", port.addr()))
    }

    /// Makes a change, as the HTTP API and scenarios do.
    ///
    /// # Errors
    /// When it cannot be made: nothing of that name is there, or a port is not free. What it says before that is done.
    pub async fn change(&self, change: Change) -> Result<Vec<Made>, Refused> {
        self.control().apply(change).await
    }

    /// Plays a scenario; returns after its last step, and never when it begins anew. A step that is refused is logged.
    pub async fn play(&self, scenario: &Scenario) {
        let mut beginning = tokio::time::Instant::now();
        loop {
            for Step { at, change } in scenario.steps() {
                tokio::time::sleep_until(beginning + *at).await;
                match self.change(change.clone()).await {
                    Ok(_) => info!(?at, "a step of the scenario was played"),
                    Err(error) => warn!(?at, %error, "a step of the scenario was refused"),
                }
            }
            let Some(every) = scenario.every() else {
                return;
            };
            beginning += every;
        }
    }

    /// Makes an image in this registry's ways, and puts it where it says.
    pub async fn make(&self, recipe: Recipe) -> Made {
        self.control().make(recipe).await
    }

    fn control(&self) -> Control {
        Control { server: Arc::clone(&self.server), ports: Some(Arc::clone(&self.ports)) }
    }

    /// Puts an image, an index or a bare manifest into a repository and points the tag at it.
    pub fn push(&self, repository: &str, tag: &str, bundle: impl Into<Bundle>) {
        let bundle = bundle.into();
        self.server.catalog.write().expect("nothing panics while it is held").push(repository, tag, bundle);
    }

    /// Points the tag at a manifest that the repository has already.
    ///
    /// # Panics
    /// When the repository has no such manifest.
    pub fn retag(&self, repository: &str, tag: &str, digest: &str) {
        let known =
            self.server.catalog.write().expect("nothing panics while it is held").retag(repository, tag, digest);
        assert!(known, "{repository} has no manifest {digest}");
    }

    /// Takes a tag, a manifest with its tags, or a blob out of a repository.
    ///
    /// # Panics
    /// When the repository has no such thing.
    pub fn remove(&self, repository: &str, reference: &str) {
        let known = self.server.catalog.write().expect("nothing panics while it is held").remove(repository, reference);
        assert!(known, "{repository} has no {reference}");
    }

    /// What was counted since the start or the last reset.
    pub fn counters(&self) -> Counters {
        self.server.tally.snapshot()
    }

    /// All counters back to zero, save for what is in flight.
    pub fn reset_counters(&self) {
        self.server.tally.reset();
    }

    /// From now on every request is written down.
    pub fn keep_diary(&self) {
        self.server.diary.begin();
    }

    /// What was written down since [`keep_diary`](Self::keep_diary), in the order in which the requests came.
    pub fn diary(&self) -> Vec<Page> {
        self.server.diary.pages()
    }

    /// Waits until the counters are as wanted, and returns them.
    ///
    /// # Panics
    /// When that takes more than 30 seconds; the message has the counters.
    pub async fn wait_for(&self, wanted: impl FnMut(&Counters) -> bool) -> Counters {
        let mut counters = self.server.tally.subscribe();
        match timeout(PATIENCE, counters.wait_for(wanted)).await {
            Ok(reached) => reached.expect("the server is borrowed, hence alive").clone(),
            Err(_) => panic!("not reached within {PATIENCE:?}: {:#?}", self.counters()),
        }
    }

    /// Replaces all faults; their counts begin anew. Requests that have arrived keep theirs.
    pub fn set_faults(&self, faults: impl IntoIterator<Item = Fault>) {
        self.server.faults.set(faults.into_iter().collect());
    }

    /// Adds a fault to those in force.
    pub fn add_fault(&self, fault: Fault) {
        self.server.faults.add(fault);
    }

    /// The faults in force, each with the number of requests that it fitted so far, the ones that it skipped included.
    pub fn faults(&self) -> Vec<(Fault, u64)> {
        self.server.faults.list()
    }

    /// Lets go on whatever is held or hangs by a fault. Requests that come later are held anew.
    pub fn release(&self) {
        self.server.release();
    }

    /// Changes how fast bodies are sent, also those on their way.
    pub fn set_bandwidth(&self, bandwidth: Bandwidth) {
        self.server.line.set(bandwidth);
    }

    /// Changes whether blobs are answered with a redirect.
    pub fn set_redirect(&self, redirect: Option<Redirect>) {
        *self.server.redirect.write().expect("nothing panics while it is held") = redirect;
    }

    /// Makes every address that was redirected to so far answer 403.
    pub fn expire_redirects(&self) {
        self.server.signature.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes who may pull.
    pub fn set_auth(&self, auth: Auth) {
        *self.server.auth.write().expect("nothing panics while it is held") = Arc::new(auth);
    }

    /// Replaces the rate limits; nothing is spent of the new ones but what they say themselves.
    pub fn set_rates(&self, limits: impl IntoIterator<Item = RateLimit>) {
        self.server.rates.set(limits.into_iter().collect());
    }

    /// The rate limits, and what is left of them.
    pub fn rates(&self) -> Vec<RateState> {
        self.server.rates.list(Instant::now())
    }

    /// Makes every token issued so far worthless.
    pub fn revoke_tokens(&self) {
        self.server.tokens.revoke_all();
    }

    /// The upstream is down: connections are cut off and refused, on both ports.
    ///
    /// # Errors
    /// When somebody else took a port in the moment in which it was free.
    pub async fn stop(&self) -> io::Result<()> {
        self.ports.close().await
    }

    /// The upstream is back, on the same ports, with the same images, tokens and counters.
    ///
    /// # Errors
    /// When a port cannot be listened on.
    pub async fn resume(&self) -> io::Result<()> {
        self.ports.reopen().await
    }

    /// Accepts no more connections, lets answers on their way end for two seconds, and ends.
    pub async fn shutdown(self) {
        self.release();
        tokio::join!(self.ports.registry.drain(), self.ports.cdn.drain());
    }
}
