use proptest::prelude::*;
use roadstead_proto::wire::pb::meta::v1::{Fleet, Report};

use super::*;

fn leader() -> NodeStatus {
    NodeStatus {
        node: 1,
        address: "10.0.0.1:7000".to_owned(),
        role: NodeRole::Leader.into(),
        voter: true,
        version: "0.1.0".to_owned(),
        committed: Some(1234),
        applied: Some(1234),
        log_bytes: 1_600_000,
        state_bytes: 512,
        ..NodeStatus::default()
    }
}

fn cluster() -> StatusResponse {
    let learner = NodeStatus {
        node: 2,
        address: "node-b.example:7000".to_owned(),
        role: NodeRole::Learner.into(),
        voter: false,
        committed: Some(1230),
        applied: Some(1200),
        ..leader()
    };
    let silent = NodeStatus {
        node: 3,
        address: "10.0.0.3:7000".to_owned(),
        voter: true,
        error: "connection refused".to_owned(),
        ..NodeStatus::default()
    };
    let gateway = FleetMember {
        gateway: "gw-a".to_owned(),
        region: "default".to_owned(),
        address: "10.0.1.1:7100".to_owned(),
        version: "0.1.0".to_owned(),
        report: Some(Report { fills: 2, requests: 31, ..Report::default() }),
        heard_ago_ms: 460,
        ..FleetMember::default()
    };
    let unheard = FleetMember { gateway: "gw-b".to_owned(), report: None, heard_ago_ms: 2000, ..gateway.clone() };
    StatusResponse {
        cluster: "3f2a".to_owned(),
        leader: 1,
        term: 4,
        nodes: vec![leader(), learner, silent],
        fleet: Some(Fleet { gateways: vec![gateway, unheard], standings: Vec::new() }),
    }
}

#[test]
fn a_table_for_people() {
    let expected = "\
Cluster 3f2a, term 4, leader 1

NODE  ADDRESS              ROLE       VOTER  APPLIED  LAG  LOG      STATE  VERSION
1     10.0.0.1:7000        leader     yes    1234     0    1.5 MiB  512 B  0.1.0
2     node-b.example:7000  learner    no     1200     34   1.5 MiB  512 B  0.1.0
3     10.0.0.3:7000        no answer  yes    -        -    -        -      -

Node 3: connection refused

GATEWAY  REGION   ADDRESS        VERSION  FILLS  REQUESTS  HEARD
gw-a     default  10.0.1.1:7100  0.1.0    2      31        0.4 s ago
gw-b     default  10.0.1.1:7100  0.1.0    -      -         2.0 s ago
";
    assert_eq!(table(&cluster()), expected);
}

#[test]
fn what_is_not_known_is_not_made_up() {
    let alone = StatusResponse { cluster: String::new(), leader: 0, fleet: None, ..cluster() };
    let text = table(&alone);
    assert!(text.starts_with("In no cluster yet"), "{text}");
    assert!(text.ends_with("known to a leader alone, and none answers.\n"), "{text}");
    let text = table(&StatusResponse { leader: 0, ..cluster() });
    assert!(text.contains("term 4, no leader is known\n"), "{text}");

    let json: Value = serde_json::from_str(&json(&alone)).unwrap();
    for missing in ["cluster", "leader", "gateways"] {
        assert_eq!(json[missing], Value::Null, "{missing}");
    }
    assert_eq!(json["nodes"][2]["applied"], Value::Null);
}

#[test]
fn json_for_programs() {
    let json: Value = serde_json::from_str(&json(&cluster())).unwrap();
    assert_eq!((&json["leader"], &json["term"]), (&1.into(), &4.into()));
    assert_eq!((&json["nodes"][1]["role"], &json["nodes"][1]["lag"]), (&"learner".into(), &34.into()));
    assert_eq!(json["nodes"][2]["error"], "connection refused");
    assert_eq!((&json["gateways"][0]["fills"], &json["gateways"][1]["fills"]), (&2.into(), &Value::Null));
}

proptest! {
    /// Whatever a node says: a line for each, and nothing that moves the cursor.
    #[test]
    fn every_member_has_one_line(names in prop::collection::vec("\\PC{0,12}|[\n\r\t\u{1b}a]{0,6}", 0..6)) {
        let nodes = names.iter().map(|name| NodeStatus { version: name.clone(), address: name.clone(), ..leader() });
        let status = StatusResponse { nodes: nodes.collect(), fleet: None, ..cluster() };
        let text = table(&status);
        prop_assert_eq!(text.lines().count(), names.len() + 5, "{}", text);
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{:?}", text);
    }

    /// A size is shown to within a tenth of its unit, and never as more than it is.
    #[test]
    fn sizes_are_not_exaggerated(size in prop_oneof![any::<u64>(), 0_u64..5000]) {
        let text = bytes(size);
        let (number, unit) = text.split_once(' ').unwrap();
        let factor: u128 = match unit { "B" => 1, "KiB" => 1 << 10, "MiB" => 1 << 20, _ => 1 << 30 };
        let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
        let shown = (whole.parse::<u128>().unwrap() * 10 + tenth.parse::<u128>().unwrap()) * factor / 10;
        prop_assert!(shown <= u128::from(size) && u128::from(size) - shown <= factor / 10 + 1, "{} {}", size, text);
    }
}
