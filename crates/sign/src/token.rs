//! A shared secret by which processes authenticate each other.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is not a token: a token has {least} to {most} printable ASCII characters and no spaces")]
pub struct TokenError {
    /// Minimum length.
    pub least: usize,
    /// Maximum length.
    pub most: usize,
}

/// A secret that processes working together share.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    const LEAST: usize = 16;
    const MOST: usize = 1024;

    /// Its text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Does not show the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        match (Self::LEAST..=Self::MOST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenError { least: Self::LEAST, most: Self::MOST }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_token_and_that_it_is_not_shown() {
        let token: Token = "0123456789abcdef\n".parse().unwrap();
        assert_eq!(token.expose(), "0123456789abcdef");
        assert_eq!(format!("{token:?}"), "Token");
        let long = "x".repeat(1025);
        for bad in ["", "short", "0123456789abcdé", "0123456789 abcdef", &long] {
            assert!(bad.parse::<Token>().is_err());
        }
    }
}
