//! The commands of the operator's page do what it says they do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use super::world::KEY;
use crate::process::{Roadstead, command};

const PAGE: &str = include_str!("../../../../docs/operators/cluster.md");

/// The page's commands, at addresses that are free.
struct Page {
    directory: tempfile::TempDir,
    addresses: BTreeMap<String, String>,
}

impl Page {
    fn new() -> Self {
        let listeners: BTreeMap<String, std::net::TcpListener> = PAGE
            .split_whitespace()
            .filter_map(|word| word.split_once("127.0.0.1:"))
            .map(|(_, port)| format!("127.0.0.1:{}", port.trim_end_matches(|c: char| !c.is_ascii_digit())))
            .map(|address| (address, std::net::TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        // Free from here on; what else takes ports on this machine is given others by the system.
        let addresses =
            listeners.into_iter().map(|(address, free)| (address, free.local_addr().unwrap().to_string())).collect();
        Self { directory: tempfile::tempdir().unwrap(), addresses }
    }

    fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The commands behind a marker.
    fn commands(&self, marker: &str) -> Vec<String> {
        let (_, behind) = PAGE.split_once(&format!("<!-- {marker} -->\n```console\n")).unwrap();
        let (block, _) = behind.split_once("```").unwrap();
        let moved = |line: &str| {
            // In one pass: an address that is free may be another one of the page.
            line.split(' ')
                .map(|word| self.addresses.get(word).map_or(word, String::as_str).to_owned())
                .collect::<Vec<_>>()
        };
        let lines = block.lines().map(|line| line.strip_prefix("$ ").unwrap());
        lines
            .map(|line| {
                moved(&line.replace("ROADSTEAD_NODE=", "ROADSTEAD_NODE= ")).join(" ").replace("NODE= ", "NODE=")
            })
            .collect()
    }

    /// A shell in which `roadstead` is the one that is tested.
    fn shell(&self, script: &str) -> Command {
        let binary = command(self.directory(), &[]).get_program().to_owned();
        let path = std::env::var("PATH").unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-ec", script]).current_dir(self.directory()).stdin(Stdio::null());
        shell.env("PATH", format!("{}:{path}", Path::new(&binary).parent().unwrap().display()));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("ROADSTEAD_") || name.ends_with("_PROXY"))
        {
            shell.env_remove(name);
        }
        shell
    }

    /// What a block of commands prints, with what went before as its environment.
    fn run(&self, markers: &[&str]) -> String {
        let script: Vec<String> =
            markers.iter().flat_map(|marker| self.commands(&format!("commands: {marker}"))).collect();
        let output = self.shell(&script.join("\n")).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{markers:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// The processes of a block, started one after another.
    fn start(&self, marker: &str) -> Vec<Roadstead> {
        let commands = self.commands(&format!("background: {marker}"));
        commands.iter().map(|command| Roadstead::spawn(self.shell(&format!("exec {command}")))).collect()
    }
}

#[test]
fn the_page_leads_to_three_nodes_and_two_gateways() {
    let page = Page::new();
    assert!(page.run(&["certificates"]).contains("Issued a certificate of the role admin"));
    let nodes = page.start("nodes");
    nodes.iter().for_each(|node| drop(node.printed_line("  roadstead cluster add")));
    let said = page.run(&["members"]);
    for part in ["Founded cluster ", "Node 2 is a voter now.", "Node 3 is a voter now.", "No gateway is connected."] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    page.run(&["key"]);
    let key = std::fs::read_to_string(page.directory().join("secret-key")).unwrap();
    assert_eq!(key.trim().len(), KEY.len());
    let gateways: Vec<Roadstead> = page.start("gateways").into_iter().map(Roadstead::until_it_serves).collect();

    // The session of a gateway opens with its first sign of life, right after it serves.
    let exports = page.commands("commands: members")[..2].join("\n");
    let look = "roadstead cluster status; roadstead cluster status --json > status.json";
    let table = (0..300)
        .map(|_| String::from_utf8(page.shell(&format!("{exports}\n{look}")).output().unwrap().stdout).unwrap())
        .find(|table| table.contains("gw-a") && table.contains("gw-b"))
        .expect("both gateways are shown");
    assert_eq!(table.lines().filter(|line| line.contains(" yes ")).count(), 3, "{table}");
    let json = std::fs::read(page.directory().join("status.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["gateways"].as_array().unwrap().len(), 2);

    let output = page.shell(&format!("{exports}\n{}", page.commands("commands: backup").join("\n"))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(page.directory().join("metadata.snapshot").exists());
    gateways.into_iter().chain(nodes).for_each(|process| drop(process.stop()));
}
