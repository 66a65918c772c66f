//! An object store that fails as it is told.
//!
//! It stands below the object tier, where the wire is: a fault there goes through everything that is to
//! catch it, and reaches the caller as the real one would.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use opentelemetry::metrics::Meter;

use super::gate::Gate;
use crate::blob::BlobStore;
use crate::config::Config;
use crate::object::{ObjectTier, Options};

/// One thing that goes wrong.
#[derive(Debug, Clone)]
pub struct Fault {
    /// During which operation.
    pub op: Op,
    /// Only where the path contains this; empty for any.
    pub path: String,
    /// How often.
    pub when: When,
    /// What happens.
    pub kind: FaultKind,
}

/// Operations of an object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are named as in the trait")]
pub enum Op {
    Head,
    Get,
    Put,
    Begin,
    Part,
    Complete,
    Abort,
    Delete,
    List,
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Each time.
    Always,
    /// The next time only.
    Once,
    /// Only after as many that went well.
    After(u64),
}

/// What happens.
#[derive(Debug, Clone)]
pub enum FaultKind {
    /// It takes longer.
    Latency(Duration),
    /// It stops until the test goes on.
    Held(Gate),
    /// No answer.
    Unavailable,
    /// The store says no.
    Refused,
    /// The store did it, and the answer was lost.
    AnswerLost,
    /// The body breaks off with an error after as many bytes.
    Reset(usize),
    /// The body ends after as many bytes, as if that were all.
    Short(usize),
    /// The byte at this place of the answer is another one.
    WrongByte(usize),
}

/// An object store that fails as it is told, and works otherwise.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    uploads: Option<Uploads>,
    faults: Arc<Faults>,
}

/// Uploads by id, as cloud stores have them.
#[derive(Clone)]
struct Uploads(Arc<dyn MultipartStore>);

#[derive(Debug, Default)]
struct Faults(Mutex<Vec<Fault>>);

impl FaultyStore {
    /// Works, until told otherwise.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, uploads: None, faults: Arc::default() })
    }

    /// Over memory.
    pub fn in_memory() -> Arc<Self> {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    /// The whole stack over this store, as [`crate::open()`] draws it; the configured backend does not count.
    pub async fn stack(self: &Arc<Self>, config: &Config, meter: &Meter) -> Arc<dyn BlobStore> {
        let options = Options::local(config.upload_bytes, config.checksum_bytes());
        let objects = ObjectTier::open_store(Arc::clone(self) as _, options).await.unwrap();
        crate::open::stack(objects, config, meter)
    }

    /// The same over a store whose uploads have ids, which then has them too.
    pub fn cloud<S: ObjectStore + MultipartStore>(inner: Arc<S>) -> Arc<Self> {
        let uploads = Some(Uploads(Arc::clone(&inner) as Arc<dyn MultipartStore>));
        Arc::new(Self { inner, uploads, faults: Arc::default() })
    }

    fn uploads(&self) -> &dyn MultipartStore {
        &*self.uploads.as_ref().expect("made by `cloud`").0
    }

    /// Adds a fault for any path.
    pub fn fail(&self, op: Op, when: When, kind: FaultKind) {
        self.fail_at(op, "", when, kind);
    }

    /// Adds a fault for paths that contain `path`.
    pub fn fail_at(&self, op: Op, path: &str, when: When, kind: FaultKind) {
        self.faults.0.lock().unwrap().push(Fault { op, path: path.to_owned(), when, kind });
    }

    /// Adds an outage: no operation is answered.
    pub fn fail_everything(&self) {
        for op in [Op::Head, Op::Get, Op::Put, Op::Begin, Op::Part, Op::Complete, Op::Abort, Op::Delete, Op::List] {
            self.fail(op, When::Always, FaultKind::Unavailable);
        }
    }

    /// Everything works again.
    pub fn heal(&self) {
        self.faults.0.lock().unwrap().clear();
    }
}

impl Faults {
    /// The fault that strikes now, if any.
    fn strike(&self, op: Op, path: &Path) -> Option<FaultKind> {
        let mut faults = self.0.lock().unwrap();
        let matching = faults.iter_mut().position(|fault| fault.op == op && path.as_ref().contains(&fault.path))?;
        match &mut faults[matching].when {
            When::Always | When::After(0) => Some(faults[matching].kind.clone()),
            When::Once => Some(faults.remove(matching).kind),
            When::After(left) => {
                *left -= 1;
                None
            }
        }
    }

