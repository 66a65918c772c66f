//! Tokens, signing keys, and who signs in without a token of ours.

use std::time::Duration;

use roadstead_proto::domain::identity::{
    Claim, ClaimRuleSettings, Claims, Jwks, ProjectRule, ProjectRules, ProviderKind, ProviderSettings,
};
use roadstead_proto::domain::limits;
use roadstead_proto::domain::principal::{Role, Token, TokenHash, TokenUse};
use roadstead_proto::domain::registry::{ClaimRuleId, GroupId, IdentityProviderId, SigningKeyId, TokenId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::error::ErrorCode;
use roadstead_proto::state::command::{Changed, Command, CreateToken, Outcome, PutToken, Refusal};
use roadstead_proto::state::read::{self, TokenView};

use crate::world::{MANY, World, sealed};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

/// Groups 1 and 2.
fn groups() -> World {
    let mut world = World::new();
    world.registry("1", "hub");
    world.registry("2", "hub");
    world
}

fn create_token(group: GroupId, name: &str, text: &str) -> Command {
    Command::CreateToken(CreateToken {
        name: name.parse().unwrap(),
        hash: TokenHash::of(text),
        group,
        role: Role::Reader,
        expires_at: Some(Timestamp(9_000)),
    })
}

impl World {
    fn token(&mut self, group: GroupId, name: &str, text: &str) -> TokenId {
        match self.does(create_token(group, name, text)) {
            Ok(Outcome::TokenCreated(id)) => id,
            other => panic!("expected a token, got {other:?}"),
        }
    }

    fn tokens(&self, group: Option<GroupId>) -> Vec<TokenView> {
        read::tokens(&self.rows, group).unwrap()
    }

    fn used(&self, token: TokenId) -> Option<Timestamp> {
        self.tokens(None).into_iter().find(|view| view.token.id == token).and_then(|view| view.last_used_at)
    }
}

#[test]
fn a_token_is_what_was_asked_for() {
    let mut world = groups();
    let applied = world.apply(create_token(TWO, "ci", "rst_a"));
    assert_eq!(applied.outcome, Ok(Outcome::TokenCreated(TokenId(1))));
    assert_eq!(applied.changes[0].what, Changed::Configuration, "gateways hear of it");
    let expected = Token {
        id: TokenId(1),
        name: "ci".to_owned(),
        hash: TokenHash::of("rst_a"),
        group: TWO,
        role: Role::Reader,
        created_at: world.now,
        expires_at: Some(Timestamp(9_000)),
    };
    assert_eq!(world.tokens(None), [TokenView { token: expected, last_used_at: None }]);
    world.refuses(create_token(GroupId(3), "ci", "rst_b"), Refusal::NoGroup(GroupId(3)));
}

#[test]
fn a_tokens_name_is_unique_within_its_group_and_its_text_anywhere() {
    let mut world = groups();
    let first = world.token(ONE, "ci", "rst_a");
    world.refuses(create_token(ONE, "ci", "rst_b"), Refusal::NameTaken);
    world.refuses(create_token(TWO, "ci", "rst_a"), Refusal::TokenTaken);
    let second = world.token(TWO, "ci", "rst_b");
    let ids = |world: &World, group| world.tokens(group).iter().map(|view| view.token.id).collect::<Vec<_>>();
    assert_eq!(ids(&world, Some(ONE)), [first]);
    assert_eq!(ids(&world, Some(TWO)), [second]);
    assert_eq!(ids(&world, None), [first, second]);
    assert_eq!(ids(&world, Some(GroupId(9))), []);
}

#[test]
fn a_revoked_token_is_gone_and_its_number_with_it() {
    let mut world = groups();
    let (first, second) = (world.token(ONE, "ci", "rst_a"), world.token(ONE, "other", "rst_b"));
    world.does(Command::RecordTokenUses(vec![TokenUse { token: second, used_at: Timestamp(5) }])).unwrap();
    let applied = world.apply(Command::RevokeToken(second));
    assert_eq!((applied.outcome, applied.changes.len()), (Ok(Outcome::Done), 1));
    assert_eq!(world.configuration().tokens.iter().map(|token| token.id).collect::<Vec<_>>(), [first]);
    world.refuses(Command::RevokeToken(second), Refusal::NoToken(second));
    assert_eq!(Refusal::NoToken(second).code(), ErrorCode::NotFound);
    let third = world.token(ONE, "other", "rst_b");
    assert_eq!((third, world.used(third)), (TokenId(3), None), "what was issued for the old one is not for this");
}

#[test]
fn the_last_use_is_the_latest_and_no_news() {
    let mut world = groups();
    let (one, two) = (world.token(ONE, "a", "rst_a"), world.token(ONE, "b", "rst_b"));
    let used = |token, at| TokenUse { token, used_at: Timestamp(at) };
    let gone = used(TokenId(99), 7);
    let applied = world.apply(Command::RecordTokenUses(vec![used(one, 50), gone, used(two, 10), used(one, 40)]));
    assert_eq!((applied.outcome, applied.changes), (Ok(Outcome::Done), vec![]));
    assert_eq!((world.used(one), world.used(two)), (Some(Timestamp(50)), Some(Timestamp(10))));
    world.does(Command::RecordTokenUses(vec![used(one, 30), used(two, 20)])).unwrap();
    assert_eq!((world.used(one), world.used(two)), (Some(Timestamp(50)), Some(Timestamp(20))));
}

#[test]
fn the_first_starts_token_replaces_no_other_groups() {
    let mut world = groups();
    let foreign = world.token(TWO, "admin", "rst_a");
    let put = |text| {
        Command::PutToken(PutToken {
            name: "admin".to_owned(),
            hash: TokenHash::of(text),
            group: ONE,
            role: Role::Admin,
            expires_at: None,
        })
    };
    world.does(put("rst_b")).unwrap();
    world.does(put("rst_c")).unwrap();
    let tokens: Vec<_> = world.tokens(None).into_iter().map(|view| (view.token.id, view.token.hash)).collect();
    assert_eq!(tokens, [(foreign, TokenHash::of("rst_a")), (TokenId(2), TokenHash::of("rst_c"))]);
}

fn add_key(newest: Option<u64>) -> Command {
    Command::AddSigningKey { sealed: sealed(1), public: [7; 32], newest: newest.map(SigningKeyId) }
}

#[test]
fn of_gateways_that_find_no_signing_key_one_adds_one() {
    let mut world = World::new();
    assert_eq!(world.does(add_key(None)), Ok(Outcome::SigningKeyAdded(SigningKeyId(1))));
    world.refuses(add_key(None), Refusal::Changed);
    let [key] = &world.configuration().signing_keys[..] else { panic!("one key") };
    assert_eq!((key.public, &key.sealed, key.created_at, key.retired_at), ([7; 32], &sealed(1), world.now, None));
    assert_eq!(world.does(add_key(Some(1))), Ok(Outcome::SigningKeyAdded(SigningKeyId(2))));
    world.refuses(add_key(Some(1)), Refusal::Changed);
}

#[test]
fn a_retired_key_verifies_for_a_while() {
    let mut world = World::new();
    world.does(add_key(None)).unwrap();
    world.does(add_key(Some(1))).unwrap();
    let retired = world.now;
    assert_eq!(world.apply(Command::RetireSigningKey(SigningKeyId(1))).changes.len(), 1);
    world.now = world.now.after(limits::SIGNING_KEY_KEPT);
    assert_eq!(world.apply(Command::RetireSigningKey(SigningKeyId(1))).changes, [], "once is enough");
    world.does(Command::ResealSigningKey { id: SigningKeyId(1), sealed: sealed(2) }).unwrap();
    world.does(add_key(Some(2))).unwrap();
    let keys = |world: &World| -> Vec<_> {
        world.configuration().signing_keys.iter().map(|key| (key.id.0, key.retired_at, key.sealed.nonce[0])).collect()
    };
    assert_eq!(keys(&world), [(1, Some(retired), 2), (2, None, 1), (3, None, 1)]);
    world.now = world.now.after(Duration::from_millis(1));
    world.does(add_key(Some(3))).unwrap();
    assert_eq!(keys(&world), [(2, None, 1), (3, None, 1), (4, None, 1)]);
    let nobody = SigningKeyId(1);
    world.refuses(Command::RetireSigningKey(nobody), Refusal::NoSigningKey(nobody));
    world.refuses(Command::ResealSigningKey { id: nobody, sealed: sealed(1) }, Refusal::NoSigningKey(nobody));
}

fn provider(name: &str) -> ProviderSettings {
    ProviderSettings {
        name: name.parse().unwrap(),
        kind: ProviderKind::GitHub,
        issuer: "https://token.actions.example".parse().unwrap(),
        audience: "roadstead".parse().unwrap(),
        jwks: Jwks::Discovery,
    }
}

fn put_provider(id: Option<u64>, name: &str, at_most: usize) -> Command {
    Command::PutIdentityProvider { id: id.map(IdentityProviderId), settings: provider(name), at_most }
}

fn claim_rule(provider: u64, group: GroupId) -> ClaimRuleSettings {
    let claim = Claim { name: "sub".parse().unwrap(), value: "repo:org/*".parse().unwrap() };
    let (provider, claims) = (IdentityProviderId(provider), Claims::new(vec![claim]).unwrap());
    ClaimRuleSettings { provider, claims, group, role: Role::Reader }
}

fn put_rule(id: Option<u64>, settings: ClaimRuleSettings, at_most: usize) -> Command {
    Command::PutClaimRule { id: id.map(ClaimRuleId), settings, at_most }
}

#[test]
fn providers_are_created_replaced_and_removed() {
    let mut world = groups();
    let put = |id| Ok(Outcome::IdentityProviderPut(IdentityProviderId(id)));
    assert_eq!(world.does(put_provider(None, "github", 2)), put(1));
    let created = world.now;
    world.now = created.after(Duration::from_secs(1));
    assert_eq!(world.does(put_provider(None, "gitlab", 2)), put(2));
    world.refuses(put_provider(None, "third", 2), Refusal::TooManyIdentityProviders(2));
    world.refuses(put_provider(None, "gitlab", MANY), Refusal::NameTaken);
    world.refuses(put_provider(Some(1), "gitlab", MANY), Refusal::NameTaken);
    let nobody = IdentityProviderId(9);
    world.refuses(put_provider(Some(9), "ninth", MANY), Refusal::NoIdentityProvider(nobody));
    assert_eq!(world.does(put_provider(Some(1), "hub", 2)), put(1), "one more is not one too many");
    assert_eq!(world.does(put_provider(Some(1), "hub", 2)), put(1), "its own name is no other's");
    let rows = world.configuration().identity_providers;
    assert_eq!(rows[0].settings, provider("hub"));
    assert_eq!((rows[0].created_at, rows[0].updated_at), (created, world.now));
    world.refuses(Command::DeleteIdentityProvider(nobody), Refusal::NoIdentityProvider(nobody));
    world.does(Command::DeleteIdentityProvider(IdentityProviderId(2))).unwrap();
    assert_eq!(world.does(put_provider(None, "gitlab", 2)), put(3), "a number is never given again");
}

#[test]
fn claim_rules_hang_on_their_provider() {
    let mut world = groups();
    for name in ["github", "gitlab"] {
        world.does(put_provider(None, name, MANY)).unwrap();
    }
    let put = |id| Ok(Outcome::ClaimRulePut(ClaimRuleId(id)));
    assert_eq!(world.does(put_rule(None, claim_rule(1, ONE), 1)), put(1));
    assert_eq!(world.does(put_rule(None, claim_rule(2, ONE), 1)), put(2), "another provider's do not count");
    world.refuses(put_rule(None, claim_rule(1, ONE), 1), Refusal::TooManyClaimRules(1));
    world.refuses(put_rule(Some(2), claim_rule(1, ONE), 1), Refusal::TooManyClaimRules(1));
    world.refuses(put_rule(None, claim_rule(9, ONE), 1), Refusal::NoIdentityProvider(IdentityProviderId(9)));
    world.refuses(put_rule(None, claim_rule(1, GroupId(9)), MANY), Refusal::NoGroup(GroupId(9)));
    world.refuses(put_rule(Some(9), claim_rule(1, ONE), MANY), Refusal::NoClaimRule(ClaimRuleId(9)));
    assert_eq!(world.does(put_rule(Some(1), claim_rule(1, TWO), 1)), put(1));
    assert_eq!(world.configuration().claim_rules[0].settings, claim_rule(1, TWO));
    assert_eq!(world.does(put_rule(None, claim_rule(2, TWO), MANY)), put(3));
    world.does(Command::DeleteClaimRule(ClaimRuleId(3))).unwrap();
    world.refuses(Command::DeleteClaimRule(ClaimRuleId(3)), Refusal::NoClaimRule(ClaimRuleId(3)));
    world.does(Command::DeleteIdentityProvider(IdentityProviderId(1))).unwrap();
    let left: Vec<_> = world.configuration().claim_rules.iter().map(|rule| rule.id.0).collect();
    assert_eq!(left, [2]);
}

#[test]
fn there_is_one_gitlab_instance_or_none() {
    let mut world = groups();
    let rules = |group| {
        let rule = ProjectRule { project: "platform/**".parse().unwrap(), group, role: Role::Reader };
        ProjectRules::new(vec![rule]).unwrap()
    };
    let put = |url: &str, group| Command::PutGitLab { url: url.parse().unwrap(), rules: rules(group) };
    world.refuses(put("https://gitlab.example", GroupId(9)), Refusal::NoGroup(GroupId(9)));
    world.does(put("https://gitlab.example", ONE)).unwrap();
    world.does(put("https://other.example", TWO)).unwrap();
    let instance = world.configuration().gitlab.unwrap();
    assert_eq!(
        (instance.url.as_str(), instance.rules, instance.updated_at),
        ("https://other.example", rules(TWO), world.now)
    );
    assert_eq!(world.apply(Command::DeleteGitLab).changes.len(), 1);
    assert_eq!(world.configuration().gitlab, None);
    assert_eq!(world.apply(Command::DeleteGitLab).changes, [], "there was none");
}
