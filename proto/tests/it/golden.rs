//! The bytes on disk. A change here is a change of the persisted format: it needs a migration, not a new expectation.

use roadstead_proto::domain::digest::{Algorithm, Digest, encode_hex};
use roadstead_proto::domain::entry::{BlobLocation, ContentKind, EntryRef, ObjectKey, Right, Route, TagEntry, TagKey};
use roadstead_proto::domain::epoch::{Epoch, Revision};
use roadstead_proto::domain::image::Reference;
use roadstead_proto::domain::lease::{AcquireRequest, Completion, Delivered, FencingToken, LeaseKey, SessionId};
use roadstead_proto::domain::media::MediaType;
use roadstead_proto::domain::registry::{RegionId, RegistryId, UpstreamId};
use roadstead_proto::domain::time::Timestamp;
use roadstead_proto::domain::upstream::{CredentialId, UpstreamSettings};
use roadstead_proto::state::command::{Command, Proposal};
use roadstead_proto::state::entry_id::entry_id;
use roadstead_proto::state::rows::{EntryCount, Indexed, Indexing};
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