    /// What happens before the operation itself.
    async fn before(&self, op: Op, path: &Path) -> Result<Option<FaultKind>> {
        let fault = self.strike(op, path);
        match &fault {
            Some(FaultKind::Latency(delay)) => tokio::time::sleep(*delay).await,
            Some(FaultKind::Held(gate)) => gate.pass().await,
            Some(FaultKind::Unavailable) => return Err(no_answer()),
            Some(FaultKind::Refused) => {
                return Err(Error::PermissionDenied { path: path.to_string(), source: "not yours".into() });
            }
            _ => {}
        }
        Ok(fault)
    }
}

fn no_answer() -> Error {
    Error::Generic { store: "faulty", source: "the connection timed out".into() }
}

fn answer<T>(fault: Option<FaultKind>, result: Result<T>) -> Result<T> {
    if matches!(fault, Some(FaultKind::AnswerLost)) { Err(no_answer()) } else { result }
}

/// The body as the fault leaves it.
fn spoil(body: BoxStream<'static, Result<Bytes>>, fault: Option<FaultKind>) -> BoxStream<'static, Result<Bytes>> {
    let (limit, reset) = match fault {
        Some(FaultKind::Reset(after)) => (after, true),
        Some(FaultKind::Short(len)) => (len, false),
        Some(FaultKind::WrongByte(at)) => {
            let flipped = body.scan(0, move |begins, piece| {
                let piece = piece.map(|piece| {
                    let mut bytes = piece.to_vec();
                    if let Some(byte) = at.checked_sub(*begins).and_then(|at| bytes.get_mut(at)) {
                        *byte ^= 0x10;
                    }
                    *begins += bytes.len();
                    Bytes::from(bytes)
                });
                std::future::ready(Some(piece))
            });
            return flipped.boxed();
        }
        _ => return body,
    };
    let cut = body.scan(limit, |left, piece| {
        let piece = piece.map(|piece| piece.slice(..piece.len().min(*left)));
        *left -= piece.as_ref().map_or(0, Bytes::len);
        std::future::ready(if matches!(&piece, Ok(piece) if piece.is_empty()) { None } else { Some(piece) })
    });
    let end = futures::stream::iter(reset.then(|| Err(no_answer())));
    cut.chain(end).boxed()
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uploads")
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let fault = self.faults.before(Op::Put, location).await?;
        answer(fault, self.inner.put_opts(location, payload, opts).await)
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.faults.before(Op::Begin, location).await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner, path: location.clone(), faults: Arc::clone(&self.faults) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = if options.head { Op::Head } else { Op::Get };
        let fault = self.faults.before(op, location).await?;
        let result = self.inner.get_opts(location, options).await?;
        if fault.is_none() || op == Op::Head {
            return Ok(result);
        }
        let (meta, range, attributes, extensions) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone(), result.extensions.clone());
        let payload = GetResultPayload::Stream(spoil(result.into_stream(), fault));
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let deleted = locations.then(move |location| {
            let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
            async move {
                let location = location?;
                let fault = faults.before(Op::Delete, &location).await?;
                let mut deleted = inner.delete_stream(futures::stream::iter([Ok(location)]).boxed());
                answer(fault, deleted.next().await.unwrap())
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let prefix = prefix.cloned();
        let listed = async move {
            match faults.before(Op::List, prefix.as_ref().unwrap_or(&Path::ROOT)).await {
                Ok(_) => inner.list(prefix.as_ref()),
                Err(error) => futures::stream::iter([Err(error)]).boxed(),
            }
        };
        listed.into_stream().flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let fault = self.faults.before(Op::Begin, path).await?;
        answer(fault, self.uploads().create_multipart(path).await)
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let fault = self.faults.before(Op::Part, path).await?;
        answer(fault, self.uploads().put_part(path, id, part_idx, data).await)
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let fault = self.faults.before(Op::Complete, path).await?;
        answer(fault, self.uploads().complete_multipart(path, id, parts).await)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let fault = self.faults.before(Op::Abort, path).await?;
        answer(fault, self.uploads().abort_multipart(path, id).await)
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    path: Path,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (faults, path, part) = (Arc::clone(&self.faults), self.path.clone(), self.inner.put_part(data));
        async move {
            let fault = faults.before(Op::Part, &path).await?;
            answer(fault, part.await)
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.faults.before(Op::Complete, &self.path).await?;
        answer(fault, self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
