//! Tags in use are checked before their validity ends, behind the pull that finds them so: no client waits for it.
//!
//! ```text
//!   confirmed                                      9/10         validity
//!      │──────────────── fresh, nothing happens ─────│▒▒▒▒▒▒▒▒│──│ expired: the next pull asks
//!                                                    └ each gateway has its own moment in here
//! ```
//!
//! The moment is drawn by (tag, gateway, confirmation), so that a fleet does not ask at once, and no two gateways do. The
//! first one records what it heard; the others find that, and ask nothing. What failed is left to the pull after the end.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::domain::entry::TagEntry;
use roadstead_proto::domain::limits;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::meta::Consistency;
use tracing::debug;

use super::Resolver;
use super::tag::CachedCopy;
use super::walk::Need;
use crate::cache_status::CacheStatus;
use crate::catalog::TagName;
use crate::fetch::error::FetchError;
use crate::meta::snapshot::UpstreamView;
use crate::policy::Permit;
use crate::upstream::standing::Circuit;

/// Parts of the window that moments are drawn in; a last fifth is left for the check itself to be done.
const DRAWN_PERCENT: u32 = 80;

/// From which age on an entry of this validity is checked. `lot` is the gateway's own, below 1,000.
fn due_from(validity: Duration, lot: u32) -> Duration {
    let window = validity / limits::REFRESH_AHEAD_PART;
    validity - window + window * DRAWN_PERCENT / 100 * lot / 1000
}

/// The lot that a gateway draws for one confirmation of a tag.
fn lot(name: &TagName, gateway: &str, confirmed: Timestamp) -> u32 {
    let mut hasher = DefaultHasher::new();
    (name, gateway, confirmed).hash(&mut hasher);
    u32::try_from(hasher.finish() % 1000).unwrap_or_default()
}

impl Resolver {
    /// Checks a tag that was just served, if it is time.
    pub(super) fn look_ahead(
        self: &Arc<Self>,
        permit: &Permit,
        name: &TagName,
        view: &Arc<UpstreamView>,
        entry: &TagEntry,
    ) {
        let (own, now) = (view.upstream.settings.validity, self.tools.clock.now());
        let age = now.since(entry.checked_at);
        // Nearly every pull ends here. So does what is fresh only because the rate budget runs out: a check would spend of it.
        if own.is_zero() || age < due_from(own, 0) || age >= own {
            return;
        }
        let validity = self.tools.client.validity(view, entry.checked_at, now);
        let gateway = &self.tools.session.gateway().0;
        let tried = self.ahead.get(name).is_some_and(|confirmed| confirmed == entry.checked_at);
        if tried
            || age < due_from(validity, lot(name, gateway, entry.checked_at))
            || self.tools.client.is_left_alone(view, Circuit::Manifests)
        {
            return;
        }
        // Without a turn a later pull tries again.
        let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() else { return };
        self.ahead.insert(name.clone(), entry.checked_at);
        let (resolver, permit, name) = (Arc::clone(self), permit.clone(), name.clone());
        let (view, entry) = (Arc::clone(view), entry.clone());
        self.tools.tasks.spawn(async move {
            let _turn = turn;
            resolver.check_ahead(&permit, &name, view, entry).await;
        });
    }

    async fn check_ahead(self: &Arc<Self>, permit: &Permit, name: &TagName, view: Arc<UpstreamView>, entry: TagEntry) {
        let Some(manifest) = self.load(permit, &view, &entry.digest, Consistency::Local).await else { return };
        let need = Need::After(entry.checked_at);
        let copy = Arc::new(CachedCopy { view, entry, manifest });
        let Ok((outcome, _)) = self.walk_of(permit, name, Some(copy), need).await else { return };
        let outcome = match outcome.as_ref().map(|resolved| resolved.status) {
            Ok(CacheStatus::Revalidated) => "same",
            Ok(CacheStatus::Miss | CacheStatus::KnownDigest) => "moved",
            Ok(CacheStatus::Stale { reason: "not-found", .. }) | Err(FetchError::NotFound) => "gone",
            Ok(CacheStatus::Stale { .. }) | Err(_) => "failed",
            Ok(CacheStatus::Hit | CacheStatus::Stretched | CacheStatus::Copied | CacheStatus::Collapsed) => "elsewhere",
        };
        debug!(repository = %name.repository, tag = %name.tag, outcome, "checked ahead");
        self.tools.metrics.refreshed(outcome);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_proto::domain::registry::RegistryId;

    use super::*;
    use crate::meta::snapshot::Scope;

    fn name(tag: u32) -> TagName {
        let tag = format!("v{tag}").parse().unwrap();
        TagName { scope: Scope::Registry(RegistryId(1)), repository: "a".parse().unwrap(), tag }
    }

    #[test]
    fn a_fleet_does_not_ask_at_once() {
        let lots: Vec<u32> =
            (0..1000).map(|gateway| lot(&name(1), &format!("gateway-{gateway}"), Timestamp(5))).collect();
        for tenth in 0..10 {
            let there = lots.iter().filter(|lot| *lot / 100 == tenth).count();
            assert!((60..140).contains(&there), "{there} of 1000 in tenth {tenth}");
        }
        assert_ne!(lot(&name(1), "a", Timestamp(5)), lot(&name(2), "a", Timestamp(5)));
        assert_ne!(lot(&name(1), "a", Timestamp(5)), lot(&name(1), "a", Timestamp(6)));
        assert_eq!(lot(&name(1), "a", Timestamp(5)), lot(&name(1), "a", Timestamp(5)), "one moment, not one per pull");
    }

    proptest! {
        #[test]
        fn in_the_last_tenth_and_before_the_end(seconds in 60u64..100_000_000, lot in 0u32..1000) {
            let validity = Duration::from_secs(seconds);
            let due = due_from(validity, lot);
            prop_assert!(due >= validity - validity / limits::REFRESH_AHEAD_PART);
            prop_assert!(due < validity - validity / 100);
        }
    }
}
