//! Conformance suites: every promise of [`MetaStore`] and [`Leases`] as a check that any implementation must pass.
//!
//! [`run_all`] runs them; `make` gives a fresh, empty store each time, and what has to live as long as it. A failure panics
//! with the check's name.
//!
//! | file | what it holds to |
//! |---|---|
//! | `world` | nothing: a store with something in it, and what a gateway does to it |
//! | `configuration` | the first configuration, and what every write keeps |
//! | `registries` | registries, upstreams and links, as somebody configures them |
//! | `access` | tokens, signing keys, who else signs in, cleanup policies |
//! | `leases` | one holder a key, tokens that increase, waits that end |
//! | `content` | what a completion records, and whose right it is |
//! | `entries` | the list of what is cached |
//! | `epochs` | what a purge and a change of an upstream void |
//! | `watching` | every change, in order, and progress behind it |
//! | `fleet` | what gateways hear of each other |

mod access;
mod configuration;
mod content;
mod entries;
mod epochs;
mod fleet;
mod leases;
mod registries;
mod watching;
mod world;

use std::future::Future;
use std::ops::Deref;

use super::{Leases, MetaStore};

/// Runs every check, each on a store of its own.
pub async fn run_all<S, P, K, F>(make: impl Fn() -> F)
where
    S: MetaStore + Leases,
    P: Deref<Target = S>,
    F: Future<Output = (P, K)>,
{
    macro_rules! run {
        ($($subject:ident: $($check:ident),* $(,)?;)*) => {
            $($(
                eprintln!("meta suite: {}", stringify!($check));
                let (store, _kept) = make().await;
                $subject::$check(&*store).await;
            )*)*
        };
    }
    run!(
        configuration:
            bootstrap_happens_once,
            a_write_is_read_back,
            a_refused_write_changes_nothing;
        registries:
            a_registry_is_created_and_changed,
            places_have_no_gaps,
            a_deleted_registry_takes_its_upstreams_along,
            a_change_undoes_nobody_elses;
        access:
            tokens_come_and_go,
            gateways_hear_of_all_that_is_configured,
            a_cleanup_is_due_runs_and_ends;
        leases:
            one_holder_per_key,
            tokens_strictly_increase,
            an_ended_session_frees_its_leases,
            a_new_session_of_a_gateway_ends_the_old_one,
            an_older_token_records_nothing,
            a_wait_ends_with_the_lease,
            a_wait_for_a_lease_that_stays_ends_by_itself,
            many_writers_lose_nothing;
        content:
            a_completion_records_all_of_it,
            the_second_writer_of_a_digest_learns_of_the_first,
            a_distrusted_object_is_replaced,
            a_copy_says_where_content_lies_and_nothing_else,
            a_copy_takes_a_right_that_is_there,
            a_right_belongs_to_one_repository,
            a_right_by_head_needs_a_delivery_of_the_origin,
            a_tag_that_vanished_is_remembered_as_gone,
            usage_adds_up,
            what_lies_in_another_region_is_told;
        entries:
            entries_are_listed,
            what_was_recorded_before_the_index_comes_in;
        epochs:
            a_purge_drops_what_was_on_its_way,
            a_change_of_url_voids_everything,
            a_change_of_validity_voids_nothing;
        watching:
            watchers_hear_every_change_in_order,
            progress_never_overtakes_a_change;
        fleet:
            a_sign_of_life_tells_of_the_fleet,
            standings_are_merged;
    );
}
