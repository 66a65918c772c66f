//! The opaque id of an entry in the management API: its key, as base64url. Nothing has to be kept to find the entry again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::table;
use crate::domain::entry::EntryRef;

/// The id of an entry.
pub fn entry_id(entry: &EntryRef) -> String {
    URL_SAFE_NO_PAD.encode(table::entry_key(entry))
}

/// The entry of an id; `None` where it is no id of ours. Whether the entry exists is another question.
pub fn entry_of_id(id: &str) -> Option<EntryRef> {
    table::entry_of_key(&URL_SAFE_NO_PAD.decode(id).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::digest::{Algorithm, Digest};
    use crate::domain::image::Reference;
    use crate::domain::registry::UpstreamId;

    fn reference() -> impl Strategy<Value = Reference> {
        prop_oneof![
            "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,10}".prop_map(|tag| Reference::Tag(tag.parse().unwrap())),
            any::<[u8; 32]>().prop_map(|hash| Reference::Digest(Digest::Sha256(hash))),
            any::<[u8; 32]>().prop_map(|hash| {
                let hash = [hash, hash].concat();
                Reference::Digest(Digest::from_hash(Algorithm::Sha512, &hash).unwrap())
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_id_is_that_of_one_entry(
            upstream in any::<u64>(),
            name in "[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}",
            reference in reference(),
            (at, byte) in (any::<prop::sample::Index>(), any::<u8>()),
        ) {
            let entry = EntryRef { upstream: UpstreamId(upstream), repository: name.parse().unwrap(), reference };
            let id = entry_id(&entry);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(entry_of_id(&id), Some(entry));
            // Another text is another entry or none.
            let mut other = id.clone().into_bytes();
            let at = at.index(other.len());
            other[at] = byte;
            if let Some(found) = String::from_utf8(other).ok().and_then(|other| {
                entry_of_id(&other).map(|found| (other, found))
            }) {
                prop_assert_eq!(entry_id(&found.1), found.0);
            }
            for cut in [1, id.len() / 2] {
                prop_assert_eq!(entry_of_id(&id[..id.len() - cut]).map(|found| entry_id(&found)).filter(|found| *found == id), None);
            }
            prop_assert_eq!(entry_of_id(&format!("{id}AAAA")), None);
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        for text in ["", "AAAA", "!", "latest", "AAAAAAAAAAE=", "../../etc"] {
            assert_eq!(entry_of_id(text), None, "{text}");
        }
    }
}
