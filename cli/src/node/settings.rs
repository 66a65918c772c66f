//! What a node runs with: flags over file over defaults, checked before anything is bound or written.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use roadstead_proto::rpc::{Identity, Role};
use serde::Deserialize;

use super::flags::Flags;
use crate::settings::file::{self, FileError};
use crate::settings::tls::{self, FileTls, TlsError};
use crate::written::{HostPort, LogFormat};

const DATA_DIR: &str = "./roadstead-node";
const LISTEN: &str = "127.0.0.1:7000";
const ADMIN_LISTEN: &str = "127.0.0.1:7001";

/// The whole file. `deploy/config/node.toml` shows every key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    node_id: Option<u64>,
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    address: Option<HostPort>,
    admin_listen: Option<SocketAddr>,
    log_format: Option<LogFormat>,
    tls: Option<FileTls>,
}

/// What `roadstead node` runs with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// This node's number.
    pub(crate) node_id: u64,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// Where it is called.
    pub(crate) listen: SocketAddr,
    /// How the others reach it, where that is another address.
    pub(crate) address: Option<HostPort>,
    /// Where metrics and health are.
    pub(crate) admin_listen: SocketAddr,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// What it proves itself with.
    pub(crate) identity: Option<Identity>,
}

/// Why there are no settings to run with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No number, or 0.
    #[error("this node has no number; give each node of a cluster one of its own by --node-id: 1, 2, 3")]
    NoNumber,
    /// No data directory.
    #[error("--data-dir is empty; name the directory that everything is to be kept in")]
    NoDataDir,
    /// Two listeners on one address.
    #[error("--listen and --admin-listen are both {0}; give --admin-listen another port, or 0 for a free one")]
    SameAddress(SocketAddr),
    /// Nobody could call it.
    #[error(
        "--listen {0} is every address of this machine; say by --address HOST:PORT which one the other nodes reach it at"
    )]
    NoAddress(SocketAddr),
    /// Nobody could call it there either.
    #[error("--address {0} is every address of a machine, and none that other nodes could call; name one of them")]
    Unspecified(HostPort),
    /// No TLS where strangers are.
    #[error(
        "--listen {0} is no loopback address, and there is no TLS: whoever reaches it could read and change everything; name \
         --tls-ca, --tls-cert and --tls-key (`roadstead tls` makes them), or say --insecure where nobody else can reach it"
    )]
    NoTls(SocketAddr),
}

