//! Sessions and leases: one holder a key, and tokens that increase.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::*;
use crate::domain::fleet::Report;
use crate::domain::lease::{AcquireRequest, Acquired, FencingToken, LeaseKey};
use crate::meta::{Leases, MetaError, MetaStore};
use crate::state::command::{Recorded, Refusal};

pub(super) async fn one_holder_per_key<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let (key, token) = granted(store, first, &blob(1, "library/x")).await;
    let request = request(store, second, &blob(1, "library/x")).await;
    match store.acquire(request.clone()).await.expect("an answer") {
        Acquired::Held(holder) => {
            assert_eq!((holder.session, holder.token, holder.address.as_str()), (first, token, "127.0.0.1:1"));
        }
        other => panic!("expected a holder, got {other:?}"),
    }
    store.release(&key, token).await.expect("released");
    assert!(matches!(store.acquire(request).await, Ok(Acquired::Granted(_))));
    granted(store, first, &blob(2, "library/x")).await;
}

pub(super) async fn tokens_strictly_increase<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let mut last = FencingToken(0);
    for _ in 0..5 {
        let (key, token) = granted(store, session, &blob(1, "library/x")).await;
        assert!(token > last);
        last = token;
        store.release(&key, token).await.expect("released");
    }
    let (_, again) = granted(store, session, &blob(1, "library/x")).await;
    let (_, regrant) = granted(store, session, &blob(1, "library/x")).await;
    assert!(again > last && regrant > again, "a holder that asks again is granted anew");
}

pub(super) async fn an_ended_session_frees_its_leases<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let second = session(store, "gateway-2").await;
    let (key, token) = granted(store, first, &blob(1, "library/x")).await;
    store.keep_alive(first, &Report::default()).await.expect("alive");
    store.close_session(first).await.expect("closed");
    assert_eq!(store.keep_alive(first, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
    let by_the_dead = store.complete(completion(key, token, &blob(1, "library/x"))).await;
    assert_eq!(by_the_dead, Err(MetaError::Refused(Refusal::LeaseLost)));
    granted(store, second, &blob(1, "library/x")).await;
    let request = request(store, first, &blob(1, "library/y")).await;
    assert_eq!(store.acquire(request).await, Err(MetaError::Refused(Refusal::NoSession)));
}

pub(super) async fn a_new_session_of_a_gateway_ends_the_old_one<S: MetaStore + Leases>(store: &S) {
    let old = prepared(store).await;
    granted(store, old, &blob(1, "library/x")).await;
    let new = session(store, "gateway-1").await;
    assert!(new > old);
    granted(store, new, &blob(1, "library/x")).await;
    assert_eq!(store.keep_alive(old, &Report::default()).await, Err(MetaError::Refused(Refusal::NoSession)));
}

pub(super) async fn an_older_token_records_nothing<S: MetaStore + Leases>(store: &S) {
    let first = prepared(store).await;
    let entry = blob(1, "library/x");
    let (key, old) = granted(store, first, &entry).await;
    store.close_session(first).await.expect("closed");
    let second = session(store, "gateway-2").await;
    let (_, new) = granted(store, second, &entry).await;
    let late = store.complete(completion(key.clone(), old, &entry)).await;
    assert_eq!(late, Err(MetaError::Refused(Refusal::LeaseLost)));
    assert!(content(store, &entry).await.location.is_none());
    store.release(&key, old).await.expect("releasing under an older token does nothing");
    assert!(matches!(store.complete(completion(key, new, &entry)).await, Ok(Recorded::Live(Some(_)))));
}

pub(super) async fn a_wait_ends_with_the_lease<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let entry = blob(1, "library/x");
    let (key, token) = granted(store, session, &entry).await;
    let released = async { store.release(&key, token).await.expect("released") };
    let (waited, ()) = tokio::join!(store.await_release(&key, token, PATIENCE), released);
    assert_eq!(waited, Ok(true), "released");
    assert_eq!(store.await_release(&key, token, PATIENCE).await, Ok(true), "it is over already");

    let (key, token) = granted(store, session, &entry).await;
    let completed = async { store.complete(completion(key.clone(), token, &entry)).await.expect("recorded") };
    let (waited, _) = tokio::join!(store.await_release(&key, token, PATIENCE), completed);
    assert_eq!(waited, Ok(true), "completed");

    let (key, token) = granted(store, session, &blob(2, "library/y")).await;
    let closed = async { store.close_session(session).await.expect("closed") };
    let (waited, ()) = tokio::join!(store.await_release(&key, token, PATIENCE), closed);
    assert_eq!(waited, Ok(true), "its session has ended");
}

pub(super) async fn a_wait_for_a_lease_that_stays_ends_by_itself<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let (key, token) = granted(store, session, &blob(1, "library/x")).await;
    assert_eq!(store.await_release(&key, token, Duration::from_millis(50)).await, Ok(false));
    let (_, newer) = granted(store, session, &blob(1, "library/x")).await;
    assert_eq!(store.await_release(&key, token, PATIENCE).await, Ok(true), "another grant took its place");
    assert_eq!(store.await_release(&key, newer, Duration::from_millis(50)).await, Ok(false));
}

pub(super) async fn many_writers_lose_nothing<S: MetaStore + Leases>(store: &S) {
    let session = prepared(store).await;
    let names: Vec<String> = (0..50).map(|n| format!("library/image-{n}")).collect();
    let requests: Vec<_> = {
        let upstream = upstream(store, 1).await;
        let request = |name: &String| AcquireRequest {
            session,
            key: LeaseKey::Manifest(blob(1, name)),
            entry: blob(1, name),
            upstream_epoch: upstream.epoch,
            region: region(),
            distrusts: None,
        };
        names.iter().map(request).collect()
    };
    let mut pending: Vec<_> = requests.into_iter().map(|request| Box::pin(store.acquire(request))).collect();
    let mut tokens = BTreeSet::new();
    // Polled together, so that the store sees them at once.
    std::future::poll_fn(|context| {
        pending.retain_mut(|acquire| match acquire.as_mut().poll(context) {
            std::task::Poll::Ready(Ok(Acquired::Granted(token))) => {
                tokens.insert(token);
                false
            }
            std::task::Poll::Ready(other) => panic!("expected a grant, got {other:?}"),
            std::task::Poll::Pending => true,
        });
        if pending.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(tokens.len(), names.len(), "every grant has a token of its own");
}
