//! Compiles `schema/` with a pure-Rust protobuf compiler: nothing to install.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    let mut files = Vec::new();
    collect(Path::new("schema"), &mut files)?;
    files.sort();
    let descriptors = protox::compile(files, ["schema"])?;
    // Bodies of peer streams stay in the buffer they arrived in.
    let mut config = prost_build::Config::new();
    config.bytes([".roadstead.peer.v1", ".roadstead.raft.v1.SnapshotPiece"]);
    let services = std::env::var_os("CARGO_FEATURE_RPC").is_some();
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
