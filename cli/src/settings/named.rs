//! Upstreams as an operator names them: on the command line, in the file, or not at all.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use roadstead_proto::domain::limits;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::upstream::{OnError, OnNotFound, UpstreamUrl, UpstreamUrlError};

use super::file::{self, FileUpstream};

/// The upstreams of a registry that nobody configured, first asked first.
const DEFAULTS: [(&str, &str); 3] =
    [("docker-hub", "https://registry-1.docker.io"), ("mcr", "https://mcr.microsoft.com"), ("quay", "https://quay.io")];

/// An upstream as an operator names it: what the metadata keeps of it, with the password still readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedUpstream {
    /// How people call it.
    pub(crate) name: String,
    /// Its address.
    pub(crate) url: UpstreamUrl,
    /// How it is signed in to.
    pub(crate) sign_in: Option<SignIn>,
    /// How long its tags are fresh; zero is for ever.
    pub(crate) validity: Duration,
    /// How long after that they are served while it fails.
    pub(crate) stale_if_error: Duration,
    /// What its 404 means for a tag we hold.
    pub(crate) on_not_found: OnNotFound,
    /// What its faults mean for the walk down the list.
    pub(crate) on_error: OnError,
}

/// User name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignIn {
    /// As whom.
    pub(crate) username: String,
    /// With what.
    pub(crate) password: Secret,
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamedError {
    /// A flag of another form. The text is not repeated: a URL may carry a password.
    #[error("--upstream number {0} is not NAME=URL; write it as quay=https://quay.io")]
    Form(usize),
    /// A name nobody could read.
    #[error("upstream number {0} has no usable name; give it 1 to {max} characters without line breaks", max = limits::NAME_MAX)]
    Name(usize),
    /// The same name again.
    #[error("two upstreams are called `{0}`; give each a name of its own")]
    Twice(String),
    /// More than a registry may have.
    #[error("{0} upstreams are named, and a registry has at most {max}; leave some out", max = limits::UPSTREAMS_PER_REGISTRY)]
    Many(usize),
    /// Not an address.
    #[error(
        "the url of upstream `{name}` cannot be used: {source}; write it as https://host or https://host:port/path"
    )]
    Url {
        /// Which upstream.
        name: String,
        /// Why.
        source: UpstreamUrlError,
    },
    /// Credentials inside the address.
    #[error(
        "the url of upstream `{0}` must not contain credentials, a query or a fragment; \
         put the user name into `username` and name the password by `password_file` or `password_env` in the \
         configuration file"
    )]
    UrlExtra(String),
    /// A password in the file itself.
    #[error(
        "upstream `{0}` has its password in the configuration file; keep it in a file or an environment variable and \
         name that by `password_file` or `password_env`"
    )]
    PasswordInFile(String),
    /// Half of what is needed to sign in.
    #[error("upstream `{0}` has a user name but no password; add `password_file` or `password_env`")]
    NoPassword(String),
    /// The other half.
    #[error("upstream `{0}` has a password but no user name; add `username`")]
    NoUsername(String),
    /// Two passwords.
    #[error("upstream `{0}` has both `password_file` and `password_env`; leave one out")]
    TwoPasswords(String),
    /// The file with the password.
    #[error("cannot read the password of upstream `{name}` from {}", path.display())]
    PasswordFile {
        /// Which upstream.
        name: String,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The variable with the password.
    #[error("the password of upstream `{name}` is expected in the environment variable {variable}, which is not set")]
    PasswordVariable {
        /// Which upstream.
        name: String,
        /// Which variable.
        variable: String,
    },
    /// A user name or password of an impossible length.
    #[error("{what} of upstream `{name}` has {length} bytes; 1 to {max} are possible", max = limits::CREDENTIAL_MAX)]
    Length {
        /// Which upstream.
        name: String,
        /// User name or password.
        what: &'static str,
        /// Its length.
        length: usize,
    },
    /// A password with a line break, or of bytes that are no text.
    #[error("the password of upstream `{0}` is not one line of text; check the file or variable that holds it")]
    NotOneLine(String),
}

/// How long tags are fresh where an upstream does not say it, and where environment variables come from.
pub(crate) struct Defaults<'a> {
    /// `--cache-validity`.
    pub(crate) validity: Duration,
    /// The environment.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
}

/// The upstreams in force: those of the flags, else those of the file, else none that anybody named.
pub(crate) fn choose(
    flags: &[String],
    file: &[FileUpstream],
    defaults: &Defaults<'_>,
) -> Result<Option<Vec<NamedUpstream>>, NamedError> {
    let upstreams = if flags.is_empty() {
        (1..).zip(file).map(|(number, upstream)| of_file(number, upstream, defaults)).collect::<Result<Vec<_>, _>>()?
    } else {
        (1..).zip(flags).map(|(number, text)| of_flag(number, text, defaults)).collect::<Result<_, _>>()?
    };
    if upstreams.len() > limits::UPSTREAMS_PER_REGISTRY {
        return Err(NamedError::Many(upstreams.len()));
    }
    for (position, upstream) in upstreams.iter().enumerate() {
        if upstreams[..position].iter().any(|other| other.name == upstream.name) {
            return Err(NamedError::Twice(upstream.name.clone()));
        }
    }
    Ok(Some(upstreams).filter(|upstreams| !upstreams.is_empty()))
}

