//! Listings. What this crate did not write is left out.

use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore as _, ObjectStoreExt as _};
use roadstead_proto::domain::digest::Digest;
use roadstead_proto::domain::time::Timestamp;

use super::local::LocalDirectory;
use super::tier::{Inner, without_object};
use crate::blob::{Listed, Scope};
use crate::error::{Operation, StorageError};
use crate::key;

type Found = BoxStream<'static, Result<Listed, StorageError>>;

pub(super) fn list(inner: Arc<Inner>, scope: Scope) -> Found {
    let found = match (scope, &inner.local) {
        (Scope::Digest(digest), Some(local)) => of_digest_locally(Arc::clone(&inner), Arc::clone(local), digest),
        (Scope::Digest(digest), None) => of_digest(&inner, digest),
        (Scope::Algorithm(algorithm), _) => read(inner.store.list(Some(&key::folder(algorithm).into()))),
        (Scope::All, _) => read(inner.store.list(None)),
    };
    // Nothing found is an answer only if the store is there to give it.
    let state = (found, Some(inner));
    futures::stream::try_unfold(state, |(mut found, unseen)| async move {
        match (found.try_next().await?, unseen) {
            (Some(listed), _) => Ok(Some((listed, (found, None)))),
            (None, Some(inner)) => inner.present(Operation::List).await.map(|()| None),
            (None, None) => Ok(None),
        }
    })
    .boxed()
}

fn read(metas: BoxStream<'static, object_store::Result<ObjectMeta>>) -> Found {
    let metas = metas.map_err(|error| without_object(Operation::List, error));
    metas.try_filter_map(|meta| async move { Ok(line(&meta)) }).boxed()
}

fn line(meta: &ObjectMeta) -> Option<Listed> {
    let (key, part) = key::parse(&meta.location)?;
    let modified = Timestamp(u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0));
    Some(Listed { key, part, size: meta.size, modified })
}

/// Stores list whole folders or from an offset on, in order: from where the digest would be, to where it ends.
fn of_digest(inner: &Inner, digest: Digest) -> Found {
    let folder = Path::from(key::folder(digest.algorithm()));
    let offset = folder.clone().join(digest.hex());
    let metas = inner.store.list_with_offset(Some(&folder), &offset);
    let prefix = format!("{folder}/{}", key::file_prefix(&digest));
    // A store that ignores the offset lists from the beginning: that takes longer, and finds the same.
    let up_to = metas.try_take_while({
        let prefix = prefix.clone();
        move |meta| {
            let name = meta.location.as_ref();
            let goes_on = name < prefix.as_str() || name.starts_with(&prefix);
            async move { Ok(goes_on) }
        }
    });
    let within = up_to.try_filter(move |meta| std::future::ready(meta.location.as_ref().starts_with(&prefix)));
    read(within.boxed())
}

fn of_digest_locally(inner: Arc<Inner>, local: Arc<LocalDirectory>, digest: Digest) -> Found {
    let lines = async move {
        let names = local.names_of(digest).await.map_err(|error| StorageError::unavailable(Operation::List, error))?;
        let mut lines = Vec::with_capacity(names.len());
        for name in names {
            match inner.store.head(&name).await {
                Ok(meta) => lines.extend(line(&meta)),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(without_object(Operation::List, error)),
            }
        }
        Ok(futures::stream::iter(lines.into_iter().map(Ok)))
    };
    futures::stream::once(lines).try_flatten().boxed()
}
