//! Arrows point down: a file may look at its own folder and at lower levels only.

use std::path::{Path, PathBuf};

/// Modules of `src/`, from the bottom. Siblings on one level do not look at each other, but for those named in `ALLOWED`.
const LEVELS: &[&[&str]] = &[
    &["load"],
    &[
        "config",
        "metrics",
        "telemetry",
        "seal",
        "manifest",
        "namespace",
        "labels",
        "cache_status",
        "flight",
        "client_address",
    ],
    &["meta"],
    &["auth", "upstream", "catalog", "usage"],
    &["fleet"],
    &["lease"],
    &["policy"],
    &["fetch"],
    &["resolve"],
    &["listing"],
    &["pull", "health", "server"],
    &["app"],
    &["lib"],
];

/// The catalog remembers what upstreams answered.
const ALLOWED: &[(&str, &str)] = &[("catalog", "upstream")];

fn level(module: &str) -> usize {
    LEVELS.iter().position(|level| level.contains(&module)).unwrap_or_else(|| panic!("`{module}` has no level"))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn arrows_point_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    assert!(found.len() > 20);
    for file in found {
        let relative = file.strip_prefix(&source).unwrap();
        let module =
            relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").trim_end_matches("_tests");
        let text = std::fs::read_to_string(&file).unwrap();
        for used in text.match_indices("crate::").map(|(at, _)| &text[at + 7..]) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let down = used == module || level(&used) < level(module) || ALLOWED.contains(&(module, &used));
            assert!(down, "{} looks up at {used}", relative.display());
        }
    }
}

#[test]
fn the_gateway_never_sees_raft() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    for name in ["openraft", "redb", "roadstead-node"] {
        assert!(!manifest.contains(name), "{name}");
    }
}
