//! Every stored value is read back as it was, and bytes of somebody else's making are an error, never a panic.

mod draws;

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use self::draws::*;
use super::*;
use crate::domain::cleanup::{CleanupPolicy, CleanupRun};
use crate::domain::configuration::Configuration;
use crate::domain::entry::{BlobLocation, CachedEntry, Descriptor, EntryRef, Right, Route, TagEntry};
use crate::domain::entry::{TagKey, Usage};
use crate::domain::epoch::{Epoch, Revision};
use crate::domain::fleet::{Fleet, FleetMember, Registration};
use crate::domain::identity::{ClaimRule, GitLabInstance, IdentityProvider};
use crate::domain::image::{RepositoryName, Tag};
use crate::domain::lease::{FencingToken, GatewayId, LeaseKey, SessionId};
use crate::domain::principal::{SigningKey, Token};
use crate::domain::registry::{
    ClaimRuleId, Group, GroupId, IdentityProviderId, Link, LinkId, Registry, RegistryId, SigningKeyId, TokenId,
    UpstreamId,
};
use crate::domain::secret::SealedSecret;
use crate::domain::time::Timestamp;
use crate::domain::upstream::Credentials;
use crate::domain::upstream::{Upstream, UpstreamSettings};
use crate::meta::{Consistency, WatchEvent};
use crate::state::command::{Change, Changed, Outcome, Proposal, PutToken, Refusal};
use crate::state::read::{ContentQuery, ContentView, EntryPage, EntryQuery, TagView, TokenView, UpstreamContent};
use crate::state::rows::{Counters, Delivery, EntryCount, Indexed, Indexing, LastUse, Lease, Purge, Session};

#[track_caller]
fn read_back<R: Record + PartialEq + std::fmt::Debug>(value: &R) {
    assert_eq!(R::decode(&value.encode()).as_ref(), Ok(value));
}

/// Whatever the bytes are, an answer; and what was understood is understood alike once more.
#[track_caller]
fn survives<R: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(value) = R::decode(bytes) {
        read_back(&value);
    }
}

/// Every record there is.
#[track_caller]
fn all_survive(bytes: &[u8]) {
    survives::<Counters>(bytes);
    survives::<Group>(bytes);
    survives::<Registry>(bytes);
    survives::<Link>(bytes);
    survives::<SealedSecret>(bytes);
    survives::<Credentials>(bytes);
    survives::<UpstreamSettings>(bytes);
    survives::<Upstream>(bytes);
    survives::<Token>(bytes);
    survives::<BlobLocation>(bytes);
    survives::<Right>(bytes);
    survives::<TagEntry>(bytes);
    survives::<Route>(bytes);
    survives::<Descriptor>(bytes);
    survives::<Usage>(bytes);
    survives::<Purge>(bytes);
    survives::<Delivery>(bytes);
    survives::<SigningKey>(bytes);
    survives::<LastUse>(bytes);
    survives::<CleanupPolicy>(bytes);
    survives::<IdentityProvider>(bytes);
    survives::<ClaimRule>(bytes);
    survives::<GitLabInstance>(bytes);
    survives::<Asked<Option<GroupId>>>(bytes);
    survives::<Vec<TokenView>>(bytes);
    survives::<Indexed>(bytes);
    survives::<EntryCount>(bytes);
    survives::<Indexing>(bytes);
    survives::<Asked<EntryQuery>>(bytes);
    survives::<Asked<AskedEntry>>(bytes);
    survives::<EntryPage>(bytes);
    survives::<Option<CachedEntry>>(bytes);
    survives::<Session>(bytes);
    survives::<Lease>(bytes);
    survives::<Proposal>(bytes);
    survives::<Asked<()>>(bytes);
    survives::<Asked<TagKey>>(bytes);
    survives::<Asked<(UpstreamId, RepositoryName, Tag)>>(bytes);
    survives::<Asked<ContentQuery>>(bytes);
    survives::<Asked<EntryRef>>(bytes);
    survives::<Configuration>(bytes);
    survives::<TagView>(bytes);
    survives::<Option<TagEntry>>(bytes);
    survives::<Option<Usage>>(bytes);
    survives::<ContentView>(bytes);
    survives::<Result<Outcome, Refusal>>(bytes);
    survives::<WatchEvent>(bytes);
    survives::<KeepAlive>(bytes);
    survives::<AwaitRelease>(bytes);
    survives::<Fleet>(bytes);
    survives::<LeaseKey>(bytes);
}

