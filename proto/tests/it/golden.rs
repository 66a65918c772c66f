//! The bytes on disk. A change here is a change of the persisted format: it needs a migration, not a new expectation.

use roadstead_proto::domain::cleanup::{Cadence, CleanupPolicy, CleanupRun, CleanupSettings, KeepDays};
use roadstead_proto::domain::digest::{Algorithm, Digest, encode_hex};
use roadstead_proto::domain::entry::{BlobLocation, ContentKind, EntryRef, ObjectKey, Right, Route, TagEntry, TagKey};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::identity::{
    Claim, ClaimRule, ClaimRuleSettings, Claims, GitLabInstance, IdentityProvider, Jwks, ProjectRule, ProjectRules,
    ProviderKind, ProviderSettings,
};
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::lease::{AcquireRequest, Completion, Delivered, FencingToken, LeaseKey, SessionId};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::principal::{Role, SigningKey, TokenHash, TokenUse};
use roadstead_proto::domain::registry::{
    ClaimRuleId, GroupId, GroupRef, IdentityProviderId, LinkId, RegionId, RegistryId, SigningKeyId, TokenId, UpstreamId,
};
use roadstead_proto::domain::rule::{Effect, Rule, Rules};
use roadstead_proto::domain::secret::SealedSecret;
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{CredentialId, UpstreamSettings};
use roadstead_proto::state::command::{
    Command, CreateRegistry, CreateToken, EndCleanup, Proposal, UpdateCleanupPolicy, UpdateRegistry,
};
use roadstead_proto::state::entry_id::entry_id;
use roadstead_proto::state::rows::{EntryCount, Indexed, Indexing, LastUse};
use roadstead_proto::state::table::{self, Table};
use roadstead_proto::wire::Record;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest() -> Digest {
    Digest::sha256(b"")
}

fn hex(bytes: &[u8]) -> String {
    encode_hex(bytes).replace(EMPTY, "<sha256>")
}

fn tag_entry() -> EntryRef {
    EntryRef {
        upstream: UpstreamId(2),
        repository: "library/x".parse().unwrap(),
        reference: Reference::Tag("1.0".parse().unwrap()),
    }
}

#[test]
fn table_numbers() {
    let numbers: Vec<_> = Table::ALL.iter().map(|table| (table.id(), table.name())).collect();
    assert_eq!(
        numbers,
        [
            (1, "counters"),
            (2, "groups"),
            (3, "registries"),
            (4, "upstreams"),
            (5, "links"),
            (6, "tokens"),
            (7, "signing keys"),
            (8, "token uses"),
            (9, "cleanup policies"),
            (10, "locations"),
            (11, "rights"),
            (12, "tags"),
            (13, "routes"),
            (14, "descriptors"),
            (15, "usage"),
            (16, "purges"),
            (17, "deliveries"),
            (18, "indexed"),
            (19, "entry counts"),
            (20, "sessions"),
            (21, "leases"),
            (22, "identity providers"),
            (23, "claim rules"),
            (24, "gitlab"),
            (25, "indexing"),
        ]
    );
    for table in Table::ALL {
        assert_eq!(Table::from_id(table.id()), Some(table));
    }
}

#[test]
fn keys() {
    let entry = tag_entry();
    let repository = &entry.repository;
    let tag = "1.0".parse().unwrap();
    let name = "6c6962726172792f7800"; // "library/x", 0
    let two = "0000000000000002";
    assert_eq!(hex(&table::location_key(&digest(), &RegionId::default_region())), "01<sha256>64656661756c7400");
    assert_eq!(hex(&table::content_key(UpstreamId(2), repository, &digest())), format!("{two}{name}01<sha256>"));
    assert_eq!(hex(&table::tag_key(UpstreamId(2), repository, &tag)), format!("{two}{name}312e3000"));
    let key = TagKey { registry: RegistryId(2), repository: repository.clone(), tag };
    assert_eq!(hex(&table::route_key(&key)), format!("{two}{name}312e3000"));
    assert_eq!(hex(&table::entry_key(&entry)), format!("{two}{name}74312e3000"));
    let newest_first = format!("{two}0000000000000005fffffffffffffffc{name}74312e3000");
    assert_eq!(hex(&table::indexed_key(Epoch(5), Timestamp(3), &entry)), newest_first);
    assert_eq!(hex(&table::indexed_prefix(UpstreamId(2), Epoch(5))), newest_first[..32]);
    assert_eq!(entry_id(&entry), "AAAAAAAAAAJsaWJyYXJ5L3gAdDEuMAA");
    assert_eq!(hex(&table::lease_key(&LeaseKey::Manifest(entry))), format!("6d{two}{name}74312e3000"));
    let mut source = UpstreamSettings::new("u", "https://a.b".parse().unwrap()).source();
    source.credential = CredentialId([0xcc; 16]);
    let origin = "68747470733a2f2f612e623a34343300"; // "https://a.b:443", 0
    assert_eq!(hex(&table::delivery_key(&source.origin, &digest())), format!("{origin}01<sha256>"));
    let fill = LeaseKey::Fill { region: RegionId::default_region(), source, digest: digest() };
    let credential = "cc".repeat(16);
    assert_eq!(hex(&table::lease_key(&fill)), format!("6664656661756c7400{origin}{credential}01<sha256>"));
}

