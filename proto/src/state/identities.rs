//! Who signs in without a token of ours: providers of identities, claim rules, the GitLab instance.

use super::command::{Outcome, Refusal};
use super::rows::{load, load_all, store};
use super::table::{self, Table, id_key};
use super::{Context, Stop, registries};
use crate::domain::identity::{
    ClaimRule, ClaimRuleSettings, GitLabInstance, IdentityProvider, ProjectRules, ProviderSettings, WebUrl,
};
use crate::domain::registry::{ClaimRuleId, IdentityProviderId};

fn provider(context: &Context<'_>, id: IdentityProviderId) -> Result<IdentityProvider, Stop> {
    let provider: Option<IdentityProvider> = load(context.rows, Table::IdentityProviders, &id_key(id.0))?;
    Ok(provider.ok_or(Refusal::NoIdentityProvider(id))?)
}

pub(super) fn put_provider(
    context: &mut Context<'_>,
    id: Option<IdentityProviderId>,
    settings: &ProviderSettings,
    at_most: usize,
) -> Result<Outcome, Stop> {
    let before = id.map(|id| provider(context, id)).transpose()?;
    let mut others: Vec<IdentityProvider> = load_all(context.rows, Table::IdentityProviders, &[])?;
    others.retain(|other| Some(other.id) != id);
    if others.iter().any(|other| other.settings.name == settings.name) {
        return Err(Refusal::NameTaken.into());
    }
    let now = context.counters.now;
    let (id, created_at) = match before {
        Some(before) => (before.id, before.created_at),
        None if others.len() >= at_most => return Err(Refusal::TooManyIdentityProviders(at_most).into()),
        None => {
            context.counters.last_identity_provider += 1;
            (IdentityProviderId(context.counters.last_identity_provider), now)
        }
    };
    let provider = IdentityProvider { id, settings: settings.clone(), created_at, updated_at: now };
    store(context.rows, Table::IdentityProviders, &id_key(id.0), &provider)?;
    context.configuration_changed();
    Ok(Outcome::IdentityProviderPut(id))
}

pub(super) fn delete_provider(context: &mut Context<'_>, id: IdentityProviderId) -> Result<Outcome, Stop> {
    provider(context, id)?;
    for rule in load_all::<ClaimRule>(context.rows, Table::ClaimRules, &[])? {
        if rule.settings.provider == id {
            context.rows.delete(Table::ClaimRules, &id_key(rule.id.0))?;
        }
    }
    context.rows.delete(Table::IdentityProviders, &id_key(id.0))?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

fn rule(context: &Context<'_>, id: ClaimRuleId) -> Result<ClaimRule, Stop> {
    Ok(load(context.rows, Table::ClaimRules, &id_key(id.0))?.ok_or(Refusal::NoClaimRule(id))?)
}

pub(super) fn put_rule(
    context: &mut Context<'_>,
    id: Option<ClaimRuleId>,
    settings: &ClaimRuleSettings,
    at_most: usize,
) -> Result<Outcome, Stop> {
    let before = id.map(|id| rule(context, id)).transpose()?;
    provider(context, settings.provider)?;
    registries::check_group(context, settings.group)?;
    let others: Vec<ClaimRule> = load_all(context.rows, Table::ClaimRules, &[])?;
    let is_of_the_provider = |other: &&ClaimRule| other.settings.provider == settings.provider && Some(other.id) != id;
    if others.iter().filter(is_of_the_provider).count() >= at_most {
        return Err(Refusal::TooManyClaimRules(at_most).into());
    }
    let now = context.counters.now;
    let (id, created_at) = match before {
        Some(before) => (before.id, before.created_at),
        None => {
            context.counters.last_claim_rule += 1;
            (ClaimRuleId(context.counters.last_claim_rule), now)
        }
    };
    let rule = ClaimRule { id, settings: settings.clone(), created_at, updated_at: now };
    store(context.rows, Table::ClaimRules, &id_key(id.0), &rule)?;
    context.configuration_changed();
    Ok(Outcome::ClaimRulePut(id))
}

pub(super) fn delete_rule(context: &mut Context<'_>, id: ClaimRuleId) -> Result<Outcome, Stop> {
    rule(context, id)?;
    context.rows.delete(Table::ClaimRules, &id_key(id.0))?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn put_gitlab(context: &mut Context<'_>, url: &WebUrl, rules: &ProjectRules) -> Result<Outcome, Stop> {
    for rule in rules.as_slice() {
        registries::check_group(context, rule.group)?;
    }
    let instance = GitLabInstance { url: url.clone(), rules: rules.clone(), updated_at: context.counters.now };
    store(context.rows, Table::GitLab, table::GITLAB_KEY, &instance)?;
    context.configuration_changed();
    Ok(Outcome::Done)
}

pub(super) fn delete_gitlab(context: &mut Context<'_>) -> Result<Outcome, Stop> {
    if context.rows.get(Table::GitLab, table::GITLAB_KEY)?.is_some() {
        context.rows.delete(Table::GitLab, table::GITLAB_KEY)?;
        context.configuration_changed();
    }
    Ok(Outcome::Done)
}
