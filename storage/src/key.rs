//! Names in the store. The only file that spells a path.
//!
//! ```text
//! sha256/<hex>.<token>        the bytes
//! sha256/<hex>.<token>.crc    their checksums, if they are more than one chunk
//! roadstead-store             the marker: says that this is our store, and its layout's version
//! roadstead-probe             overwritten by every probe
//! roadstead-trials/<hex>/<n>  buckets only: what a start tries out, and removes
//! .roadstead-lock             local directories only: who uses the directory
//! ```

use object_store::path::Path;
use roadstead_proto::domain::digest::{Algorithm, Digest, decode_hex};
use roadstead_proto::domain::entry::ObjectKey;
use roadstead_proto::domain::lease::FencingToken;

use crate::blob::Part;

/// The marker's name.
pub(crate) const MARKER: &str = "roadstead-store";
/// The name every probe writes to.
pub(crate) const PROBE: &str = "roadstead-probe";
/// The folder of one start's trials.
pub(crate) fn trials_folder(nonce: u64) -> Path {
    Path::from(format!("roadstead-trials/{nonce:016x}"))
}
/// The lock file of a local directory. Held by `flock`: a lock file that merely exists says nothing.
pub(crate) const LOCK: &str = ".roadstead-lock";
/// Both algorithms, for whoever walks the folders.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

const CHECKSUMS_SUFFIX: &str = ".crc";

/// Where the object's bytes are.
pub(crate) fn object_path(key: &ObjectKey) -> Path {
    Path::from(format!("{}/{}", folder(key.digest.algorithm()), file_name(key)))
}

/// Where the object's checksums are.
pub(crate) fn checksums_path(key: &ObjectKey) -> Path {
    Path::from(format!("{}/{}{CHECKSUMS_SUFFIX}", folder(key.digest.algorithm()), file_name(key)))
}

/// The folder of an algorithm.
pub(crate) fn folder(algorithm: Algorithm) -> &'static str {
    algorithm.name()
}

/// What the file names of all objects of `digest` begin with.
pub(crate) fn file_prefix(digest: &Digest) -> String {
    format!("{}.", digest.hex())
}

fn file_name(key: &ObjectKey) -> String {
    format!("{}{}", file_prefix(&key.digest), key.token)
}

/// What a path names; `None` for everything this crate did not write.
pub(crate) fn parse(path: &Path) -> Option<(ObjectKey, Part)> {
    let (folder_name, file) = path.as_ref().split_once('/')?;
    let algorithm = ALGORITHMS.into_iter().find(|algorithm| folder(*algorithm) == folder_name)?;
    parse_file(algorithm, file)
}

/// The same for a file name within an algorithm's folder.
pub(crate) fn parse_file(algorithm: Algorithm, file: &str) -> Option<(ObjectKey, Part)> {
    let (name, part) = match checksums_of(file) {
        Some(name) => (name, Part::Checksums),
        None => (file, Part::Object),
    };
    let (hex, token) = name.split_once('.')?;
    let digest = Digest::from_hash(algorithm, &decode_hex(hex)?)?;
    let number: u64 = token.parse().ok()?;
    // One key has one spelling: `+1` and `01` parse as numbers and are nobody's token.
    (number.to_string() == token).then_some((ObjectKey { digest, token: FencingToken(number) }, part))
}

/// `<name>.crc`: whose checksums these are.
pub(crate) fn checksums_of(file: &str) -> Option<&str> {
    file.strip_suffix(CHECKSUMS_SUFFIX)
}

/// `<name>#<digits>`: how the local backend names a file that is not committed yet.
pub(crate) fn staged_for(file: &str) -> Option<&str> {
    let (name, number) = file.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use proptest::prelude::*;

    fn key(seed: &[u8], algorithm: Algorithm, token: u64) -> ObjectKey {
        ObjectKey { digest: Digest::of(algorithm, seed), token: FencingToken(token) }
    }

    #[test]
    fn spelled_as_designed() {
        let key = key(b"", Algorithm::Sha256, 42);
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(object_path(&key).as_ref(), format!("sha256/{hex}.42"));
        assert_eq!(checksums_path(&key).as_ref(), format!("sha256/{hex}.42.crc"));
    }

    #[test]
    fn refuses_what_we_never_write() {
        let hex = Digest::sha256(b"").hex();
        for name in [
            MARKER.to_owned(),
            PROBE.to_owned(),
            format!("sha256/{hex}"),
            format!("sha256/{hex}."),
            format!("sha256/{hex}.01"),
            format!("sha256/{hex}.+1"),
            format!("sha256/{hex}.-1"),
            format!("sha256/{hex}.1.crc.crc"),
            format!("sha256/{hex}.1.txt"),
            format!("sha256/{hex}.18446744073709551616"),
            format!("sha256/{}.1", hex.to_uppercase()),
            format!("sha512/{hex}.1"),
            format!("sha256/sub/{hex}.1"),
            format!("md5/{hex}.1"),
        ] {
            assert_eq!(parse(&Path::from(name.clone())), None, "{name}");
        }
    }

    #[test]
    fn staging_names() {
        assert_eq!(staged_for("abc.1#1"), Some("abc.1"));
        assert_eq!(staged_for("abc.1#17"), Some("abc.1"));
        for name in ["abc.1", "abc.1#", "abc.1#x", "abc#1.1"] {
            assert_eq!(staged_for(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn parses_what_it_spells(seed: Vec<u8>, long: bool, token: u64) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let key = key(&seed, algorithm, token);
            prop_assert_eq!(parse(&object_path(&key)), Some((key, Part::Object)));
            prop_assert_eq!(parse(&checksums_path(&key)), Some((key, Part::Checksums)));
            let path = object_path(&key);
            let file = path.filename().unwrap();
            prop_assert!(file.starts_with(&file_prefix(&key.digest)));
            prop_assert_eq!(parse_file(algorithm, file), Some((key, Part::Object)));
        }

        /// A name with something done to it is another object's, or nobody's; never the same one's.
        #[test]
        fn a_changed_name_is_not_the_same_object(
            token: u64,
            at: prop::sample::Index,
            put in "[0-9a-fA-F.+/#x]{0,2}|/\\.\\./",
            cut in 0_usize..2,
            checksums: bool,
        ) {
            let key = key(b"x", Algorithm::Sha256, token);
            let name = if checksums { checksums_path(&key) } else { object_path(&key) }.to_string();
            let at = at.index(name.len());
            let changed = format!("{}{put}{}", &name[..at], &name[at + cut..]);
            if changed == name {
                return Ok(());
            }
            // The store's paths mend some names of their own: what they mend is not in question here.
            let Ok(path) = Path::parse(&changed) else { return Ok(()) };
            if let Some((found, part)) = parse(&path) {
                let spelled = if part == Part::Object { object_path(&found) } else { checksums_path(&found) };
                prop_assert_eq!(spelled.as_ref(), path.as_ref());
                prop_assert!(path.as_ref() == name || found != key || (part == Part::Checksums) != checksums, "{}", changed);
            }
        }

        #[test]
        fn never_panics_and_is_injective(name in "[a-z0-9.+#/-]{0,90}") {
            let path = Path::from(name);
            if let Some((key, part)) = parse(&path) {
                let spelled = if part == Part::Object { object_path(&key) } else { checksums_path(&key) };
                prop_assert_eq!(spelled, path);
            }
        }
    }
}
