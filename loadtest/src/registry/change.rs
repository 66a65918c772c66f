//! What can be changed of a running upstream: the one vocabulary of the HTTP API and of scenario files. Pure.

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Auth, Bandwidth, Effect, Fault, RateLimit, Redirect};
use crate::image::Image;

/// An image of more layers is none that any client takes.
const MAX_LAYERS: usize = 1000;

/// Layers are hashed when they are made; more than this takes longer than anyone waits.
const MAX_IMAGE_BYTES: u64 = 64 << 30;

/// Any number of changes, made in the order of the fields.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// All counters back to zero.
    pub reset_counters: bool,
    /// In place of the faults in force.
    pub faults: Option<Vec<Fault>>,
    /// Besides the faults in force.
    pub add_faults: Vec<Fault>,
    /// In place of the registry's own ways.
    pub quirks: Option<Vec<Fault>>,
    /// How fast bodies are sent.
    pub bandwidth: Option<Bandwidth>,
    /// Whether and how blobs are redirected.
    pub redirect: Option<Switch>,
    /// Who may pull.
    pub auth: Option<Auth>,
    /// In place of the rate limits in force.
    pub rates: Option<Vec<RateLimit>>,
    /// Images that are made and pushed.
    pub images: Vec<Recipe>,
    /// Tags that are pointed at manifests which their repositories have.
    pub tags: Vec<Retag>,
    /// Tags, manifests and blobs that go.
    pub remove: Vec<Removal>,
    /// Every address that was redirected to so far is worth nothing.
    pub expire_redirects: bool,
    /// Every token issued so far is worth nothing.
    pub revoke_tokens: bool,
    /// What is held or hangs by a fault goes on.
    pub release: bool,
    /// Whether the upstream is down.
    pub down: Option<Down>,
}

impl Change {
    /// Whether all of it can be done, as far as that can be told beforehand.
    ///
    /// # Errors
    /// When a value is none that the upstream could take.
    pub fn check(&self) -> Result<(), BadChange> {
        let lists = [self.faults.as_deref(), Some(&*self.add_faults), self.quirks.as_deref()];
        lists.into_iter().flatten().flatten().try_for_each(Fault::check)?;
        if let Some(Switch::As(redirect)) = &self.redirect {
            redirect.check()?;
        }
        if self.rates.iter().flatten().any(|limit| limit.window_seconds == 0) {
            return Err(BadChange::Window);
        }
        self.images.iter().try_for_each(Recipe::check)
    }
}

/// Whether blobs are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected true, false or an object of `status` and `heads`")]
pub enum Switch {
    /// Not at all, or in the usual way.
    On(bool),
    /// In this way.
    As(Redirect),
}

impl Switch {
    pub(super) fn redirect(self) -> Option<Redirect> {
        match self {
            Switch::On(on) => on.then(Redirect::default),
            Switch::As(redirect) => Some(redirect),
        }
    }
}

/// An image to be made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Where to.
    pub repository: String,
    /// Under which tag.
    pub tag: String,
    /// What its bytes are a function of.
    #[serde(default)]
    pub seed: u64,
    /// The size of each layer.
    #[serde(default)]
    pub layers: Vec<u64>,
    /// Whether layers are archives that can be unpacked.
    #[serde(default)]
    pub tar: bool,
}

impl Recipe {
    /// The image itself; `untyped` leaves `mediaType` out of its manifest.
    pub fn build(&self, untyped: bool) -> Image {
        let builder = Image::builder(self.seed).layers(&self.layers);
        let builder = if self.tar { builder.tar() } else { builder };
        if untyped { builder.untyped() } else { builder }.build()
    }

    fn check(&self) -> Result<(), BadChange> {
        if self.repository.is_empty() || self.tag.is_empty() {
            return Err(BadChange::Nameless);
        }
        let sum = self.layers.iter().try_fold(0_u64, |sum, size| sum.checked_add(*size));
        let fits = self.layers.len() <= MAX_LAYERS && sum.is_some_and(|sum| sum <= MAX_IMAGE_BYTES);
        if fits { Ok(()) } else { Err(BadChange::Image { repository: self.repository.clone(), tag: self.tag.clone() }) }
    }
}

/// What was made of a [`Recipe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Where it is.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Its configuration, then its layers.
    pub blobs: Vec<MadeBlob>,
}

/// One blob of a [`Made`] image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MadeBlob {
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Made {
    pub(super) fn of(recipe: &Recipe, image: &Image) -> Self {
        let blobs = image.blobs().map(|blob| MadeBlob { digest: blob.digest().to_owned(), size: blob.size() });
        Self {
            repository: recipe.repository.clone(),
            tag: recipe.tag.clone(),
            digest: image.digest().to_owned(),
            blobs: blobs.collect(),
        }
    }
}

/// A tag that is to lead elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retag {
    /// The repository.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// A manifest that the repository has.
    pub digest: String,
}

/// Something that is to go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removal {
    /// The repository.
    pub repository: String,
    /// A tag, or the digest of a manifest or blob.
    pub reference: String,
}

/// Whether the upstream is down: connections are cut off and refused, at the registry and where redirects lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawDown")]
pub enum Down {
    /// It is, until it is told to come back. Written `true`.
    UntilUp,
    /// It is, for so long. Written as people write durations: `"2s"`, `"150ms"`.
    For(Duration),
    /// It is back. Written `false`.
    Up,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected true, false or a duration such as \"2s\"")]
enum RawDown {
    Switch(bool),
    For(String),
}

impl TryFrom<RawDown> for Down {
    type Error = String;

