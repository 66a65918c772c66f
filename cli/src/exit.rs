//! How the process ends: exit codes and the last words.

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// Something went wrong while it ran.
pub(crate) const FAILURE: u8 = 1;
/// The command line or the configuration is wrong (`EX_USAGE` of sysexits.h): starting again changes nothing.
pub(crate) const USAGE: u8 = 64;

/// After `--help`, `--version`, or a command line that cannot be understood.
pub(crate) fn after_parsing(answer: &clap::Error) -> ExitCode {
    // Printing fails only where nobody reads.
    let _ = answer.print();
    if answer.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// After the answer to a question.
pub(crate) fn said(answer: &impl Display) -> ExitCode {
    let _ = write!(std::io::stdout(), "{answer}");
    ExitCode::SUCCESS
}

/// After a failure: the error and what caused it, on one line.
pub(crate) fn failed(code: u8, error: &(dyn Error + 'static)) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "roadstead: {}", sentence(error));
    ExitCode::from(code)
}

/// An error and its causes. A cause that an outer message has told already is not told again.
pub(crate) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn causes_are_told_once() {
        let error = |text| Outer { text, source: std::io::Error::other("disk on fire") };
        assert_eq!(sentence(&error("cannot write")), "cannot write: disk on fire");
        assert_eq!(sentence(&error("cannot write, disk on fire")), "cannot write, disk on fire");
    }
}
