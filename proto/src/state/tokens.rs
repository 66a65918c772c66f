//! Tokens.

use super::command::{Outcome, PutToken};
use super::rows::{load_all, store};
use super::table::{Table, id_key};
use super::{Context, Stop, registries};
use crate::domain::principal::Token;
use crate::domain::registry::TokenId;

pub(super) fn put(context: &mut Context<'_>, put: &PutToken) -> Result<Outcome, Stop> {
    registries::check_group(context, put.group)?;
    let tokens: Vec<Token> = load_all(context.rows, Table::Tokens, &[])?;
    let existing = tokens.into_iter().find(|token| token.name == put.name);
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
