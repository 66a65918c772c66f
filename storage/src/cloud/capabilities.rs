//! What a store really does, tried out at every start with some twenty small requests that leave nothing behind.
//!
//! Stores that speak one protocol differ in what they keep of it. What this crate cannot do without (write, read a
//! range, list, upload in parts, remove) fails the start where it fails; the rest is told, logged and measured, and
//! nothing depends on it: not even on `If-None-Match`, which several stores ignore or race.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Url};
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, WriteMultipart};

use super::client::Client;
use crate::error::{Operation, StorageError};
use crate::key;
use crate::object::{advised, without_object};

/// Creates of one name at once. Of 16, stores that race let up to 16 win, but one time in three only one: a yes is what
/// was seen, not a proof.
const RACERS: usize = 8;
/// A trial URL is used at once.
const TRIAL_TTL: Duration = Duration::from_secs(60);
/// SHA-256 of something else than what is sent with it.
const WRONG_CHECKSUM: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TEXT: &[u8] = b"roadstead tries out what this store does\n";

/// An answer to "does it?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It could not be tried.
    Unknown,
}

/// What a store does beyond what is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Of several creates of one name at once, exactly one wins.
    pub atomic_create: Answer,
    /// A name that is taken is not created again.
    pub conditional_create: Answer,
    /// A signed URL is answered with the object.
    pub signed_urls: Answer,
    /// A URL whose signature was tampered with is refused.
    pub checks_signatures: Answer,
    /// An object that is not what its checksum says is refused.
    pub checks_checksums: Answer,
}

/// The store does not do what is needed.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A request failed.
    #[error("{doing} failed{}", advised(.source))]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// What happened.
        source: StorageError,
    },
    /// A request was answered with something else.
    #[error("{doing} is not what this store does: {what}")]
    Wrong {
        /// What was tried.
        doing: &'static str,
        /// What came instead.
        what: String,
    },
}

impl Capabilities {
    /// Each with its name in metrics and logs.
    pub fn each(&self) -> [(&'static str, Answer); 5] {
        [
            ("atomic_create", self.atomic_create),
            ("conditional_create", self.conditional_create),
            ("signed_urls", self.signed_urls),
            ("checks_signatures", self.checks_signatures),
            ("checks_checksums", self.checks_checksums),
        ]
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (name, answer)) in self.each().into_iter().enumerate() {
            write!(f, "{}{name} {answer}", if position > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        })
    }
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

/// Tries a store out.
pub(crate) async fn explore(client: &Client, http: &reqwest::Client) -> Result<Capabilities, Unusable> {
    let mut nonce = [0; 8];
    // Without randomness two starts at the same moment disturb each other's trials, and nothing else.
    let _ = getrandom::fill(&mut nonce);
    let trials = Trials { client, http, folder: key::trials_folder(u64::from_be_bytes(nonce)) };
    let found = trials.all().await;
    let removed = trials.remove().await;
    let found = found?;
    removed?;
    Ok(found)
}

struct Trials<'a> {
    client: &'a Client,
    http: &'a reqwest::Client,
    folder: Path,
}

