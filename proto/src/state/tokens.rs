//! Tokens.

use super::command::{CreateToken, Outcome, PutToken, Refusal};
use super::rows::{LastUse, load, load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop, registries};
use crate::domain::principal::{Token, TokenUse};
use crate::domain::registry::TokenId;

pub(super) fn create(context: &mut Context<'_>, create: &CreateToken) -> Result<Outcome, Stop> {
    registries::check_group(context, create.group)?;
    let tokens: Vec<Token> = load_all(context.rows, Table::Tokens, &[])?;
    if tokens.iter().any(|token| token.group == create.group && token.name == create.name.as_str()) {
        return Err(Refusal::NameTaken.into());
    }
    // A token is found by its hash: two of one text would be whichever is found.
    if tokens.iter().any(|token| token.hash == create.hash) {
        return Err(Refusal::TokenTaken.into());
    }
    context.counters.last_token += 1;
    let token = Token {
        id: TokenId(context.counters.last_token),
        name: create.name.as_str().to_owned(),
        hash: create.hash,
        group: create.group,
        role: create.role,
        created_at: context.counters.now,
        expires_at: create.expires_at,
    };
    store(context.rows, Table::Tokens, &id_key(token.id.0), &token)?;
    context.configuration_changed();
    Ok(Outcome::TokenCreated(token.id))
}

pub(super) fn revoke(context: &mut Context<'_>, id: TokenId) -> Result<Outcome, Stop> {
    let key = id_key(id.0);
    if context.rows.get(Table::Tokens, &key)?.is_none() {
        return Err(Refusal::NoToken(id).into());
    }
    context.rows.delete(Table::Tokens, &key)?;
    context.rows.delete(Table::TokenUses, &key)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn record_uses(context: &mut Context<'_>, uses: &[TokenUse]) -> Result<Outcome, Stop> {
    for TokenUse { token, used_at } in uses {
        let key = id_key(token.0);
        if context.rows.get(Table::Tokens, &key)?.is_none() {
            continue;
        }
        let known: Option<LastUse> = load(context.rows, Table::TokenUses, &key)?;
        if known.is_none_or(|known| known.at < *used_at) {
            store(context.rows, Table::TokenUses, &key, &LastUse { at: *used_at })?;
        }
    }
    Ok(Outcome::Done)
}

/// Names are unique within a group, and so it looks: nobody's token of the same name in another group is replaced.
pub(super) fn put(context: &mut Context<'_>, put: &PutToken) -> Result<Outcome, Stop> {
    registries::check_group(context, put.group)?;
    let tokens: Vec<Token> = load_all(context.rows, Table::Tokens, &[])?;
    let existing = tokens.into_iter().find(|token| (token.group, &token.name) == (put.group, &put.name));
    let (id, created_at) = match existing {
        Some(token) if token.hash == put.hash && token.role == put.role && token.expires_at == put.expires_at => {
            return Ok(Outcome::Done);
        }
        Some(token) => (token.id, token.created_at),
        None => {
            context.counters.last_token += 1;
            (TokenId(context.counters.last_token), context.counters.now)
        }
    };
    let token = Token {
        id,
        name: put.name.clone(),
        hash: put.hash,
        group: put.group,
        role: put.role,
        created_at,
        expires_at: put.expires_at,
    };
    store(context.rows, Table::Tokens, &id_key(id.0), &token)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}
