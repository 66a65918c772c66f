//! Tokens, signing keys, who else signs in, and cleanup policies: what has to come through whole.

use super::world::*;
use crate::domain::cleanup::{Cadence, CleanupSettings};
use crate::domain::identity::{
    Claim, ClaimRuleSettings, Claims, Jwks, ProjectRule, ProjectRules, ProviderKind, ProviderSettings,
};
use crate::domain::principal::{Role, TokenHash, TokenUse};
use crate::domain::registry::{ClaimRuleId, GroupId, IdentityProviderId, SigningKeyId, TokenId};
use crate::domain::rule::{Effect, Rule, Rules};
use crate::domain::secret::SealedSecret;
use crate::domain::time::Timestamp;
use crate::meta::{Consistency, Leases, MetaError, MetaStore};
use crate::state::command::{Command, CreateToken, EndCleanup, Outcome, Refusal, UpdateCleanupPolicy};

const GROUP: GroupId = GroupId(1);

pub(super) async fn tokens_come_and_go<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let create = Command::CreateToken(CreateToken {
        name: "ci".parse().expect("a name"),
        hash: TokenHash::of("rst_ci"),
        group: GROUP,
        role: Role::Maintainer,
        expires_at: Some(Timestamp(5_000)),
    });
    assert_eq!(store.propose(create.clone()).await, Ok(Outcome::TokenCreated(TokenId(1))));
    assert_eq!(store.propose(create).await, Err(MetaError::Refused(Refusal::NameTaken)));
    let used = TokenUse { token: TokenId(1), used_at: Timestamp(70) };
    store.propose(Command::RecordTokenUses(vec![used])).await.expect("recorded");
    for group in [None, Some(GROUP)] {
        let tokens = store.tokens(group, Consistency::Linearizable).await.expect("the tokens");
        let [view] = &tokens[..] else { panic!("one token, and not {tokens:?}") };
        assert_eq!(
            (view.token.name.as_str(), view.token.role, view.last_used_at),
            ("ci", Role::Maintainer, Some(Timestamp(70)))
        );
    }
    assert_eq!(store.tokens(Some(GroupId(2)), Consistency::Linearizable).await, Ok(vec![]));
    assert_eq!(store.propose(Command::RevokeToken(TokenId(1))).await, Ok(Outcome::Done));
    assert_eq!(store.tokens(None, Consistency::Linearizable).await, Ok(vec![]));
    assert_eq!(
        store.propose(Command::RevokeToken(TokenId(1))).await,
        Err(MetaError::Refused(Refusal::NoToken(TokenId(1))))
    );
}