impl Trials<'_> {
    async fn all(&self) -> Result<Capabilities, Unusable> {
        let needed = async {
            self.uploads().await?;
            self.reads().await?;
            self.lists().await
        };
        let (needed, (atomic_create, conditional_create), checks_checksums) =
            futures::join!(needed, self.creates(), self.checks_checksums());
        needed?;
        let (signed_urls, checks_signatures) = self.signed_urls().await;
        Ok(Capabilities { atomic_create, conditional_create, signed_urls, checks_signatures, checks_checksums })
    }

    fn store(&self) -> &dyn ObjectStore {
        &*self.client.bucket.objects
    }

    fn uploaded(&self) -> Path {
        self.folder.clone().join("uploaded")
    }

    fn created(&self) -> Path {
        self.folder.clone().join("created")
    }

    fn mistaken(&self) -> Path {
        self.folder.clone().join("mistaken")
    }

    async fn uploads(&self) -> Result<(), Unusable> {
        let doing = "an upload in parts";
        let begun = self.store().put_multipart(&self.uploaded()).await.map_err(failed(doing, Operation::Put))?;
        let mut upload = WriteMultipart::new(begun);
        upload.put(Bytes::from_static(TEXT));
        upload.finish().await.map(drop).map_err(failed(doing, Operation::Put))
    }

    async fn reads(&self) -> Result<(), Unusable> {
        let doing = "a read of a range";
        let read = self.store().get_range(&self.uploaded(), 10..15).await.map_err(failed(doing, Operation::Get))?;
        if read == TEXT[10..15] {
            return Ok(());
        }
        Err(Unusable::Wrong { doing, what: format!("5 bytes were asked for, {} came, or other ones", read.len()) })
    }

    async fn lists(&self) -> Result<(), Unusable> {
        let doing = "a listing";
        let found = self.store().list(Some(&self.folder)).try_collect::<Vec<_>>().await;
        let found = found.map_err(failed(doing, Operation::List))?;
        if found.iter().any(|meta| meta.location == self.uploaded() && meta.size == TEXT.len() as u64) {
            return Ok(());
        }
        Err(Unusable::Wrong { doing, what: "an object that was just written is not in it".to_owned() })
    }

    async fn creates(&self) -> (Answer, Answer) {
        let create = || {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            async move { self.store().put_opts(&self.created(), TEXT.into(), options).await }
        };
        let racers = futures::future::join_all((0..RACERS).map(|_| create())).await;
        let won = racers.iter().filter(|answer| answer.is_ok()).count();
        let lost = racers.iter().filter(|answer| is_taken(answer)).count();
        let atomic = match (won, lost) {
            (1, _) if lost == RACERS - 1 => Answer::Yes,
            (2.., _) => Answer::No,
            _ => Answer::Unknown,
        };
        let again = create().await;
        let conditional = match &again {
            Ok(_) => Answer::No,
            again if is_taken(again) => Answer::Yes,
            Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => Answer::No,
            Err(_) => Answer::Unknown,
        };
        // One that creates again what is there did not choose a winner either.
        (if conditional == Answer::No { Answer::No } else { atomic }, conditional)
    }

    async fn signed_urls(&self) -> (Answer, Answer) {
        let signed = self.client.signer.signed_url(Method::GET, &self.uploaded(), TRIAL_TTL).await;
        let Ok(url) = signed else { return (Answer::No, Answer::Unknown) };
        let Some(tampered) = tampered(&url) else { return (self.is_answered(url).await.into(), Answer::Unknown) };
        let (answered, tampered) = futures::join!(self.is_answered(url), self.is_answered(tampered));
        (answered.into(), if answered { (!tampered).into() } else { Answer::Unknown })
    }

    async fn is_answered(&self, url: Url) -> bool {
        let Ok(answer) = self.http.get(url).send().await else { return false };
        answer.status().is_success() && answer.bytes().await.is_ok_and(|bytes| bytes == TEXT)
    }

    async fn checks_checksums(&self) -> Answer {
        let (name, value) = ("x-amz-checksum-sha256", WRONG_CHECKSUM);
        let options =
            SignedUrlOptions::new().with_signed_header(HeaderName::from_static(name), HeaderValue::from_static(value));
        // Only S3 takes such a header with a signed URL; the others say so here.
        let signed = self.client.signer.signed_url_opts(Method::PUT, &self.mistaken(), TRIAL_TTL, &options).await;
        let Ok(url) = signed else { return Answer::Unknown };
        match self.http.put(url).header(name, value).body(TEXT).send().await {
            Ok(answer) if answer.status().is_success() => Answer::No,
            Ok(answer) if answer.status() == reqwest::StatusCode::BAD_REQUEST => Answer::Yes,
            _ => Answer::Unknown,
        }
    }

    /// All names there may be, whatever was answered when they were written.
    async fn remove(&self) -> Result<(), Unusable> {
        let names = futures::stream::iter([self.uploaded(), self.created(), self.mistaken()].map(Ok)).boxed();
        let mut removed = self.store().delete_stream(names);
        while let Some(answer) = removed.next().await {
            match answer {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(failed("removing an object", Operation::Delete)(error)),
            }
        }
        Ok(())
    }
}

fn failed(doing: &'static str, operation: Operation) -> impl Fn(Error) -> Unusable {
    move |error| Unusable::Failed { doing, source: without_object(operation, error) }
}

fn is_taken<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::AlreadyExists { .. } | Error::Precondition { .. }))
}

/// The same URL with another signature, whatever the service calls it.
fn tampered(url: &Url) -> Option<Url> {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let names = ["x-amz-signature", "x-goog-signature", "sig"];
    let (_, signature) = pairs.iter_mut().find(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))?;
    let first = signature.chars().next()?;
    signature.replace_range(..first.len_utf8(), if first == '0' { "1" } else { "0" });
    let mut tampered = url.clone();
    tampered.query_pairs_mut().clear().extend_pairs(pairs);
    Some(tampered)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn a_tampered_url_differs_in_its_signature_only() {
        for (signed, expected) in [
            ("https://h/b/o?X-Amz-Date=1&X-Amz-Signature=0af", "https://h/b/o?X-Amz-Date=1&X-Amz-Signature=1af"),
            ("https://h/b/o?sp=r&sig=a%2Fb%3D", "https://h/b/o?sp=r&sig=0%2Fb%3D"),
        ] {
            assert_eq!(tampered(&signed.parse().unwrap()).unwrap().as_str(), expected);
        }
        assert_eq!(tampered(&"https://h/b/o?a=b".parse().unwrap()), None);
    }
}
