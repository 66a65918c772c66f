//! Words of a command that can be pasted.

use std::path::Path;

/// A path as a shell takes it for one word.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted() {
        assert_eq!(shell_word(Path::new("/srv/roadstead-data")), "/srv/roadstead-data");
        assert_eq!(shell_word(Path::new("/my data/it's")), r"'/my data/it'\''s'");
    }
}
