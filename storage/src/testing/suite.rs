//! The promises of [`BlobStore`], one test function each.
//!
//! A store passes if [`conformance!`](crate::conformance) does for a function that makes it fresh:
//!
//! ```ignore
//! roadstead_storage::conformance!(local, crate::stores::local);
//! roadstead_storage::conformance!(remote, crate::stores::remote, if crate::stores::is_remote_there);
//! ```

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use roadstead_proto::domain::digest::{Algorithm, Digest, Verifier};
use roadstead_proto::domain::limits::CHUNK_BYTES;
use roadstead_proto::domain::time::Timestamp;

use super::gate::Gate;
use super::sample::{Sample, collect};
use crate::blob::{BlobStore, Body, ITEM_MAX_BYTES, Listed, Part, Scope};
use crate::error::{Damage, Kind, Rejection, StorageError};

/// A store under test, and what must outlive it.
#[derive(Debug)]
pub struct Subject {
    /// Fresh and empty.
    pub store: Arc<dyn BlobStore>,
    /// A directory, a server: kept until the test is over.
    pub keep: Box<dyn Any + Send>,
}

/// Makes a subject.
pub type Factory = fn() -> BoxFuture<'static, Subject>;

/// A store that needs nothing from outside.
pub fn always() -> bool {
    true
}

/// Declares a module with one test per promise.
#[macro_export]
macro_rules! conformance {
    ($module:ident, $factory:expr) => {
        $crate::conformance!($module, $factory, if $crate::testing::suite::always);
    };
    ($module:ident, $factory:expr, if $available:expr) => {
        $crate::conformance!(@each $module, $factory, $available,
            what_was_put_is_read_back,
            both_algorithms_are_stored,
            ranges_are_exact,
            an_empty_range_asks_for_presence,
            items_are_small_and_never_empty,
            ranges_outside_are_refused,
            another_size_is_damage,
            missing_is_not_found,
            nothing_is_visible_before_the_end,
            a_broken_body_leaves_nothing,
            a_wrong_body_is_refused_and_leaves_nothing,
            a_vouched_body_that_fails_its_verdict_is_refused,
            a_dropped_put_leaves_nothing_and_the_key_is_free_again,
            what_was_staged_is_read_back,
            what_is_staged_and_dropped_leaves_nothing,
            tokens_are_apart,
            a_second_put_is_harmless,
            delete_removes_and_is_idempotent,
            listings_tell_what_is_there,
            many_writers_and_readers_at_once,
            probe_answers,
        );
    };
    (@each $module:ident, $factory:expr, $available:expr, $($promise:ident,)*) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    if $available() {
                        $crate::testing::suite::$promise($factory).await;
                    }
                }
            )*
        }
    };
}

const CHUNK: usize = CHUNK_BYTES as usize;
/// Around every border: items, chunks, parts.
const SIZES: [usize; 12] = [
    0,
    1,
    4095,
    ITEM_MAX_BYTES - 1,
    ITEM_MAX_BYTES,
    ITEM_MAX_BYTES + 1,
    (1 << 20) + 1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK + ITEM_MAX_BYTES + 3,
    3 * CHUNK,
];

async fn listed(store: &dyn BlobStore, scope: Scope) -> Vec<Listed> {
    store.list(scope).try_collect().await.unwrap()
}

fn kind<T>(result: Result<T, StorageError>) -> Kind {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.kind(),
    }
}

/// Nothing of `sample` is there, whichever way one asks.
pub async fn assert_absent(store: &dyn BlobStore, sample: &Sample) {
    assert_eq!(kind(store.stat(&sample.key).await), Kind::NotFound);
    assert_eq!(kind(store.get(&sample.key, sample.size(), 0..sample.size()).await), Kind::NotFound);
    let found = listed(store, Scope::Digest(sample.key.digest)).await;
    assert!(found.iter().all(|line| line.key != sample.key), "{found:?}");
}

/// Of every size, byte for byte.
pub async fn what_was_put_is_read_back(factory: Factory) {
    let subject = factory().await;
    for (seed, size) in SIZES.into_iter().enumerate() {
        let sample = Sample::new(size, seed as u64);
        sample.put(&*subject.store).await;
        assert_eq!(subject.store.stat(&sample.key).await.unwrap().size, size as u64);
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes, "{size} bytes");
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes, "{size} bytes, again");
    }
}