/// What a registry has that nobody configured.
pub(crate) fn built_in(validity: Duration) -> Vec<NamedUpstream> {
    DEFAULTS
        .into_iter()
        .map(|(name, url)| anonymous(name, url.parse().expect("the defaults are addresses"), validity))
        .collect()
}

fn anonymous(name: &str, url: UpstreamUrl, validity: Duration) -> NamedUpstream {
    NamedUpstream {
        name: name.to_owned(),
        url,
        sign_in: None,
        validity,
        stale_if_error: limits::STALE_IF_ERROR_DEFAULT,
        on_not_found: OnNotFound::default(),
        on_error: OnError::default(),
    }
}

fn of_flag(number: usize, text: &str, defaults: &Defaults<'_>) -> Result<NamedUpstream, NamedError> {
    let (name, url) = text.split_once('=').ok_or(NamedError::Form(number))?;
    // `https://host/?a=b`: the name was forgotten.
    if name.contains("://") {
        return Err(NamedError::Form(number));
    }
    let name = checked_name(number, name)?;
    Ok(anonymous(name, checked_url(name, url)?, defaults.validity))
}

fn of_file(number: usize, upstream: &FileUpstream, defaults: &Defaults<'_>) -> Result<NamedUpstream, NamedError> {
    let name = checked_name(number, &upstream.name)?;
    let url = checked_url(name, &upstream.url)?;
    Ok(NamedUpstream {
        sign_in: sign_in(name, upstream, defaults.variable)?,
        validity: upstream.validity.map_or(defaults.validity, |span| span.0),
        stale_if_error: upstream.stale_if_error.map_or(limits::STALE_IF_ERROR_DEFAULT, |span| span.0),
        on_not_found: match upstream.on_not_found {
            None => OnNotFound::default(),
            Some(file::OnNotFound::Stale) => OnNotFound::Stale,
            Some(file::OnNotFound::Gone) => OnNotFound::Gone,
        },
        on_error: match upstream.on_error {
            None => OnError::default(),
            Some(file::OnError::Stop) => OnError::Stop,
            Some(file::OnError::Next) => OnError::Next,
        },
        ..anonymous(name, url, defaults.validity)
    })
}

fn checked_name(number: usize, name: &str) -> Result<&str, NamedError> {
    let name = name.trim();
    let usable = (1..=limits::NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    usable.then_some(name).ok_or(NamedError::Name(number))
}

fn checked_url(name: &str, url: &str) -> Result<UpstreamUrl, NamedError> {
    url.parse().map_err(|source| match source {
        UpstreamUrlError::Extra => NamedError::UrlExtra(name.to_owned()),
        source => NamedError::Url { name: name.to_owned(), source },
    })
}

fn sign_in(
    name: &str,
    upstream: &FileUpstream,
    variable: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<SignIn>, NamedError> {
    let owned = || name.to_owned();
    if upstream.password.is_some() {
        return Err(NamedError::PasswordInFile(owned()));
    }
    let bytes = match (&upstream.password_file, &upstream.password_env) {
        (Some(_), Some(_)) => return Err(NamedError::TwoPasswords(owned())),
        (Some(path), None) => Some(of_password_file(name, path)?),
        (None, Some(text)) => Some(
            variable(text)
                .ok_or_else(|| NamedError::PasswordVariable { name: owned(), variable: text.clone() })?
                .into_encoded_bytes(),
        ),
        (None, None) => None,
    };
    let (username, bytes) = match (&upstream.username, bytes) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(NamedError::NoPassword(owned())),
        (None, Some(_)) => return Err(NamedError::NoUsername(owned())),
        (Some(username), Some(bytes)) => (username, bytes),
    };
    let text = String::from_utf8(bytes).map_err(|_| NamedError::NotOneLine(owned()))?;
    // Editors and `echo` end a file with a line break.
    let password = Secret::new(text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line)));
    if password.expose().chars().any(char::is_control) {
        return Err(NamedError::NotOneLine(owned()));
    }
    for (what, length) in [("the user name", username.len()), ("the password", password.expose().len())] {
        if !(1..=limits::CREDENTIAL_MAX).contains(&length) {
            return Err(NamedError::Length { name: owned(), what, length });
        }
    }
    Ok(Some(SignIn { username: username.clone(), password }))
}

fn of_password_file(name: &str, path: &Path) -> Result<Vec<u8>, NamedError> {
    std::fs::read(path).map_err(|source| NamedError::PasswordFile {
        name: name.to_owned(),
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[path = "named_tests.rs"]
mod tests;