#[test]
fn rows() {
    let location =
        BlobLocation { key: ObjectKey { digest: digest(), token: FencingToken(3) }, size: 4, stored_at: Timestamp(5) };
    assert_eq!(hex(&location.encode()), "0a20<sha256>100318042005");
    let right = Right {
        size: 1,
        media_type: MediaType::octet_stream(),
        kind: ContentKind::Manifest,
        sha1: Some([9; 20]),
        created_at: Timestamp(2),
        upstream_epoch: Epoch(3),
    };
    let media = "12186170706c69636174696f6e2f6f637465742d73747265616d";
    assert_eq!(hex(&right.encode()), format!("0801{media}18012214{}28023003", "09".repeat(20)));
    let tag = TagEntry {
        digest: digest(),
        checked_at: Timestamp(1),
        created_at: Timestamp(2),
        updated_at: Timestamp(3),
        upstream_etag: Some("e".into()),
        gone_since: Some(Timestamp(4)),
        upstream_epoch: Epoch(5),
    };
    assert_eq!(hex(&tag.encode()), "0a20<sha256>1001180220032a016530043805");
    let route = Route { upstream: UpstreamId(2), not_here: vec![UpstreamId(1)], routing: Revision(6) };
    assert_eq!(hex(&route.encode()), "08021201011806");
    assert_eq!(BlobLocation::decode(&location.encode()), Ok(location));
    assert_eq!(Right::decode(&right.encode()), Ok(right));
    assert_eq!(TagEntry::decode(&tag.encode()), Ok(tag));
    assert_eq!(Route::decode(&route.encode()), Ok(route));
}

#[test]
fn rows_of_the_index() {
    for (row, bytes) in [(ContentKind::Blob, ""), (ContentKind::Manifest, "0801")] {
        assert_eq!(hex(&Indexed { kind: row }.encode()), bytes);
        assert_eq!(Indexed::decode(&Indexed { kind: row }.encode()), Ok(Indexed { kind: row }));
    }
    assert_eq!(hex(&EntryCount { epoch: Epoch(5), entries: 6 }.encode()), "08051006");
    let after = Some(vec![0xab]);
    for (row, bytes) in [
        (Indexing::Tags { after: None }, ""),
        (Indexing::Tags { after: after.clone() }, "1201ab"),
        (Indexing::Rights { after: None }, "0801"),
        (Indexing::Rights { after }, "08011201ab"),
        (Indexing::Complete, "0802"),
    ] {
        assert_eq!(hex(&row.encode()), bytes);
        assert_eq!(Indexing::decode(&row.encode()), Ok(row));
    }
}

#[test]
fn a_proposal() {
    let entry = tag_entry();
    let proposal = Proposal {
        at: Timestamp(7),
        command: Command::Acquire(AcquireRequest {
            session: SessionId(1),
            key: LeaseKey::Manifest(entry.clone()),
            entry,
            upstream_epoch: Epoch(2),
            region: RegionId::default_region(),
            distrusts: None,
        }),
    };
    let entry = "080212096c6962726172792f781a050a03312e30";
    assert_eq!(hex(&proposal.encode()), format!("08074a3b080112161214{entry}1a14{entry}20022a0764656661756c74"));
    assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
}

#[test]
fn a_copy() {
    let entry = tag_entry();
    let delivered = Delivered {
        object: ObjectKey { digest: digest(), token: FencingToken(3) },
        region: RegionId::default_region(),
        size: 4,
        media_type: "a/b".parse().unwrap(),
        kind: ContentKind::Manifest,
        sha1: None,
        children: Vec::new(),
        replaces: None,
        copied: false,
    };
    let completion = |copied| Proposal {
        at: Timestamp(7),
        command: Command::Complete(Completion {
            key: LeaseKey::Manifest(entry.clone()),
            token: FencingToken(1),
            began: Revision(2),
            entry: entry.clone(),
            delivered: Some(Delivered { copied, ..delivered.clone() }),
            tag: None,
        }),
    };
    // What was written before there were copies was delivered by the upstream.
    let body = "0a20<sha256>10031a0764656661756c7420042a03612f623001";
    let (without, with) = (hex(&completion(false).encode()), hex(&completion(true).encode()));
    assert!(without.ends_with(body), "{without}");
    assert!(with.ends_with(&format!("{body}5001")), "{with}");
    assert_eq!(Proposal::decode(&completion(true).encode()), Ok(completion(true)));
}

