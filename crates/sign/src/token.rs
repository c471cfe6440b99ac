//! A shared secret, with which processes know one another.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the token is not one: it is at least {least} printable characters without a space")]
pub struct TokenError {
    /// How many.
    pub least: usize,
}

/// A secret that processes which work for one another share.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    const LEAST: usize = 16;

    /// Its text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands in a request's `authorization`.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether that is what stands in a request's `authorization`. It takes the same time whatever
    /// stands there: digests are compared, all bytes of them.
    pub fn admits(&self, authorization: &[u8]) -> bool {
        blake3::hash(authorization) == blake3::hash(self.bearer().as_bytes())
    }
}

/// Not the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        match text.len() >= Self::LEAST && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenError { least: Self::LEAST }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_admits() {
        let token: Token = "0123456789abcdef\n".parse().unwrap();
        assert!(token.admits(b"Bearer 0123456789abcdef"));
        for other in
            [&b"Bearer 0123456789abcdee"[..], b"0123456789abcdef", b"Bearer ", b"", b"Bearer 0123456789abcdef\n"]
        {
            assert!(!token.admits(other));
        }
        assert_eq!(format!("{token:?}"), "Token");
        for bad in ["", "short", "0123456789abcdé", "0123456789 abcdef"] {
            assert!(bad.parse::<Token>().is_err());
        }
    }
}
