//! The metadata state machine, pure: no clock, no I/O, no async. Time arrives inside the proposal, rows through a trait.
//!
//! | file | what it holds |
//! |---|---|
//! | [`table`] | the table of everything persisted: stable ids, keys, value types |
//! | [`rows`] | ordered byte rows, as a host provides them, and typed access to them |
//! | [`command`] | commands and what they answer |
//! | `refusal` | why a command was refused |
//! | `configuration` | the first configuration |
//! | `registries` | groups and virtual registries |
//! | `upstreams` | upstreams |
//! | `links` | which upstreams a registry asks, in which order |
//! | `tokens` | tokens |
//! | `signing_keys` | keys that sign our own JWTs |
//! | `identities` | who signs in without a token of ours |
//! | `cleanup` | cleanup policies, and what came of them |
//! | `leases` | sessions and leases |
//! | `index` | the index of entries, and how it comes about |
//! | [`entry_id`] | the opaque ids of entries |
//! | `entries` | locations, rights, tags, routes, usage |
//! | [`read`] | queries over the same rows |

mod cleanup;
pub mod command;
mod configuration;
mod entries;
pub mod entry_id;
mod identities;
mod index;
mod leases;
mod links;
pub mod read;
mod refusal;
mod registries;
pub mod rows;
mod signing_keys;
pub mod table;
mod tokens;
mod upstreams;

use crate::domain::epoch::Revision;
use command::{Applied, Change, Changed, Command, Outcome, Proposal, Refusal};
use rows::{Counters, RowsError, RowsMut, load, store};
use table::Table;

/// What a keyspace's rules decide on: the rows, and the point in history at which they decide.
struct Context<'a> {
    rows: &'a mut dyn RowsMut,
    index: Revision,
    counters: Counters,
    changes: Vec<Change>,
}

impl Context<'_> {
    /// Notes a change of configuration at this revision.
    fn configuration_changed(&mut self) {
        self.counters.configuration = self.index;
        self.changed(Changed::Configuration);
    }

    fn changed(&mut self, what: Changed) {
        self.changes.push(Change { revision: self.index, what });
    }
}

/// Either the host's rows failed, or the rules refused.
enum Stop {
    Rows(RowsError),
    Refused(Refusal),
}

impl From<RowsError> for Stop {
    fn from(error: RowsError) -> Self {
        Self::Rows(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Applies one proposal at log index `index`. Two replicas given the same proposals in the same order hold the same rows.
///
/// A refusal leaves every row but the counters as it was: each rule decides before it writes.
///
/// # Errors
/// Only where the host's rows fail; the host must then stop, for its state is not the log's any more.
pub fn apply(rows: &mut dyn RowsMut, proposal: &Proposal, index: Revision) -> Result<Applied, RowsError> {
    let mut counters: Counters = load(rows, Table::Counters, table::COUNTERS_KEY)?.unwrap_or_default();
    counters.now = counters.now.max(proposal.at);
    let mut context = Context { rows, index, counters, changes: Vec::new() };
    let outcome = match dispatch(&mut context, &proposal.command) {
        Ok(outcome) => Ok(outcome),
        Err(Stop::Refused(refusal)) => Err(refusal),
        Err(Stop::Rows(error)) => return Err(error),
    };
    let Context { rows, counters, changes, .. } = context;
    store(rows, Table::Counters, table::COUNTERS_KEY, &counters)?;
    Ok(Applied { outcome, changes })
}

fn dispatch(context: &mut Context<'_>, command: &Command) -> Result<Outcome, Stop> {
    match command {
        Command::Bootstrap(bootstrap) => configuration::bootstrap(context, bootstrap),
        Command::CreateRegistry(create) => registries::create(context, create),
        Command::UpdateRegistry(update) => registries::update(context, update),
        Command::DeleteRegistry(id) => registries::delete(context, *id),
        Command::PurgeRegistry(id) => registries::purge(context, *id),
        Command::CreateUpstream { registry, settings, at_most } => {
            upstreams::create(context, *registry, settings, *at_most)
        }
        Command::UpdateUpstream { id, settings, if_updated_at } => {
            upstreams::update(context, *id, settings, *if_updated_at)
        }
        Command::PurgeUpstream(id) => upstreams::purge(context, *id),
        Command::DeleteUpstream(id) => upstreams::delete(context, *id),
        Command::Link { registry, upstream, at_most } => links::create(context, *registry, *upstream, *at_most),
        Command::MoveLink { id, position } => links::shift(context, *id, *position),
        Command::Unlink(id) => links::delete(context, *id),
        Command::PutToken(token) => tokens::put(context, token),
        Command::CreateToken(create) => tokens::create(context, create),
        Command::RevokeToken(id) => tokens::revoke(context, *id),
        Command::RecordTokenUses(uses) => tokens::record_uses(context, uses),
        Command::AddSigningKey { sealed, public, newest } => signing_keys::add(context, sealed, *public, *newest),
        Command::RetireSigningKey(id) => signing_keys::retire(context, *id),
        Command::ResealSigningKey { id, sealed } => signing_keys::reseal(context, *id, sealed),
        Command::PutIdentityProvider { id, settings, at_most } => {
            identities::put_provider(context, *id, settings, *at_most)
        }
        Command::DeleteIdentityProvider(id) => identities::delete_provider(context, *id),
        Command::PutClaimRule { id, settings, at_most } => identities::put_rule(context, *id, settings, *at_most),
        Command::DeleteClaimRule(id) => identities::delete_rule(context, *id),
        Command::PutGitLab { url, rules } => identities::put_gitlab(context, url, rules),
        Command::DeleteGitLab => identities::delete_gitlab(context),
        Command::CreateCleanupPolicy { group, settings } => cleanup::create(context, *group, *settings),
        Command::UpdateCleanupPolicy(update) => cleanup::update(context, update),
        Command::DeleteCleanupPolicy(group) => cleanup::delete(context, *group),
        Command::BeginCleanup(group) => cleanup::begin(context, *group),
        Command::EndCleanup(end) => cleanup::end(context, end),
        Command::OpenSession(registration) => leases::open_session(context, registration),
        Command::EndSessions(ids) => leases::end_sessions(context, ids),
        Command::Acquire(request) => leases::acquire(context, request),
        Command::Release { key, token } => leases::release(context, key, *token),
        Command::Complete(completion) => entries::complete(context, completion),
        Command::EarnRight(earned) => entries::earn_right(context, earned),
        Command::PurgeEntry(entry) => entries::purge(context, entry),
        Command::IndexEntries => index::step(context),
        Command::RecordUsage(touches) => entries::record_usage(context, touches),
    }
}
