//! The digest of bytes that stream by.

use sha2::{Digest as _, Sha256, Sha512};

use super::PullError;

/// Hashes as the expected digest says.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
    /// Checking is switched off.
    Off,
}

impl Check {
    pub(super) fn of(digest: &str, verify: bool) -> Result<Self, PullError> {
        match digest.split_once(':') {
            _ if !verify => Ok(Check::Off),
            Some(("sha256", _)) => Ok(Check::Sha256(Sha256::new())),
            Some(("sha512", _)) => Ok(Check::Sha512(Box::default())),
            _ => Err(PullError::UnknownDigest(digest.to_owned())),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Check::Sha256(hash) => hash.update(bytes),
            Check::Sha512(hash) => hash.update(bytes),
            Check::Off => {}
        }
    }

    /// The digest of what came, unless it is the expected one or nobody wants to know.
    pub(super) fn wrong(self, expected: &str) -> Option<String> {
        let actual = match self {
            Check::Sha256(hash) => render("sha256", &hash.finalize()),
            Check::Sha512(hash) => render("sha512", &hash.finalize()),
            Check::Off => return None,
        };
        (actual != expected).then_some(actual)
    }
}

fn render(algorithm: &str, hash: &[u8]) -> String {
    let mut text = format!("{algorithm}:");
    text.extend(hash.iter().map(|byte| format!("{byte:02x}")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest_of;

    #[test]
    fn right_bytes_pass_and_others_are_named() {
        let expected = digest_of(b"hello");
        let checked = |bytes: &[u8]| {
            let mut check = Check::of(&expected, true).unwrap();
            bytes.chunks(2).for_each(|piece| check.update(piece));
            check.wrong(&expected)
        };
        assert_eq!(checked(b"hello"), None);
        assert_eq!(checked(b"hellO"), Some(digest_of(b"hellO")));
    }

    #[test]
    fn digests_may_be_longer() {
        let mut check = Check::of("sha512:", true).unwrap();
        check.update(b"");
        assert!(check.wrong("sha512:").unwrap().starts_with("sha512:cf83e1357eefb8bd"));
        assert!(matches!(Check::of("md5:00", true), Err(PullError::UnknownDigest(_))));
    }
}
