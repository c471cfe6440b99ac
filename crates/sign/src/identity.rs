//! The identity of a signer, by the key or by a certificate.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

use crate::PublicKey;

/// A text that is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is not the name of a signer: {what}")]
pub struct IdentityError {
    /// What is wrong with it.
    pub what: &'static str,
}

/// One of a signer's names, compared completely and case-sensitively.
///
/// The kind of a name follows from the form of its text, and no text has two kinds. So if an authority allows someone
/// to write a URI that looks like another's subject or key, that certificate is not accepted for the other identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// `sha256:` and the SHA-256 of the key's PEM text ([`PublicKey::hint`]).
    Key(String),
    /// The certificate's subject in the form of RFC 4514: `CN=alice,O=Example`.
    Subject(String),
    /// A URI among the certificate's alternative names (RFC 5280, 4.2.1.6): it has a scheme.
    Uri(String),
    /// A mail address among them: it has an `@`.
    Email(String),
    /// A DNS name among them.
    Dns(String),
}

impl Identity {
    /// The identity of a key.
    ///
    /// # Errors
    /// As [`PublicKey::hint`].
    pub fn of(key: &PublicKey) -> Result<Self, crate::KeyError> {
        key.hint().map(|hint| Self::Key(format!("sha256:{hint}")))
    }

    /// `key`, `subject`, `uri`, `email` or `dns`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Subject(_) => "subject",
            Self::Uri(_) => "uri",
            Self::Email(_) => "email",
            Self::Dns(_) => "dns",
        }
    }

    /// Whether parsing its text gives the same identity: a certificate can contain anything as a DNS name.
    pub(crate) fn is_plain(&self) -> bool {
        self.text().parse().as_ref() == Ok(self)
    }

    fn text(&self) -> &str {
        let (Self::Key(text) | Self::Subject(text) | Self::Uri(text) | Self::Email(text) | Self::Dns(text)) = self;
        text
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(IdentityError { what: "it is empty, or has control characters" });
        }
        if let Some(digits) = text.strip_prefix("sha256:") {
            return match digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                true => Ok(Self::Key(text.to_ascii_lowercase())),
                false => Err(IdentityError { what: "`sha256:` is followed by 64 hexadecimal digits" }),
            };
        }
        // Neither an attribute's type nor a scheme contains `:` or `=`, so the first of them decides.
        let first = text.find(['=', ':']).map(|at| (&text[..at], &text[at..=at]));
        let word = |word: &str, also: &str| {
            word.starts_with(|c: char| c.is_ascii_alphanumeric())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        match first {
            Some((attribute, "=")) if word(attribute, "-.") => Ok(Self::Subject(text.to_owned())),
            Some((scheme, ":")) if word(scheme, "+-.") => Ok(Self::Uri(text.to_owned())),
            _ if text.contains('@') => Ok(Self::Email(text.to_owned())),
            None if !text.contains(char::is_whitespace) => Ok(Self::Dns(text.to_owned())),
            _ => Err(IdentityError {
                what: "it is no subject, URI, mail address, DNS name or key, as CN=alice,O=Example, \
                       https://example.org/alice, alice@example.org, example.org or sha256:…",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_form_tells_the_kind() {
        let digits = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        for (text, kind) in [
            (format!("sha256:{digits}").as_str(), "key"),
            ("CN=alice,O=Example", "subject"),
            ("CN=https://example.org", "subject"),
            ("1.2.3=#0500", "subject"),
            ("CN=a@b", "subject"),
            ("https://example.org/?a=b@c", "uri"),
            ("spiffe://example.org/alice", "uri"),
            ("mailto:alice@example.org", "uri"),
            ("alice@example.org", "email"),
            ("a b@example.org", "email"),
            ("example.org", "dns"),
            ("*.example.org", "dns"),
        ] {
            let identity: Identity = text.parse().unwrap();
            assert_eq!(identity.kind(), kind, "{text}");
            assert!(identity.to_string().eq_ignore_ascii_case(text));
        }
        for text in ["", "sha256:00", "sha256:", "a\0b", "two words", "=x", ":x", "CN\n=x"] {
            assert!(text.parse::<Identity>().is_err(), "{text:?}");
        }
    }

    proptest! {
        /// No text is parsed as two different kinds of name.
        #[test]
        fn a_name_of_one_kind_is_none_of_another(text in "(sha256:[0-9a-f]{64}|[a-zA-Z0-9@:=.,/ +-]{0,12}|\\PC{0,8})") {
            let all = [
                Identity::Key(text.clone()),
                Identity::Subject(text.clone()),
                Identity::Uri(text.clone()),
                Identity::Email(text.clone()),
                Identity::Dns(text.clone()),
            ];
            prop_assert_eq!(all.iter().filter(|identity| identity.is_plain()).count(), usize::from(text.parse::<Identity>().is_ok()));
        }
    }
}
