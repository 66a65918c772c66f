//! What is played, as data: the whole of it follows from the seed.

use serde::Serialize;

use crate::image::{Form, Image};
use crate::registry::Fault;

/// How many clients pull in each scenario.
pub(super) const CLIENTS: usize = 64;

/// One scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// What the upstream has.
    pub images: Vec<ImagePlan>,
    /// Who may pull from it.
    pub auth: AuthPlan,
    /// The status by which it redirects blobs to another origin.
    pub redirect: Option<u16>,
    /// Bytes per second of all its answers together.
    pub bandwidth: Option<u64>,
    /// How often what is held or hangs is let go on.
    pub release_every_millis: u64,
    /// What goes wrong with requests.
    pub faults: Vec<Fault>,
    /// What happens to the upstream as a whole.
    pub events: Vec<Event>,
    /// Who pulls what.
    pub clients: Vec<ClientPlan>,
}

/// One image.
#[derive(Clone, Debug, Serialize)]
pub struct ImagePlan {
    /// Its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// What its bytes are made of.
    pub seed: u64,
    /// The image whose layers lie below its own, by its place in the list.
    pub base: Option<usize>,
    /// Bytes of each layer of its own.
    pub layers: Vec<u64>,
    /// Whether its media types are Docker's.
    pub docker: bool,
}

/// Who may pull from the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthPlan {
    /// Everybody.
    Open,
    /// Whoever knows the password.
    Basic,
    /// Whoever has a token, which everybody gets, for so many seconds.
    AnonymousToken(u64),
    /// Whoever has a token, which only the user gets, for so many seconds.
    Token(u64),
}

/// Something that happens to the upstream as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, from the start of the clients on.
    pub at_millis: u64,
    /// What.
    pub what: Happening,
}

/// See [`Event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// It is away for so many milliseconds.
    Outage(u64),
    /// Tokens issued so far are worth nothing.
    RevokeTokens,
    /// Addresses redirected to so far are worth nothing.
    ExpireRedirects,
}

/// One client.
#[derive(Clone, Debug, Serialize)]
pub struct ClientPlan {
    /// When it begins.
    pub at_millis: u64,
    /// Of which image, by its place in the list.
    pub image: usize,
    /// What it does.
    pub errand: Errand,
    /// Bytes per second that it reads of each body; as fast as it can without.
    pub rate: Option<u64>,
    /// It leaves for good after so many bytes of a body.
    pub leaves_after: Option<u64>,
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// The image by its tag: manifest, then configuration and layers side by side.
    PullTag,
    /// The same by its digest.
    PullDigest,
    /// One blob, by its place among configuration and layers.
    Blob(usize),
    /// Parts of one blob, one after the other; first and last byte.
    Ranges(usize, Vec<(u64, u64)>),
    /// `HEAD` of the manifest by its tag, then of every blob.
    Heads,
}

impl Scenario {
    /// The images themselves, in order.
    pub fn build_images(&self) -> Vec<Image> {
        let mut built: Vec<Image> = Vec::with_capacity(self.images.len());
        for plan in &self.images {
            let form = if plan.docker { Form::Docker } else { Form::Oci };
            let builder = Image::builder(plan.seed).layers(&plan.layers).form(form);
            let image = match plan.base.and_then(|base| built.get(base)) {
                Some(base) => builder.base(base).build(),
                None => builder.build(),
            };
            built.push(image);
        }
        built
    }

    /// Whether nothing goes wrong in it.
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty() && self.events.is_empty()
    }
}
