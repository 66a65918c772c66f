//! What people call things: names and descriptions of the management contract.

use std::str::FromStr;

use super::limits;

/// A display name: not blank, at most [`limits::NAME_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

/// A free text: at most [`limits::DESCRIPTION_MAX`] characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Description(String);

/// Why a text is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but white space.
    #[error("can't be blank")]
    Blank,
    /// Longer than allowed.
    #[error("is too long (maximum is {0} characters)")]
    Long(usize),
}

/// The contract counts characters, as a database does, and not bytes.
fn within(text: &str, most: usize) -> Result<(), TextError> {
    if text.chars().nth(most).is_some() { Err(TextError::Long(most)) } else { Ok(()) }
}

impl DisplayName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text.trim().is_empty() {
            return Err(TextError::Blank);
        }
        within(text, limits::NAME_MAX)?;
        Ok(Self(text.to_owned()))
    }
}

impl Description {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Description {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        within(text, limits::DESCRIPTION_MAX)?;
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_something_and_is_not_long() {
        for name in ["a", "Docker Hub", "ä".repeat(255).as_str()] {
            assert!(name.parse::<DisplayName>().is_ok(), "{name}");
        }
        assert_eq!("".parse::<DisplayName>(), Err(TextError::Blank));
        assert_eq!(" \t\n".parse::<DisplayName>(), Err(TextError::Blank));
        assert_eq!("ä".repeat(256).parse::<DisplayName>(), Err(TextError::Long(255)));
    }

    #[test]
    fn a_description_may_be_empty_and_is_not_long() {
        assert!("".parse::<Description>().is_ok());
        assert!("x".repeat(1024).parse::<Description>().is_ok());
        assert_eq!("x".repeat(1025).parse::<Description>(), Err(TextError::Long(1024)));
    }
}