/// SHA-512 is as good as SHA-256.
pub async fn both_algorithms_are_stored(factory: Factory) {
    let subject = factory().await;
    for size in [10, CHUNK + 10] {
        let sample = Sample::with(Algorithm::Sha512, size, 1);
        sample.put(&*subject.store).await;
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes);
        let found = listed(&*subject.store, Scope::Algorithm(Algorithm::Sha512)).await;
        assert!(found.iter().any(|line| line.key == sample.key));
    }
    assert_eq!(listed(&*subject.store, Scope::Algorithm(Algorithm::Sha256)).await, []);
}

/// Any range, wherever its ends lie.
pub async fn ranges_are_exact(factory: Factory) {
    let subject = factory().await;
    for size in [1000, CHUNK - 5, CHUNK + ITEM_MAX_BYTES + 777] {
        let sample = Sample::new(size, size as u64);
        sample.put(&*subject.store).await;
        let borders = [1, 500, ITEM_MAX_BYTES, 3 * ITEM_MAX_BYTES, CHUNK - ITEM_MAX_BYTES, CHUNK, size];
        for border in borders.into_iter().filter(|border| *border <= size) {
            let (before, after) = (border.saturating_sub(300), (border + 300).min(size));
            for range in [before..border, border..after, before..after, border - 1..border, 0..border, border..size] {
                let (start, end) = (range.start as u64, range.end as u64);
                let stream = subject.store.get(&sample.key, sample.size(), start..end).await.unwrap();
                assert!(collect(stream).await.unwrap() == sample.bytes[range], "{start}..{end} of {size}");
            }
        }
    }
}

/// Nothing is read, but absence and damage are seen.
pub async fn an_empty_range_asks_for_presence(factory: Factory) {
    let subject = factory().await;
    let sample = Sample::new(100, 1);
    assert_eq!(kind(subject.store.get(&sample.key, 100, 0..0).await), Kind::NotFound);
    sample.put(&*subject.store).await;
    for at in [0, 50, 100] {
        let stream = subject.store.get(&sample.key, 100, at..at).await.unwrap();
        assert_eq!(stream.count().await, 0);
    }
    assert_eq!(kind(subject.store.get(&sample.key, 99, 0..0).await), Kind::Corrupt);
}

/// So that a consumer at a standstill holds little.
pub async fn items_are_small_and_never_empty(factory: Factory) {
    let subject = factory().await;
    let sample = Sample::new(CHUNK + ITEM_MAX_BYTES + 1, 1);
    sample.put(&*subject.store).await;
    for range in [0..sample.size(), 5..sample.size() - 5, CHUNK_BYTES - 1..CHUNK_BYTES + 1] {
        let stream = subject.store.get(&sample.key, sample.size(), range).await.unwrap();
        let items: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(items.iter().all(|item| (1..=ITEM_MAX_BYTES).contains(&item.len())));
    }
}

/// Refused before the store is asked.
pub async fn ranges_outside_are_refused(factory: Factory) {
    let subject = factory().await;
    let sample = Sample::new(100, 1);
    sample.put(&*subject.store).await;
    let backwards = Range { start: 2, end: 1 };
    for range in [0..101, 100..101, 101..101, u64::MAX - 1..u64::MAX, backwards] {
        let error = subject.store.get(&sample.key, 100, range.clone()).await.err().unwrap();
        assert!(
            matches!(error, StorageError::Rejected { source: Rejection::Range { .. }, .. }),
            "{range:?}: {error:?}"
        );
    }
}