    fn try_from(raw: RawDown) -> Result<Self, String> {
        match raw {
            RawDown::Switch(true) => Ok(Down::UntilUp),
            RawDown::Switch(false) => Ok(Down::Up),
            RawDown::For(text) => humantime::parse_duration(&text)
                .map(Down::For)
                .map_err(|error| format!("`{text}` is no duration such as \"2s\": {error}")),
        }
    }
}

/// A value that the upstream cannot take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadChange {
    /// A status that no answer can have.
    #[error("an answer cannot have the status {0}; 200 to 599 are possible")]
    Status(u16),
    /// A status that leads nowhere.
    #[error("a redirect cannot have the status {0}; 301, 302, 303, 307 and 308 are possible")]
    RedirectStatus(u16),
    /// A header that cannot be sent.
    #[error("`{0}` is no name of a header")]
    HeaderName(String),
    /// A header that cannot be sent.
    #[error("the value `{value}` of the header `{name}` has characters that cannot be sent")]
    HeaderValue {
        /// The header.
        name: String,
        /// What it was to say.
        value: String,
    },
    /// A rate limit without a window.
    #[error("the window_seconds of a rate limit are 0; give it a second at least")]
    Window,
    /// An image without a name.
    #[error("an image needs a repository and a tag")]
    Nameless,
    /// An image that nobody would wait for.
    #[error("{repository}:{tag} is too large; {MAX_LAYERS} layers and {} GiB together are possible", MAX_IMAGE_BYTES >> 30)]
    Image {
        /// Its repository.
        repository: String,
        /// Its tag.
        tag: String,
    },
}

impl Redirect {
    /// # Errors
    /// When its status is none of a redirect.
    pub fn check(&self) -> Result<(), BadChange> {
        redirect_status(self.status)
    }
}

impl Fault {
    /// Whether it can be played.
    ///
    /// # Errors
    /// When an answer cannot have the status or a header that it wants.
    pub fn check(&self) -> Result<(), BadChange> {
        match &self.effect {
            Effect::Status { status, .. } if !(200..=599).contains(status) => Err(BadChange::Status(*status)),
            Effect::RedirectTo { status, location } => {
                redirect_status(*status)?;
                header("location", location)
            }
            Effect::Headers { headers } => headers.iter().try_for_each(|(name, value)| header(name, value)),
            _ => Ok(()),
        }
    }
}

fn redirect_status(status: u16) -> Result<(), BadChange> {
    matches!(status, 301 | 302 | 303 | 307 | 308).then_some(()).ok_or(BadChange::RedirectStatus(status))
}

fn header(name: &str, value: &str) -> Result<(), BadChange> {
    if name.parse::<HeaderName>().is_err() {
        return Err(BadChange::HeaderName(name.to_owned()));
    }
    match value.parse::<HeaderValue>() {
        Ok(_) => Ok(()),
        Err(_) => Err(BadChange::HeaderValue { name: name.to_owned(), value: value.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Change {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn switches_are_written_as_people_would() {
        let down = |text: &str| parse(text).down.unwrap();
        assert_eq!(down(r#"{"down":true}"#), Down::UntilUp);
        assert_eq!(down(r#"{"down":false}"#), Down::Up);
        assert_eq!(down(r#"{"down":"150ms"}"#), Down::For(Duration::from_millis(150)));
        let redirect = |text: &str| parse(text).redirect.unwrap().redirect();
        assert_eq!(redirect(r#"{"redirect":true}"#), Some(Redirect::default()));
        assert_eq!(redirect(r#"{"redirect":false}"#), None);
        assert_eq!(redirect(r#"{"redirect":{"status":302}}"#), Some(Redirect { status: 302, heads: false }));
    }

    #[test]
    fn what_is_misspelt_is_named() {
        for (text, named) in [
            (r#"{"fault":[]}"#, "unknown field `fault`"),
            (r#"{"down":"soon"}"#, "`soon` is no duration"),
            (r#"{"down":7}"#, "expected true, false or a duration"),
            (r#"{"redirect":7}"#, "expected true, false or an object"),
            (r#"{"auth":{"token":{"lifetime":7}}}"#, "unknown field `lifetime`"),
            (r#"{"rates":[{"window":7}]}"#, "unknown field `window`"),
        ] {
            let error = serde_json::from_str::<Change>(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_reason() {
        for (text, reason) in [
            (r#"{"faults":[{"effect":{"status":{"status":99}}}]}"#, "status 99"),
            (r#"{"add_faults":[{"effect":{"headers":{"headers":[["a b","c"]]}}}]}"#, "`a b` is no name"),
            (r#"{"quirks":[{"effect":{"headers":{"headers":[["a","\n"]]}}}]}"#, "of the header `a`"),
            (r#"{"faults":[{"effect":{"redirect_to":{"location":"/","status":200}}}]}"#, "status 200"),
            (r#"{"redirect":{"status":200}}"#, "status 200"),
            (r#"{"rates":[{"window_seconds":0}]}"#, "window_seconds"),
            (r#"{"images":[{"repository":"","tag":"1"}]}"#, "needs a repository"),
            (r#"{"images":[{"repository":"a","tag":"1","layers":[18446744073709551615]}]}"#, "a:1 is too large"),
        ] {
            let reason_given = parse(text).check().unwrap_err().to_string();
            assert!(reason_given.contains(reason), "{text}: {reason_given}");
        }
        assert_eq!(parse(r#"{"redirect":true,"images":[{"repository":"a","tag":"1","layers":[5]}]}"#).check(), Ok(()));
    }
}