#[test]
fn a_sha512_is_told_from_a_sha256_by_its_length() {
    let digest = Digest::of(Algorithm::Sha512, b"");
    let location = BlobLocation { key: ObjectKey { digest, token: FencingToken(1) }, size: 0, stored_at: Timestamp(0) };
    assert_eq!(BlobLocation::decode(&location.encode()), Ok(location));
}

fn sealed() -> SealedSecret {
    SealedSecret { key_id: [1; 8], nonce: [2; 12], ciphertext: vec![3; 2] }
}

fn rule() -> Rule {
    Rule {
        effect: Effect::Allow,
        image: "a/*".parse().unwrap(),
        tag: Some("b".parse().unwrap()),
        instead: Some("c".parse().unwrap()),
        reason: Some("d".parse().unwrap()),
    }
}

fn provider() -> ProviderSettings {
    ProviderSettings {
        name: "a".parse().unwrap(),
        kind: ProviderKind::Kubernetes,
        issuer: "https://b".parse().unwrap(),
        audience: "c".parse().unwrap(),
        jwks: Jwks::Url("https://d".parse().unwrap()),
    }
}

fn claim_rule() -> ClaimRuleSettings {
    let claim = Claim { name: "a".parse().unwrap(), value: "b*".parse().unwrap() };
    let (provider, claims) = (IdentityProviderId(1), Claims::new(vec![claim]).unwrap());
    ClaimRuleSettings { provider, claims, group: GroupId(2), role: Role::Maintainer }
}

fn project_rules() -> ProjectRules {
    let rule = ProjectRule { project: "a/**".parse().unwrap(), group: GroupId(2), role: Role::Maintainer };
    ProjectRules::new(vec![rule]).unwrap()
}

fn cleanup() -> CleanupSettings {
    CleanupSettings {
        enabled: true,
        keep: KeepDays::new(30).unwrap(),
        cadence: Cadence::new(7).unwrap(),
        notify_on_success: true,
        notify_on_failure: true,
    }
}

#[track_caller]
fn is_written_as<R: Record + PartialEq + std::fmt::Debug>(row: &R, bytes: &str) {
    assert_eq!(hex(&row.encode()), bytes);
    assert_eq!(R::decode(&row.encode()).as_ref(), Ok(row));
}

#[test]
fn rows_of_who_may_do_what() {
    let (created_at, updated_at) = (Timestamp(4), Timestamp(5));
    let key =
        SigningKey { id: SigningKeyId(1), sealed: sealed(), public: [9; 32], created_at, retired_at: Some(updated_at) };
    is_written_as(
        &key,
        "0801121c0a080101010101010101120c0202020202020202020202021a0203031a20090909090909090909090909090909090909090909090909090909090909090920042805",
    );
    is_written_as(&LastUse { at: created_at }, "0804");
    let run = CleanupRun { at: Timestamp(1), deleted_entries: 2, deleted_bytes: 3, failure: Some("f".to_owned()) };
    let policy = CleanupPolicy {
        group: GroupId(1),
        settings: cleanup(),
        next_run_at: Some(Timestamp(2)),
        running_since: Some(Timestamp(3)),
        last_run: Some(run),
        created_at,
        updated_at,
    };
    is_written_as(&policy, "0801120a0801101e180720012801180220032a0908011002180322016630043805");
    let provider = IdentityProvider { id: IdentityProviderId(1), settings: provider(), created_at, updated_at };
    is_written_as(&provider, "0801121e0a016110031a0968747470733a2f2f622201632a0968747470733a2f2f6418042005");
    let rule = ClaimRule { id: ClaimRuleId(1), settings: claim_rule(), created_at, updated_at };
    is_written_as(&rule, "0801120f080112070a01611202622a1802200118042005");
    let gitlab = GitLabInstance { url: "https://b".parse().unwrap(), rules: project_rules(), updated_at };
    is_written_as(&gitlab, "0a0968747470733a2f2f62120a0a04612f2a2a100218011805");
}

/// What was written before there were rules has none.
#[test]
fn rules_come_last_of_an_upstreams_settings() {
    let mut settings = UpstreamSettings::new("u", "https://a.b".parse().unwrap());
    let without = hex(&settings.encode());
    settings.rules = Rules::new(vec![rule()]).unwrap();
    is_written_as(&settings, &format!("{without}4a1008011203612f2a1a01622201632a0164"));
}