/// The metadata and the store disagree: never bytes.
pub async fn another_size_is_damage(factory: Factory) {
    let subject = factory().await;
    for size in [100, CHUNK_BYTES, CHUNK_BYTES + 100] {
        let sample = Sample::new(size as usize, size);
        sample.put(&*subject.store).await;
        for claimed in [size - 1, size + 1, size + CHUNK_BYTES, 2 * size + 8 * CHUNK_BYTES] {
            for range in [0..claimed, claimed - 1..claimed, 0..1] {
                let error = subject.store.get(&sample.key, claimed, range.clone()).await.err();
                let damage = matches!(&error, Some(StorageError::Corrupt { source: Damage::Size { .. }, .. }));
                assert!(damage, "{range:?} of {size} as {claimed}: {error:?}");
            }
        }
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes, "the right size still reads");
        // Memory knows the object now, and must not serve what it has as what it is not. Where only a part is
        // asked for that both sizes agree on, the bytes are right and may be served.
        for claimed in [size - 1, size + 1] {
            let result = match subject.store.get(&sample.key, claimed, 0..claimed).await {
                Ok(stream) => collect(stream).await,
                Err(error) => Err(error),
            };
            assert_eq!(kind(result), Kind::Corrupt, "{size} as {claimed}, warm");
        }
    }
}

/// For every operation that asks for one object.
pub async fn missing_is_not_found(factory: Factory) {
    let subject = factory().await;
    for size in [0, 100, CHUNK, CHUNK + 1] {
        let sample = Sample::new(size, 1);
        assert_absent(&*subject.store, &sample).await;
        let error = subject.store.stat(&sample.key).await.unwrap_err();
        assert!(error.is_miss(), "{error:?}");
    }
}

/// An object is visible whole or not at all.
pub async fn nothing_is_visible_before_the_end(factory: Factory) {
    let subject = factory().await;
    for size in [100, 3 * CHUNK] {
        let sample = Sample::new(size, size as u64);
        let gate = Gate::default();
        let (stream, held) = (sample.stream(), gate.clone());
        let end = futures::stream::once(async move { held.pass().await }).filter_map(|()| async { None });
        let body = Body::unchecked(stream.chain(end).boxed());
        let (store, key) = (Arc::clone(&subject.store), sample.key);
        let put = tokio::spawn(async move { store.put(&key, body).await });
        gate.arrival().await;
        assert_absent(&*subject.store, &sample).await;
        gate.open();
        put.await.unwrap().unwrap();
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes);
    }
}

/// At whatever byte it breaks off. The error is the body's own.
pub async fn a_broken_body_leaves_nothing(factory: Factory) {
    let subject = factory().await;
    let sample = Sample::new(3 * CHUNK, 1);
    for bytes in [0, 1, (1 << 20) + 1, CHUNK + 1, 3 * CHUNK] {
        let error = subject.store.put(&sample.key, sample.broken_after(bytes)).await.unwrap_err();
        let StorageError::Aborted { key, source } = &error else { panic!("{error:?}") };
        assert_eq!((*key, source.to_string().as_str()), (sample.key, "the connection was reset"));
        assert_absent(&*subject.store, &sample).await;
    }
    assert_eq!(listed(&*subject.store, Scope::All).await, []);
}

/// Too long, too short, or one bit off.
pub async fn a_wrong_body_is_refused_and_leaves_nothing(factory: Factory) {
    let subject = factory().await;
    for size in [0, 100, CHUNK + 100] {
        let sample = Sample::new(size, size as u64);
        let mut longer = sample.bytes.to_vec();
        longer.push(0);
        let mut wrong = vec![longer.clone(), sample.bytes[..size.saturating_sub(1)].to_vec(), longer.clone()];
        wrong[2].pop();
        if let Some(last) = wrong[2].last_mut() {
            *last ^= 1;
        }
        for bytes in wrong.into_iter().filter(|bytes| *bytes != sample.bytes) {
            let body = Body::from_bytes(bytes.into());
            let error = subject.store.put(&sample.key, body).await.unwrap_err();
            assert!(matches!(error, StorageError::Rejected { source: Rejection::Digest(_), .. }), "{error:?}");
            assert_absent(&*subject.store, &sample).await;
        }
    }
    assert_eq!(listed(&*subject.store, Scope::All).await, []);
}

/// The producer's own verdict counts like ours, boxed or not.
pub async fn a_vouched_body_that_fails_its_verdict_is_refused(factory: Factory) {
    let subject = factory().await;
    let sample = Sample::new(CHUNK + 1, 1);
    let mut verifier = Verifier::new(sample.key.digest);
    verifier.update(b"something else");
    let mismatch = verifier.finish().unwrap_err();
    for error in [mismatch.clone() as crate::blob::BodyError, mismatch.clone().into(), (*mismatch).into()] {
        let body = sample.stream().chain(futures::stream::iter([Err(error)]));
        let error = subject.store.put(&sample.key, Body::vouched(body.boxed())).await.unwrap_err();
        assert!(matches!(error, StorageError::Rejected { source: Rejection::Digest(_), .. }), "{error:?}");
        assert_absent(&*subject.store, &sample).await;
    }
}

