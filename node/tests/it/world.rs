//! One member that a test can stop, crash and start again.

use std::path::Path;
use std::sync::Arc;

use roadstead_node::testing::power::Power;
use roadstead_node::{Components, Config, LocalMeta, Node};
use roadstead_proto::clock::{Clock, SystemClock};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::principal::{Role, TokenHash};
use roadstead_proto::domain::registry::GroupId;
use roadstead_proto::meta::{Consistency, MetaError, MetaStore};
use roadstead_proto::state::command::{Bootstrap, Command, Outcome, PutToken};
use tempfile::TempDir;

pub(crate) struct World {
    directory: TempDir,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    node: Option<Node>,
    pub(crate) power: Power,
}

impl World {
    /// A member with its first configuration, ready.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}, Arc::new(SystemClock)).await
    }

    /// The same, with other settings and another clock.
    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config), clock: Arc<dyn Clock>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut config = Config::alone(directory.path().join("node"));
        adjust(&mut config);
        let mut world = Self { directory, config, clock, node: None, power: Power::on(0) };
        world.start_again(0).await;
        bootstrap(&world.meta()).await;
        world
    }

    /// Starts on the same directory, with power of this seed.
    pub(crate) async fn start_again(&mut self, seed: u64) {
        self.power = Power::on(seed);
        let medium = Arc::new(self.power.clone());
        let components = Components { clock: Arc::clone(&self.clock), medium, ..Components::default() };
        let node = Node::start(self.config.clone(), components).await.expect("the member starts");
        node.ready().await.expect("the member is ready");
        self.node = Some(node);
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("the member runs")
    }

    pub(crate) fn meta(&self) -> Arc<LocalMeta> {
        self.node().meta()
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn stop(&mut self) {
        self.node.take().expect("the member runs").shutdown().await.expect("an orderly stop");
    }

    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again(0).await;
    }

    /// Takes the power away. What the disk has then is all there is.
    pub(crate) async fn crash(&mut self) {
        self.power.cut();
        self.node.take().expect("the member runs").crash().await;
    }
}

pub(crate) async fn bootstrap(meta: &LocalMeta) {
    let command = Command::Bootstrap(Bootstrap {
        group_path: "default".into(),
        registry_name: "default".into(),
        upstreams: vec![],
    });
    meta.propose(command).await.expect("the first configuration");
}

/// A write that is visible in the configuration under its name.
pub(crate) async fn put_token(meta: &LocalMeta, name: &str) -> Result<Outcome, MetaError> {
    let token = PutToken {
        name: name.to_owned(),
        hash: TokenHash::of(name),
        group: GroupId(1),
        role: Role::Reader,
        expires_at: None,
    };
    meta.propose(Command::PutToken(token)).await
}

pub(crate) async fn put_tokens(meta: &LocalMeta, numbers: std::ops::Range<u32>) {
    for number in numbers {
        put_token(meta, &number.to_string()).await.expect("a token");
    }
}

/// The names of all tokens, and the revision they are of.
pub(crate) async fn tokens(meta: &LocalMeta, consistency: Consistency) -> (Revision, Vec<String>) {
    let configuration = meta.configuration(consistency).await.expect("the configuration");
    (configuration.revision, configuration.tokens.into_iter().map(|token| token.name).collect())
}

pub(crate) fn names(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}