/// Puts the settings together.
pub(crate) fn resolve(flags: Flags, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Settings, SettingsError> {
    let file: File = flags.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
    let known = |text: &str| text.parse().expect("the defaults are addresses");
    let settings = Settings {
        node_id: flags.node_id.or(file.node_id).filter(|number| *number > 0).ok_or(SettingsError::NoNumber)?,
        data_dir: flags.data_dir.or(file.data_dir).unwrap_or_else(|| DATA_DIR.into()),
        listen: flags.listen.or(file.listen).unwrap_or_else(|| known(LISTEN)),
        address: flags.address.or(file.address),
        admin_listen: flags.admin_listen.or(file.admin_listen).unwrap_or_else(|| known(ADMIN_LISTEN)),
        log_format: flags.log_format.or(file.log_format).unwrap_or_default(),
        identity: tls::identity(flags.tls, file.tls.unwrap_or_default(), Role::Node, variable)?,
    };
    if settings.data_dir.as_os_str().is_empty() {
        return Err(SettingsError::NoDataDir);
    }
    if settings.listen == settings.admin_listen && settings.listen.port() != 0 {
        return Err(SettingsError::SameAddress(settings.listen));
    }
    match &settings.address {
        None if settings.listen.ip().is_unspecified() => return Err(SettingsError::NoAddress(settings.listen)),
        Some(address) if address.is_unspecified() => return Err(SettingsError::Unspecified(address.clone())),
        _ => {}
    }
    let is_here = settings.listen.ip().to_canonical().is_loopback();
    if settings.identity.is_none() && !is_here && !flags.insecure {
        return Err(SettingsError::NoTls(settings.listen));
    }
    Ok(settings)
}

impl fmt::Display for Settings {
    /// What `--check-config` answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The configuration is valid.\n")?;
        writeln!(f, "  node_id       {}", self.node_id)?;
        writeln!(f, "  data_dir      {}", self.data_dir.display())?;
        writeln!(f, "  listen        {}", self.listen)?;
        writeln!(f, "  address       {}", self.address.clone().unwrap_or_else(|| self.listen.into()))?;
        writeln!(f, "  admin_listen  {}", self.admin_listen)?;
        writeln!(f, "  tls           {}", if self.identity.is_some() { "mutual" } else { "none" })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn resolved(flags: Flags) -> Result<Settings, SettingsError> {
        resolve(flags, &|_| None)
    }

    fn numbered() -> Flags {
        Flags { node_id: Some(1), ..Flags::default() }
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let settings = resolved(numbered()).unwrap();
        assert_eq!(
            (settings.listen.to_string(), settings.data_dir.as_path()),
            (LISTEN.to_owned(), Path::new(DATA_DIR))
        );

        let directory = tempfile::tempdir().unwrap();
        let config = Some(directory.path().join("node.toml"));
        let text = "node_id = 7\ndata_dir = 'file'\nlisten = '127.0.0.1:1'\naddress = 'node-g.example:7000'";
        std::fs::write(config.as_ref().unwrap(), text).unwrap();
        let listen: SocketAddr = "127.0.0.1:2".parse().unwrap();
        let settings = resolved(Flags { config: config.clone(), listen: Some(listen), ..Flags::default() }).unwrap();
        assert_eq!((settings.node_id, settings.listen, settings.data_dir.as_path()), (7, listen, Path::new("file")));
        assert!(settings.to_string().contains("address       node-g.example:7000\n"), "{settings}");
        std::fs::write(config.as_ref().unwrap(), "nodeid = 7").unwrap();
        let error = resolved(Flags { config, ..Flags::default() }).unwrap_err().to_string();
        assert!(error.contains("line 1: unknown field `nodeid`"), "{error}");
    }

    #[test]
    fn the_example_shows_every_key_and_is_the_defaults() {
        const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/config/node.toml");
        let example = resolved(Flags { config: Some(EXAMPLE.into()), ..Flags::default() }).unwrap();
        assert_eq!(example.to_string(), resolved(numbered()).unwrap().to_string());

        let text = std::fs::read_to_string(EXAMPLE).unwrap();
        let lines = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.starts_with('[') || rest.contains(" = ") => rest,
            _ => line,
        });
        let shown: Vec<&str> = lines.collect();
        let shown: File = toml::from_str(&shown.join("\n")).unwrap();
        let File {
            node_id: Some(_),
            data_dir: Some(_),
            listen: Some(_),
            address: Some(_),
            admin_listen: Some(_),
            log_format: Some(_),
            tls: Some(FileTls { ca: Some(_), cert: Some(_), key: Some(_) }),
        } = shown
        else {
            panic!("a key is missing in the example: {shown:?}");
        };
    }

    #[test]
    fn what_cannot_be_is_a_sentence() {
        let listen = |text: &str| Some(text.parse().unwrap());
        let address = |text: &str| Some(text.parse().unwrap());
        for (flags, part) in [
            (Flags::default(), "has no number"),
            (Flags { node_id: Some(0), ..Flags::default() }, "has no number"),
            (Flags { data_dir: Some(PathBuf::new()), ..numbered() }, "--data-dir is empty"),
            (Flags { admin_listen: listen(LISTEN), ..numbered() }, "--listen and --admin-listen are both"),
            (Flags { listen: listen("0.0.0.0:7000"), ..numbered() }, "say by --address HOST:PORT"),
            (Flags { address: address("[::]:7000"), ..numbered() }, "none that other nodes could call"),
            (Flags { listen: listen("10.0.0.1:7000"), ..numbered() }, "is no loopback address, and there is no TLS"),
        ] {
            let told = resolved(flags).unwrap_err().to_string();
            assert!(told.contains(part), "{told}");
        }
        assert!(resolved(Flags { listen: listen("10.0.0.1:7000"), insecure: true, ..numbered() }).is_ok());
    }
}