/// Soon after; and who tries again at once finds the key free, not half cleaned.
pub async fn a_dropped_put_leaves_nothing_and_the_key_is_free_again(factory: Factory) {
    let subject = factory().await;
    for sent in [0, 100, (1 << 20) + 1, 2 * CHUNK] {
        let sample = Sample::new(3 * CHUNK, sent as u64);
        let gate = Gate::default();
        let part = Sample { bytes: sample.bytes.slice(..sent), ..sample.clone() };
        let held = gate.clone();
        let end = futures::stream::once(async move {
            held.pass().await;
            Err("never reached".into())
        });
        let put = subject.store.put(&sample.key, Body::unchecked(part.stream().chain(end).boxed()));
        tokio::select! {
            _ = put => panic!("the body has not ended"),
            () = gate.arrival() => {}
        }
        // The second put waits for the first one's clean-up, so after a broken one nothing is left.
        assert_eq!(kind(subject.store.put(&sample.key, sample.broken_after(0)).await), Kind::Aborted);
        assert_absent(&*subject.store, &sample).await;
        sample.put(&*subject.store).await;
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes);
    }
}

/// What a directory takes without a second copy is an object like any other.
pub async fn what_was_staged_is_read_back(factory: Factory) {
    let subject = factory().await;
    let store = &*subject.store;
    for (len, token) in [(0, 1), (100, 2), (3 * CHUNK_BYTES as usize + 7, 3)] {
        let sample = Sample::new(len, token);
        // Only a directory stages; for the others a put is the way, which the other promises are about.
        let Some(mut staged) = store.stage(&sample.key).await.unwrap() else { return };
        for piece in sample.bytes.chunks(70_000) {
            staged.write(piece).unwrap();
        }
        assert_eq!((staged.len(), staged.key()), (len as u64, &sample.key));
        assert_absent(store, &sample).await;
        assert_eq!(store.commit(staged).await.unwrap().size, len as u64);
        assert_eq!(
            collect(store.get(&sample.key, len as u64, 0..len as u64).await.unwrap()).await.unwrap(),
            sample.bytes
        );
        // Checked in parts as every large object is.
        if len > 100 {
            let tail = len as u64 - 5..len as u64;
            let part = collect(store.get(&sample.key, len as u64, tail).await.unwrap()).await.unwrap();
            assert_eq!(part, sample.bytes.slice(len - 5..));
        }
    }
}

/// Nothing that was staged is seen before its commit or without one, and the key is free again.
pub async fn what_is_staged_and_dropped_leaves_nothing(factory: Factory) {
    let subject = factory().await;
    let (store, sample) = (&*subject.store, Sample::new(100_000, 4));
    let Some(mut staged) = store.stage(&sample.key).await.unwrap() else { return };
    staged.write(&sample.bytes[..50_000]).unwrap();
    drop(staged);
    assert_absent(store, &sample).await;
    assert!(listed(store, Scope::All).await.is_empty());
    sample.put(store).await;
}

/// One digest written under two grants is two objects.
pub async fn tokens_are_apart(factory: Factory) {
    let subject = factory().await;
    for size in [100, CHUNK + 100] {
        let (first, second) = (Sample::new(size, 1), Sample::new(size, 1).under(u64::MAX));
        first.put(&*subject.store).await;
        second.put(&*subject.store).await;
        let mut found = listed(&*subject.store, Scope::Digest(first.key.digest)).await;
        found.retain(|line| line.part == Part::Object);
        assert_eq!(found.len(), 2);
        subject.store.delete(&first.key).await.unwrap();
        assert_absent(&*subject.store, &first).await;
        assert!(second.read(&*subject.store).await.unwrap() == second.bytes);
    }
}