proptest! {
    #[test]
    fn a_command_is_read_back_as_it_was(at in time(), command in command()) {
        read_back(&Proposal { at, command });
    }

    #[test]
    fn configuration_is_read_back_as_it_was(
        settings in settings(),
        token in put_token(),
        numbers in any::<(u64, u64, u64, u64, u64, u32, bool)>(),
        texts in (".{0,9}", option::of(".{0,9}")),
        at in (time(), time()),
    ) {
        let (a, b, c, d, e, position, anonymous_pull) = numbers;
        let ((name, description), (created_at, updated_at)) = (texts, at);
        read_back(&Group { id: GroupId(a), path: name.clone(), created_at });
        read_back(&Link { id: LinkId(a), registry: RegistryId(b), upstream: UpstreamId(c), position });
        let (id, group, routing) = (RegistryId(a), GroupId(b), Revision(c));
        read_back(&Registry { id, group, name, description, anonymous_pull, routing, created_at, updated_at });
        read_back(&Upstream { id: UpstreamId(a), group, settings, epoch: Epoch(d), created_at, updated_at });
        let PutToken { name, hash, group, role, expires_at } = token;
        read_back(&Token { id: TokenId(a), name, hash, group, role, created_at, expires_at });
        read_back(&Counters {
            now: created_at,
            last_group: a,
            last_registry: b,
            last_upstream: c,
            last_link: d,
            last_token: e,
            last_signing_key: a,
            last_identity_provider: b,
            last_claim_rule: c,
            configuration: Revision(position.into()),
        });
    }

    #[test]
    fn entries_are_read_back_as_they_were(
        key in object(),
        descriptor in descriptor(),
        numbers in any::<(u64, u64, u64, u64)>(),
        sha1 in option::of(any::<[u8; 20]>()),
        etag in option::of(".{0,9}"),
        gone_since in option::of(time()),
        not_here in vec(any::<u64>(), 0..4),
        region in region(),
    ) {
        let (size, a, b, c) = numbers;
        let (created_at, updated_at, upstream_epoch) = (Timestamp(a), Timestamp(b), Epoch(c));
        read_back(&BlobLocation { key, size, stored_at: created_at });
        let Descriptor { digest, media_type, kind, .. } = descriptor.clone();
        read_back(&descriptor);
        read_back(&Right { size, media_type, kind, sha1, created_at, upstream_epoch });
        let (checked_at, upstream_etag) = (Timestamp(size), etag.clone());
        read_back(&TagEntry { digest, checked_at, created_at, updated_at, upstream_etag, gone_since, upstream_epoch });
        let not_here = not_here.into_iter().map(UpstreamId).collect();
        read_back(&Route { upstream: UpstreamId(a), not_here, routing: Revision(b) });
        read_back(&Usage { downloads: size, downloaded_at: created_at });
        read_back(&Purge { epoch: upstream_epoch, at: created_at });
        read_back(&Delivery { at: created_at });
        let gateway = etag.unwrap_or_default();
        read_back(&Session { address: gateway.clone(), version: gateway.clone(), gateway, region, opened_at: created_at });
        read_back(&Lease { session: SessionId(a), token: FencingToken(b), acquired_at: updated_at });
    }

    #[test]
    fn answers_are_read_back_as_they_were(
        outcome in outcome(),
        report in report(),
        entry in entry(),
        key in lease_key(),
        (location, right, descriptor) in (option::of(location()), option::of(right()), option::of(descriptor())),
        elsewhere in vec((region(), location()), 0..3),
        numbers in any::<(u64, u64, bool)>(),
        (name, region) in (".{0,9}", region()),
    ) {
        let (a, b, delivered) = numbers;
        read_back(&outcome);
        read_back(&key);
        read_back(&KeepAlive { session: SessionId(a), report: report.clone() });
        read_back(&AwaitRelease { key, token: FencingToken(a), patience: Duration::from_millis(b) });
        read_back(&WatchEvent::Progress(Revision(a)));
        read_back(&WatchEvent::Changed(Change { revision: Revision(a), what: Changed::Configuration }));
        read_back(&WatchEvent::Changed(Change { revision: Revision(b), what: Changed::Purged(entry.clone()) }));
        for consistency in [Consistency::Local, Consistency::Linearizable] {
            read_back(&Asked { question: entry.clone(), consistency });
        }
        let upstreams = vec![UpstreamContent { upstream: UpstreamId(b), right, descriptor, delivered }];
        read_back(&ContentView { revision: Revision(a), location, upstreams, elsewhere });
        let registration = Registration { gateway: GatewayId(name.clone()), region, address: name.clone(), version: name };
        let standings = report.standings.clone();
        let member = FleetMember {
            session: SessionId(a),
            registration,
            opened_at: Timestamp(b),
            report: delivered.then_some(report),
            heard_ago: Duration::from_millis(a),
        };
        read_back(&Fleet { gateways: vec![member], standings });
    }

    #[test]
    fn who_may_do_what_is_read_back_as_it_was(
        sealed in sealed(),
        public in any::<[u8; 32]>(),
        token in put_token(),
        (a, b) in any::<(u64, u64)>(),
        (created_at, updated_at, maybe) in (time(), time(), option::of(time())),
        (cleanup, deleted, failure) in (cleanup(), any::<(u64, u64)>(), option::of(".{0,9}")),
        (provider, claim_rule, url, rules) in (provider(), claim_rule(), web_url(), project_rules()),
    ) {
        let id = SigningKeyId(a);
        let key = SigningKey { id, sealed, public, created_at, retired_at: maybe };
        read_back(&key);
        read_back(&LastUse { at: created_at });
        let PutToken { name, hash, group, role, expires_at } = token;
        let token = Token { id: TokenId(a), name, hash, group, role, created_at, expires_at };
        let tokens = vec![TokenView { token, last_used_at: maybe }];
        read_back(&tokens);
        read_back(&Asked { question: maybe.map(|at| GroupId(at.0)), consistency: Consistency::Local });
        let (deleted_entries, deleted_bytes) = deleted;
        let run = CleanupRun { at: updated_at, deleted_entries, deleted_bytes, failure };
        let policy = CleanupPolicy {
            group: GroupId(b),
            settings: cleanup,
            next_run_at: maybe,
            running_since: maybe,
            last_run: maybe.map(|_| run),
            created_at,
            updated_at,
        };
        read_back(&policy);
        let provider = IdentityProvider { id: IdentityProviderId(a), settings: provider, created_at, updated_at };
        read_back(&provider);
        let rule = ClaimRule { id: ClaimRuleId(a), settings: claim_rule, created_at, updated_at };
        read_back(&rule);
        let gitlab = GitLabInstance { url, rules, updated_at };
        read_back(&gitlab);
        read_back(&Configuration {
            revision: Revision(a),
            signing_keys: vec![key],
            cleanup_policies: vec![policy],
            identity_providers: vec![provider],
            claim_rules: vec![rule],
            gitlab: maybe.map(|_| gitlab),
            ..Configuration::default()
        });
    }

    #[test]
    fn the_list_is_read_back_as_it_was(
        entries in vec(cached(), 0..4),
        (search, total) in (option::of(".{0,9}"), option::of(any::<u64>())),
        (upstream, page, per_page) in any::<(u64, u64, usize)>(),
        (has_next, is_cut) in any::<(bool, bool)>(),
        (kind, after) in (kind(), option::of(any::<Vec<u8>>())),
    ) {
        read_back(&Indexed { kind });
        read_back(&EntryCount { epoch: Epoch(upstream), entries: page });
        read_back(&Indexing::Tags { after: after.clone() });
        read_back(&Indexing::Rights { after });
        let question = EntryQuery { upstream: UpstreamId(upstream), search, page, per_page };
        read_back(&Asked { question, consistency: Consistency::Local });
        if let Some(row) = entries.first() {
            read_back(&Asked { question: AskedEntry(row.entry.clone()), consistency: Consistency::Local });
        }
        read_back(&entries.first().cloned());
        read_back(&EntryPage { entries, has_next, total, is_cut });
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in vec(any::<u8>(), 0..200)) {
        all_survive(&bytes);
    }

    /// A command with bytes changed, lost or doubled is nearly right, which random bytes never are.
    #[test]
    fn damaged_bytes_have_an_answer(
        command in command(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..4),
    ) {
        let mut bytes = Proposal { at: Timestamp(1), command }.encode();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 if bytes.len() > 1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        all_survive(&bytes);
        // What is nested in it is nearly right as another record.
        for start in [2, 4, 6, 8, 10, 12] {
            all_survive(bytes.get(start..).unwrap_or_default());
        }
    }
}