pub(super) async fn gateways_hear_of_all_that_is_configured<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let sealed = SealedSecret { key_id: [1; 8], nonce: [2; 12], ciphertext: vec![3; 40] };
    let add = Command::AddSigningKey { sealed: sealed.clone(), public: [4; 32], newest: None };
    let claim = Claim { name: "sub".parse().expect("a name"), value: "repo:org/*".parse().expect("a pattern") };
    let provider = Command::PutIdentityProvider {
        id: None,
        settings: ProviderSettings {
            name: "github".parse().expect("a name"),
            kind: ProviderKind::GitHub,
            issuer: "https://issuer.example".parse().expect("an address"),
            audience: "roadstead".parse().expect("a text"),
            jwks: Jwks::Url("https://issuer.example/keys".parse().expect("an address")),
        },
        at_most: 9,
    };
    let rule = Command::PutClaimRule {
        id: None,
        settings: ClaimRuleSettings {
            provider: IdentityProviderId(1),
            claims: Claims::new(vec![claim]).expect("a claim"),
            group: GROUP,
            role: Role::Reader,
        },
        at_most: 9,
    };
    let project = ProjectRule { project: "platform/**".parse().expect("a pattern"), group: GROUP, role: Role::Reader };
    let gitlab = Command::PutGitLab {
        url: "https://gitlab.example".parse().expect("an address"),
        rules: ProjectRules::new(vec![project.clone()]).expect("a rule"),
    };
    let mut settings = settings("a", "https://a.example");
    let deny = Rule {
        effect: Effect::Deny,
        image: "library/*".parse().expect("a pattern"),
        tag: Some("*-rc".parse().expect("a pattern")),
        instead: Some("library/python:3.13".parse().expect("a note")),
        reason: Some("not released".parse().expect("a note")),
    };
    settings.rules = Rules::new(vec![deny]).expect("a rule");
    let start = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    let mut watch = store.watch(start.revision).await.expect("a watch");
    for (command, outcome) in [
        (add, Outcome::SigningKeyAdded(SigningKeyId(1))),
        (Command::RetireSigningKey(SigningKeyId(1)), Outcome::Done),
        (provider, Outcome::IdentityProviderPut(IdentityProviderId(1))),
        (rule, Outcome::ClaimRulePut(ClaimRuleId(1))),
        (gitlab, Outcome::Done),
        (Command::CreateCleanupPolicy { group: GROUP, settings: CleanupSettings::default() }, Outcome::Done),
        (
            Command::UpdateUpstream { id: start.upstreams[0].id, settings: settings.clone(), if_updated_at: None },
            Outcome::Done,
        ),
    ] {
        assert_eq!(store.propose(command.clone()).await, Ok(outcome), "{command:?}");
        tokio::time::timeout(PATIENCE, watch.next_change()).await.expect("in time").expect("news");
    }
    let now = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    assert_eq!((&now.signing_keys[0].sealed, now.signing_keys[0].public), (&sealed, [4; 32]));
    assert!(now.signing_keys[0].retired_at.is_some());
    assert_eq!(now.identity_providers[0].settings.name.as_str(), "github");
    assert_eq!(now.claim_rules[0].settings.claims.as_slice().len(), 1);
    assert_eq!(now.gitlab.expect("an instance").rules.as_slice(), [project]);
    assert_eq!(now.cleanup_policies[0].settings, CleanupSettings::default());
    assert_eq!(now.upstreams[0].settings, settings);
    assert!(now.registries[0].routing > start.registries[0].routing, "rules decide on routes");
    assert_eq!(now.upstreams[0].epoch, start.upstreams[0].epoch, "what is cached stays");
}

pub(super) async fn a_cleanup_is_due_runs_and_ends<S: MetaStore + Leases>(store: &S) {
    store.propose(two_upstreams()).await.expect("bootstrap");
    let create = Command::CreateCleanupPolicy { group: GROUP, settings: CleanupSettings::default() };
    store.propose(create.clone()).await.expect("created");
    assert_eq!(store.propose(create).await, Err(MetaError::Refused(Refusal::HasCleanupPolicy(GROUP))));
    let daily = UpdateCleanupPolicy {
        group: GROUP,
        enabled: Some(true),
        keep: None,
        cadence: Some(Cadence::new(1).expect("a cadence")),
        notify_on_success: None,
        notify_on_failure: None,
    };
    store.propose(Command::UpdateCleanupPolicy(daily)).await.expect("changed");
    store.propose(Command::BeginCleanup(GROUP)).await.expect("begun");
    let failure = Some("the bucket is away".to_owned());
    let end = EndCleanup { group: GROUP, deleted_entries: 1, deleted_bytes: 2, failure: failure.clone() };
    store.propose(Command::EndCleanup(end)).await.expect("ended");
    let configuration = store.configuration(Consistency::Linearizable).await.expect("the configuration");
    let policy = &configuration.cleanup_policies[0];
    let run = policy.last_run.as_ref().expect("a run");
    assert_eq!((run.deleted_entries, run.deleted_bytes, &run.failure), (1, 2, &failure));
    assert_eq!(policy.next_run_at, Some(run.at.after(policy.settings.cadence.duration())));
    assert_eq!(store.propose(Command::DeleteCleanupPolicy(GROUP)).await, Ok(Outcome::Done));
}
