//! `roadstead tls`: the authority of a cluster, and the certificates it signs.
//!
//! | file | what it holds |
//! |---|---|
//! | `flags.rs` | what was typed |
//! | `authority.rs` | makes an authority, and certificates by it; no file is touched |
//! | `files.rs` | where they lie: written once, never over another one |

mod authority;
mod files;
mod flags;

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roadstead_proto::rpc::Role;

use crate::settings::tls::verify;
use crate::written::{Span, shell_word};
use authority::{Authority, AuthorityError, Subject, Validity};
use files::{Files, FilesError};
use flags::{Command, Init, Issue};
pub(crate) use flags::{Flags, LONG_ABOUT};

/// Shorter than this nothing would have been started with it.
const VALID_MIN: Duration = Duration::from_secs(3600);
/// A hundred years.
const VALID_MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// What is to be made.
#[derive(Debug)]
pub(crate) enum Plan {
    /// An authority.
    Init { files: Files, valid: Duration },
    /// A certificate.
    Issue { files: Files, role: Role, name: String, valid: Duration },
}

/// Why nothing is made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// Too short or too long.
    #[error("--valid is {0}; {min} to {max} are possible", min = Span(VALID_MIN), max = Span(VALID_MAX))]
    Valid(Span),
    /// A name that is no file's name.
    #[error(
        "--name `{0}` cannot be used; take 1 to 64 letters, digits, `-`, `_` and `.`, a letter or digit first, and not `ca`"
    )]
    Name(String),
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The files.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The certificates.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The certificate of the authority is not the one of its key, or is over.
    #[error(
        "the certificate that {} signs is of no use to whoever believes {}: {reason}; the two files belong to different \
         authorities, or the authority is no longer valid",
        files.authority_key().display(), files.authority().display()
    )]
    Useless { files: Files, reason: String },
}

/// Decides what is to be made.
pub(crate) fn plan(flags: Flags) -> Result<Plan, PlanError> {
    match flags.command {
        Command::Init(Init { dir, valid }) => Ok(Plan::Init { files: Files::new(dir), valid: checked(valid)? }),
        Command::Issue(Issue { role, name, dir, valid }) => {
            let name = name.unwrap_or_else(|| role.name().to_owned());
            if !is_name(&name) {
                return Err(PlanError::Name(name));
            }
            Ok(Plan::Issue { files: Files::new(dir), role, name, valid: checked(valid)? })
        }
    }
}

fn checked(valid: Span) -> Result<Duration, PlanError> {
    if (VALID_MIN..=VALID_MAX).contains(&valid.0) { Ok(valid.0) } else { Err(PlanError::Valid(valid)) }
}

/// Whether a name can be a file's, beside those of the authority.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name != "ca"
}

/// Makes it, and says what was written and what to do next.
pub(crate) fn run(plan: Plan) -> Result<(), TlsError> {
    let said = match plan {
        Plan::Init { files, valid } => init(files, valid)?,
        Plan::Issue { files, role, name, valid } => issue(files, role, name, valid)?,
    };
    // Nobody may be reading, which is no failure.
    let _ = write!(std::io::stdout(), "{said}");
    Ok(())
}

fn init(files: Files, valid: Duration) -> Result<Said, TlsError> {
    files.refuse_authority()?;
    let authority = Authority::new()?;
    files.write_authority(&authority.certificate(from_now(valid))?, &authority.key())?;
    Ok(Said::Init(files))
}

fn issue(files: Files, role: Role, name: String, valid: Duration) -> Result<Said, TlsError> {
    files.refuse_issued(&name)?;
    let (certificate, key) = files.read_authority()?;
    let subject = Subject { role, name: name.clone(), validity: from_now(valid) };
    let issued = Authority::from_key(&key)?.issue(&subject)?;
    // Before anything is written: whoever believes this authority has to believe this certificate.
    if let Err(reason) = verify(&certificate, &issued.certificate, role) {
        return Err(TlsError::Useless { files, reason });
    }
    files.write_issued(&name, &issued.certificate, &issued.key)?;
    Ok(Said::Issue { files, role, name })
}

fn from_now(valid: Duration) -> Validity {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Validity { from: now, valid }
}

/// What there is to say at the end.
enum Said {
    Init(Files),
    Issue { files: Files, role: Role, name: String },
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(files) => {
                writeln!(f, "Made an authority:\n")?;
                writeln!(
                    f,
                    "  {}  what everybody believes; copy it to every node, gateway and administrator",
                    files.authority().display()
                )?;
                writeln!(
                    f,
                    "  {}  signs certificates; keep it where nobody else can read it",
                    files.authority_key().display()
                )?;
                writeln!(f, "\nNext, a certificate for each node and gateway, and one for yourself:\n")?;
                for (role, name) in [(Role::Node, "node-1"), (Role::Gateway, "gateway-1"), (Role::Admin, "admin")] {
                    writeln!(
                        f,
                        "  roadstead tls issue --dir {} --role {role} --name {name}",
                        shell_word(files.path())
                    )?;
                }
                Ok(())
            }
            Self::Issue { files, role, name } => {
                let (certificate, key) = (files.certificate(name), files.key(name));
                writeln!(f, "Issued a certificate of the role {role}:\n")?;
                writeln!(f, "  {}", certificate.display())?;
                writeln!(f, "  {}  its private key", key.display())?;
                writeln!(
                    f,
                    "\nNext, start it with them, and with the authority's certificate (never with the authority's key):\n"
                )?;
                let (ca, certificate, key) =
                    (shell_word(&files.authority()), shell_word(&certificate), shell_word(&key));
                match role {
                    Role::Admin => {
                        writeln!(
                            f,
                            "  export ROADSTEAD_TLS_CA={ca} ROADSTEAD_TLS_CERT={certificate} ROADSTEAD_TLS_KEY={key}"
                        )?;
                        writeln!(f, "  roadstead cluster status --node HOST:PORT")
                    }
                    role => {
                        writeln!(f, "  roadstead {role} --tls-ca {ca} --tls-cert {certificate} --tls-key {key} ...")
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A name never leads out of its folder, hides, or takes the authority's place.
        #[test]
        fn a_name_is_the_name_of_one_file(name in "[a-zA-Z0-9._/-]{0,8}|ca|\\PC{0,70}") {
            if is_name(&name) {
                let files = Files::new("folder".into());
                for path in [files.certificate(&name), files.key(&name)] {
                    prop_assert_eq!(path.parent(), Some(files.path()));
                    prop_assert!(path != files.authority() && path != files.authority_key());
                    let file = path.file_name().unwrap().to_str().unwrap();
                    prop_assert!(file.starts_with(&*name) && !file.starts_with('.'), "{}", file);
                }
            }
        }
    }

    #[test]
    fn names_of_hosts_are_names() {
        for name in ["node", "node-1", "gw.eu-central-1", "A", "1"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "ca", ".hidden", "-x", "a/b", "..", "a b", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