#[test]
fn commands_of_the_management_api() {
    let settings = || UpstreamSettings::new("u", "https://a.b".parse().unwrap());
    let group = GroupRef::Id(GroupId(5));
    let create = |group| CreateRegistry {
        group,
        create_group: true,
        name: "n".parse().unwrap(),
        description: Some("d".parse().unwrap()),
        at_most: 7,
    };
    let update = |description| UpdateRegistry {
        id: RegistryId(1),
        name: Some("n".parse().unwrap()),
        description,
        anonymous_pull: Some(false),
    };
    let token = CreateToken {
        name: "n".parse().unwrap(),
        hash: TokenHash([8; 32]),
        group: GroupId(1),
        role: Role::Admin,
        expires_at: Some(Timestamp(9)),
    };
    let change = UpdateCleanupPolicy {
        group: GroupId(1),
        enabled: Some(false),
        keep: Some(KeepDays::new(1).unwrap()),
        cadence: Some(Cadence::new(90).unwrap()),
        notify_on_success: Some(false),
        notify_on_failure: Some(true),
    };
    let end = EndCleanup { group: GroupId(1), deleted_entries: 2, deleted_bytes: 3, failure: Some("f".to_owned()) };
    let used = TokenUse { token: TokenId(1), used_at: Timestamp(2) };
    let (sealed_key, a_provider, some) = (sealed(), provider(), settings());
    for (command, bytes) in [
        (Command::CreateRegistry(create(group)), "720c0805180122016e2a01643007"),
        (Command::CreateRegistry(create("a/b".parse().unwrap())), "720f1203612f62180122016e2a01643007"),
        (Command::UpdateRegistry(update(Some(None))), "7a09080112016e1a002000"),
        (Command::UpdateRegistry(update(Some(Some("d".parse().unwrap())))), "7a0c080112016e1a030a01642000"),
        (Command::DeleteRegistry(RegistryId(1)), "8201020801"),
        (Command::PurgeRegistry(RegistryId(1)), "8a01020801"),
        (
            Command::CreateUpstream { registry: RegistryId(1), settings: some, at_most: 7 },
            "9201210801121b0a0b68747470733a2f2f612e621201752880b89929308088b2a0021807",
        ),
        (
            Command::UpdateUpstream { id: UpstreamId(1), settings: settings(), if_updated_at: Some(Timestamp(2)) },
            "1a210801121b0a0b68747470733a2f2f612e621201752880b89929308088b2a0021802",
        ),
        (Command::DeleteUpstream(UpstreamId(1)), "9a01020801"),
        (Command::Link { registry: RegistryId(1), upstream: UpstreamId(2), at_most: 7 }, "a20106080110021807"),
        (Command::MoveLink { id: LinkId(1), position: 2 }, "aa010408011002"),
        (Command::Unlink(LinkId(1)), "b201020801"),
        (Command::IndexEntries, "ba0100"),
        (Command::CreateCleanupPolicy { group: GroupId(1), settings: cleanup() }, "c2010e0801120a0801101e180720012801"),
        (Command::UpdateCleanupPolicy(change), "ca010c080110001801205a28003001"),
        (Command::DeleteCleanupPolicy(GroupId(1)), "d201020801"),
        (Command::BeginCleanup(GroupId(1)), "da01020801"),
        (Command::EndCleanup(end), "e20109080110021803220166"),
        (
            Command::CreateToken(token),
            "ea012b0a016e12200808080808080808080808080808080808080808080808080808080808080808180120022809",
        ),
        (Command::RevokeToken(TokenId(1)), "f201020801"),
        (Command::RecordTokenUses(vec![used]), "fa01060a0408011002"),
        (
            Command::AddSigningKey { sealed: sealed_key, public: [9; 32], newest: Some(SigningKeyId(1)) },
            "8202420a1c0a080101010101010101120c0202020202020202020202021a020303122009090909090909090909090909090909090909090909090909090909090909091801",
        ),
        (Command::RetireSigningKey(SigningKeyId(1)), "8a02020801"),
        (
            Command::ResealSigningKey { id: SigningKeyId(1), sealed: sealed() },
            "9202200801121c0a080101010101010101120c0202020202020202020202021a020303",
        ),
        (
            Command::PutIdentityProvider { id: Some(IdentityProviderId(1)), settings: a_provider, at_most: 7 },
            "9a02240801121e0a016110031a0968747470733a2f2f622201632a0968747470733a2f2f641807",
        ),
        (Command::DeleteIdentityProvider(IdentityProviderId(1)), "a202020801"),
        (
            Command::PutClaimRule { id: None, settings: claim_rule(), at_most: 7 },
            "aa0213120f080112070a01611202622a180220011807",
        ),
        (Command::DeleteClaimRule(ClaimRuleId(1)), "b202020801"),
        (
            Command::PutGitLab { url: "https://b".parse().unwrap(), rules: project_rules() },
            "ba02170a0968747470733a2f2f62120a0a04612f2a2a10021801",
        ),
        (Command::DeleteGitLab, "c20200"),
    ] {
        is_written_as(&Proposal { at: Timestamp(0), command }, bytes);
    }
}
