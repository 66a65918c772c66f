//! The command line: which command, with which flags.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::{cluster, gateway, node, serve, tls};

/// What is asked of this process.
#[derive(Debug)]
pub(crate) enum Request {
    /// Serve pulls, everything in one process.
    Serve(Box<serve::Flags>),
    /// Serve pulls as one of many gateways.
    Gateway(Box<gateway::Flags>),
    /// Keep the metadata.
    Node(Box<node::Flags>),
    /// Ask a cluster.
    Cluster(Box<cluster::Flags>),
    /// Make certificates.
    Tls(tls::Flags),
}

const AFTER_HELP: &str = "\
Without a command, `roadstead [OPTIONS]` is `roadstead serve [OPTIONS]`. With no options it listens on 127.0.0.1:8080, keeps
its data in ./roadstead-data and pulls from Docker Hub, MCR and Quay. `roadstead help serve` is the manual of that command.

Exit codes: 0 ended in good order; 1 failed; 64 the command line or the configuration is wrong.";

/// A pull-through cache for container images: many clients pull through one address, an upstream is asked once.
#[derive(Debug, Parser)]
#[command(name = "roadstead", version, override_usage = "roadstead [COMMAND] [OPTIONS]", after_help = AFTER_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve pulls: gateway, metadata and blobs in one process
    #[command(long_about = serve::LONG_ABOUT)]
    Serve(Box<serve::Flags>),
    /// Serve pulls as one of many gateways of a cluster
    #[command(long_about = gateway::LONG_ABOUT)]
    Gateway(Box<gateway::Flags>),
    /// Keep the metadata of a cluster, as one of its nodes
    #[command(long_about = node::LONG_ABOUT)]
    Node(Box<node::Flags>),
    /// Administer a cluster
    #[command(long_about = cluster::LONG_ABOUT)]
    Cluster(Box<cluster::Flags>),
    /// Make the certificates of a cluster
    #[command(long_about = tls::LONG_ABOUT)]
    Tls(tls::Flags),
}

/// Reads the command line.
///
/// # Errors
/// What is to be printed instead of running: help, the version, or what cannot be understood.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if serves_without_a_word(arguments.get(1)) {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    Ok(match CommandLine::try_parse_from(arguments)?.command {
        Command::Serve(flags) => Request::Serve(flags),
        Command::Gateway(flags) => Request::Gateway(flags),
        Command::Node(flags) => Request::Node(flags),
        Command::Cluster(flags) => Request::Cluster(flags),
        Command::Tls(flags) => Request::Tls(flags),
    })
}

/// Whether the command is left out: there is nothing, or an option of `serve` in its place.
fn serves_without_a_word(first: Option<&OsString>) -> bool {
    match first.map(|text| text.to_string_lossy()) {
        None => true,
        Some(text) => text.starts_with('-') && !matches!(&*text, "-h" | "--help" | "-V" | "--version"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn flags(words: &[&str]) -> Result<serve::Flags, clap::Error> {
        match parse(words.iter().map(OsString::from))? {
            Request::Serve(flags) => Ok(*flags),
            other => panic!("{other:?} is not to serve"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn serve_may_be_left_out() {
        for words in [&["roadstead"][..], &["roadstead", "serve"]] {
            assert_eq!(flags(words).unwrap(), serve::Flags::default(), "{words:?}");
        }
        let said = flags(&["roadstead", "serve", "--listen", "127.0.0.1:0"]).unwrap();
        assert_eq!(flags(&["roadstead", "--listen", "127.0.0.1:0"]).unwrap(), said);
    }

    #[test]
    fn help_and_version_are_those_of_the_program() {
        let answer = |words| flags(words).unwrap_err().to_string();
        assert_eq!(answer(&["roadstead", "--version"]), concat!("roadstead ", env!("CARGO_PKG_VERSION"), "\n"));
        assert!(answer(&["roadstead", "--help"]).contains("Commands:"));
        assert!(answer(&["roadstead", "serve", "--help"]).contains("ROADSTEAD_SECRET_KEY"));
        assert!(answer(&["roadstead", "help", "serve"]).contains("ROADSTEAD_SECRET_KEY"));
    }

    #[test]
    fn every_command_has_its_manual() {
        for (words, part) in [
            (&["serve"][..], "The first start creates group `default` (1) and registry 1"),
            (&["gateway"], "A gateway keeps nothing that it cannot lose."),
            (&["node"], "A node with an empty data directory waits"),
            (&["cluster"], "Every command asks one node, and any node will do"),
            (&["tls"], "A certificate names a"),
        ] {
            let words = [&["roadstead", "help"], words].concat();
            let answer = parse(words.iter().map(OsString::from)).unwrap_err().to_string();
            assert!(answer.contains(part), "{answer}");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_success() {
        for words in [&["roadstead", "sail"][..], &["roadstead", "--sail"], &["roadstead", "serve", "harbour"]] {
            assert!(flags(words).unwrap_err().use_stderr(), "{words:?}");
        }
    }
}
