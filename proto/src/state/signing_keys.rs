//! Keys that sign our own JWTs.

use super::command::{Outcome, Refusal};
use super::rows::{load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop};
use crate::domain::limits;
use crate::domain::principal::SigningKey;
use crate::domain::registry::SigningKeyId;
use crate::domain::secret::SealedSecret;

pub(super) fn add(
    context: &mut Context<'_>,
    sealed: &SealedSecret,
    public: [u8; 32],
    newest: Option<SigningKeyId>,
) -> Result<Outcome, Stop> {
    let keys: Vec<SigningKey> = load_all(context.rows, Table::SigningKeys, &[])?;
    if keys.iter().map(|key| key.id).max() != newest {
        return Err(Refusal::Changed.into());
    }
    let now = context.counters.now;
    let is_over = |key: &&SigningKey| key.retired_at.is_some_and(|at| at.after(limits::SIGNING_KEY_KEPT) < now);
    for key in keys.iter().filter(is_over) {
        context.rows.delete(Table::SigningKeys, &id_key(key.id.0))?;
    }
    context.counters.last_signing_key += 1;
    let id = SigningKeyId(context.counters.last_signing_key);
    let key = SigningKey { id, sealed: sealed.clone(), public, created_at: now, retired_at: None };
    store(context.rows, Table::SigningKeys, &id_key(id.0), &key)?;
    context.configuration_changed();
    Ok(Outcome::SigningKeyAdded(id))
}

fn key(context: &Context<'_>, id: SigningKeyId) -> Result<SigningKey, Stop> {
    Ok(load(context.rows, Table::SigningKeys, &id_key(id.0))?.ok_or(Refusal::NoSigningKey(id))?)
}

pub(super) fn retire(context: &mut Context<'_>, id: SigningKeyId) -> Result<Outcome, Stop> {
    let mut key = key(context, id)?;
    if key.retired_at.is_none() {
        key.retired_at = Some(context.counters.now);
        store(context.rows, Table::SigningKeys, &id_key(id.0), &key)?;
        context.configuration_changed();
    }
    Ok(Outcome::Done)
}

pub(super) fn reseal(context: &mut Context<'_>, id: SigningKeyId, sealed: &SealedSecret) -> Result<Outcome, Stop> {
    let key = SigningKey { sealed: sealed.clone(), ..key(context, id)? };
    store(context.rows, Table::SigningKeys, &id_key(id.0), &key)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}