/// The same grant may store the same content again.
pub async fn a_second_put_is_harmless(factory: Factory) {
    let subject = factory().await;
    for size in [100, CHUNK + 100] {
        let sample = Sample::new(size, 1);
        sample.put(&*subject.store).await;
        sample.put(&*subject.store).await;
        assert!(sample.read(&*subject.store).await.unwrap() == sample.bytes);
    }
}

/// Also from memory, and with all that belongs to it.
pub async fn delete_removes_and_is_idempotent(factory: Factory) {
    let subject = factory().await;
    for size in [100, 2 * CHUNK + 100] {
        let sample = Sample::new(size, 1);
        subject.store.delete(&sample.key).await.unwrap();
        sample.put(&*subject.store).await;
        sample.read(&*subject.store).await.unwrap();
        subject.store.delete(&sample.key).await.unwrap();
        assert_absent(&*subject.store, &sample).await;
        subject.store.delete(&sample.key).await.unwrap();
    }
    assert_eq!(listed(&*subject.store, Scope::All).await, []);
}

/// Per scope, with sizes and times, and never anything but objects and their checksums.
pub async fn listings_tell_what_is_there(factory: Factory) {
    let subject = factory().await;
    let samples = [Sample::new(0, 1), Sample::new(100, 2), Sample::new(100, 2).under(7), Sample::new(CHUNK + 5, 3)];
    for sample in &samples {
        sample.put(&*subject.store).await;
    }
    let other = Sample::with(Algorithm::Sha512, 9, 4);
    other.put(&*subject.store).await;

    let objects = |lines: Vec<Listed>| {
        let mut keys: Vec<_> =
            lines.into_iter().filter(|line| line.part == Part::Object).map(|line| (line.key, line.size)).collect();
        keys.sort_unstable();
        keys
    };
    let expected = |samples: &[&Sample]| {
        let mut keys: Vec<_> = samples.iter().map(|sample| (sample.key, sample.size())).collect();
        keys.sort_unstable();
        keys
    };
    let [empty, first, second, large] = &samples;
    let all = listed(&*subject.store, Scope::All).await;
    assert!(all.iter().all(|line| line.modified > Timestamp(1_600_000_000_000)));
    let checksums: Vec<_> = all.iter().filter(|line| line.part == Part::Checksums).map(|line| line.key).collect();
    assert_eq!(checksums, [large.key]);
    assert_eq!(objects(all), expected(&[empty, first, second, large, &other]));
    let of_algorithm = listed(&*subject.store, Scope::Algorithm(Algorithm::Sha256)).await;
    assert_eq!(objects(of_algorithm), expected(&[empty, first, second, large]));
    let of_digest = listed(&*subject.store, Scope::Digest(first.key.digest)).await;
    assert_eq!(objects(of_digest), expected(&[first, second]));
    let of_large = listed(&*subject.store, Scope::Digest(large.key.digest)).await;
    assert_eq!((of_large.len(), objects(of_large)), (2, expected(&[large])));
    assert_eq!(listed(&*subject.store, Scope::Digest(Digest::sha256(b"nobody"))).await, []);
}

/// Readers, writers and removers do not disturb each other.
pub async fn many_writers_and_readers_at_once(factory: Factory) {
    let subject = factory().await;
    let tasks = (0..24_u64).map(|seed| {
        let store = Arc::clone(&subject.store);
        tokio::spawn(async move {
            let sample = Sample::new([1000, CHUNK / 2, CHUNK + 1000][seed as usize % 3], seed % 6).under(seed);
            sample.put(&*store).await;
            for _ in 0..3 {
                assert!(sample.read(&*store).await.unwrap() == sample.bytes);
            }
            if seed % 2 == 0 {
                store.delete(&sample.key).await.unwrap();
                assert_absent(&*store, &sample).await;
            }
        })
    });
    for result in futures::future::join_all(tasks).await {
        result.unwrap();
    }
}

/// A store that works says so, as often as it is asked.
pub async fn probe_answers(factory: Factory) {
    let subject = factory().await;
    for _ in 0..3 {
        subject.store.probe().await.unwrap();
    }
    assert_eq!(listed(&*subject.store, Scope::All).await, [], "a probe is not content");
    assert!(subject.store.probe().now_or_never().is_none_or(|answer| answer.is_ok()));
}
