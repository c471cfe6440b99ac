//! Chains of X.509 certificates, from a signer to a root that the caller trusts (RFC 5280, the part that signing code
//! and models needs).

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha384, Sha512};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::oid::{AssociatedOid, ObjectIdentifier};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, NameConstraints, SubjectAltName,
    SubjectKeyIdentifier,
};

use crate::{Identity, KeyError, PublicKey, short};

/// Why certificates do not prove the identity of a signer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// The bytes are not a certificate.
    #[error("certificate {at} of the chain cannot be read: {what}")]
    Form {
        /// Its position, from 1.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// There is no certificate.
    #[error("the chain has no certificate")]
    Empty,
    /// No chain leads from the signer to a trusted root.
    #[error("the certificate of {subject:?}, issued by {issuer:?}, does not lead to a trusted root")]
    Untrusted {
        /// The last certificate of the chain.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// Not valid at the given time.
    #[error("the certificate of {subject:?} is valid from {from} to {to}, not on {at}")]
    Validity {
        /// The subject of the certificate.
        subject: String,
        /// The start of its validity.
        from: String,
        /// The end of its validity.
        to: String,
        /// The given time.
        at: String,
    },
    /// It is not allowed for its use here.
    #[error("the certificate of {subject:?} {what}")]
    Use {
        /// The subject of the certificate.
        subject: String,
        /// The use that is not allowed.
        what: String,
    },
}

/// Code signing, among extended uses (RFC 5280, 4.2.1.12), and any use.
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const ANY_USE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
/// No real chain has more certificates than this, or larger ones.
const MOST: usize = 10;
const MOST_BYTES: usize = 1 << 16;
const TOO_MANY: &str = "more than 10, or one of more than 64 KiB, are refused";
/// All authorities that browsers trust take a twentieth of this.
const MOST_ROOTS: usize = 4 << 20;

/// The certificates that a caller trusts.
#[derive(Debug, Clone)]
pub struct Roots(Vec<Certificate>);

impl Roots {
    /// The certificates in the PEM text.
    ///
    /// # Errors
    /// If there is none, or one cannot be read.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        certificates(text, MOST_ROOTS).map(Self)
    }
}

/// The certificates in a PEM text of at most this many bytes: one or more.
fn certificates(text: &str, most: usize) -> Result<Vec<Certificate>, KeyError> {
    let refuse = |what: String| KeyError { what };
    if text.len() > most {
        return Err(refuse(format!("it has {} bytes; the limit for a certificate is {most}", text.len())));
    }
    let all = Certificate::load_pem_chain(text.as_bytes()).map_err(|e| refuse(format!("not certificates: {e}")))?;
    if all.is_empty() { Err(refuse("it has no certificate".to_owned())) } else { Ok(all) }
}

/// A signer's certificate, and those that may connect it to a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<Certificate>);

impl Chain {
    /// The certificates, the signer's first, each as DER.
    ///
    /// # Errors
    /// If there is none, or one cannot be read.
    pub fn from_der<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CertificateError> {
        let mut chain = Vec::new();
        for (at, der) in (1..).zip(certificates) {
            let form = |what: String| CertificateError::Form { at, what };
            if at > MOST || der.len() > MOST_BYTES {
                return Err(form(TOO_MANY.to_owned()));
            }
            chain.push(Certificate::from_der(der).map_err(|e| form(e.to_string()))?);
        }
        if chain.is_empty() { Err(CertificateError::Empty) } else { Ok(Self(chain)) }
    }

    /// The certificates in the PEM text, the signer's first.
    ///
    /// # Errors
    /// If there is none, or one cannot be read.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        // PEM takes four bytes for three, and may contain remarks.
        let chain = certificates(text, 2 * MOST * MOST_BYTES)?;
        if chain.len() > MOST { Err(KeyError { what: TOO_MANY.to_owned() }) } else { Ok(Self(chain)) }
    }

    /// The certificates as DER, the signer's first.
    ///
    /// # Errors
    /// If one cannot be encoded.
    pub fn to_der(&self) -> Result<Vec<Vec<u8>>, KeyError> {
        self.0.iter().map(|c| c.to_der().map_err(|e| KeyError { what: e.to_string() })).collect()
    }

    /// The name of the signer in the first certificate.
    pub fn signer(&self) -> String {
        self.0.first().map_or_else(String::new, subject)
    }

    /// The key in the signer's certificate, whether or not a root certifies it.
    ///
    /// # Errors
    /// If its kind is not supported.
    pub fn key(&self) -> Result<PublicKey, CertificateError> {
        let leaf = self.0.first().ok_or(CertificateError::Empty)?;
        let der = leaf.tbs_certificate().subject_public_key_info().to_der();
        let key = der.ok().and_then(|der| PublicKey::from_der(&der));
        key.ok_or_else(|| forbidden(leaf, "has a key of an unsupported kind"))
    }

    /// The signer's identities in the certificate: key, subject, alternative names. They must not be trusted before
    /// [`Self::verify`].
    ///
    /// # Errors
    /// If there is a name that cannot be parsed.
    pub fn identities(&self) -> Result<Vec<Identity>, CertificateError> {
        let leaf = self.0.first().ok_or(CertificateError::Empty)?;
        let mut identities: Vec<Identity> = Identity::of(&self.key()?).into_iter().collect();
        identities.push(Identity::Subject(leaf.tbs_certificate().subject().to_string()));
        let names = extension::<SubjectAltName>(leaf)?.map_or_else(Vec::new, |SubjectAltName(names)| names);
        identities.extend(names.into_iter().filter_map(|name| match name {
            GeneralName::Rfc822Name(text) => Some(Identity::Email(text.to_string())),
            GeneralName::UniformResourceIdentifier(text) => Some(Identity::Uri(text.to_string())),
            GeneralName::DnsName(text) => Some(Identity::Dns(text.to_string())),
            _ => None,
        }));
        // A subject may be empty; and an author of DNS names can write an invalid one.
        identities.retain(Identity::is_plain);
        Ok(identities)
    }

    /// The signer's key, if the certificates form a chain from it to one of `roots`, each valid at `at` seconds since
    /// 1970 and allowed for its use here.
    ///
    /// # Errors
    /// The first error in the chain.
    pub fn verify(&self, roots: &Roots, at: u64) -> Result<PublicKey, CertificateError> {
        let leaf = self.0.first().ok_or(CertificateError::Empty)?;
        valid(leaf, at)?;
        may_sign(leaf)?;
        let mut current = leaf;
        // The signer's own certificate may be the trusted one.
        for below in 0..=MOST {
            if roots.0.contains(current) {
                return self.key();
            }
            let candidates = roots.0.iter().chain(&self.0);
            let issuers = candidates.filter(|issuer| {
                issuer.tbs_certificate().subject() == current.tbs_certificate().issuer() && *issuer != current
            });
            let issuer = issuers.into_iter().find(|issuer| signed_by(current, issuer) == Some(true));
            let Some(issuer) = issuer else { break };
            valid(issuer, at)?;
            may_certify(issuer, below)?;
            current = issuer;
        }
        let issuer = short(&current.tbs_certificate().issuer().to_string());
        Err(CertificateError::Untrusted { subject: subject(current), issuer })
    }
}

/// For messages: the subject of the certificate.
fn subject(certificate: &Certificate) -> String {
    short(&certificate.tbs_certificate().subject().to_string())
}

fn forbidden(certificate: &Certificate, what: &str) -> CertificateError {
    CertificateError::Use { subject: subject(certificate), what: what.to_owned() }
}

fn valid(certificate: &Certificate, at: u64) -> Result<(), CertificateError> {
    let validity = certificate.tbs_certificate().validity();
    let (from, to) = (validity.not_before, validity.not_after);
    if (from.to_unix_duration().as_secs()..=to.to_unix_duration().as_secs()).contains(&at) {
        return Ok(());
    }
    let moment = x509_cert::der::DateTime::from_unix_duration(std::time::Duration::from_secs(at));
    let at = moment.map_or_else(|_| format!("second {at}"), |moment| moment.to_string());
    Err(CertificateError::Validity { subject: subject(certificate), from: from.to_string(), to: to.to_string(), at })
}

/// The extension of this kind, which may occur only once.
fn extension<T: for<'a> Decode<'a> + AssociatedOid>(certificate: &Certificate) -> Result<Option<T>, CertificateError> {
    let mut found = None;
    for extension in certificate.tbs_certificate().extensions().map_or(&[][..], |all| all.as_slice()) {
        if extension.extn_id == T::OID {
            let value = T::from_der(extension.extn_value.as_bytes());
            let value = value.map_err(|_| forbidden(certificate, "has an extension that cannot be read"))?;
            if found.replace(value).is_some() {
                return Err(forbidden(certificate, "has an extension twice"));
            }
        }
    }
    Ok(found)
}

/// Refuses critical extensions that are not supported here (RFC 5280, 4.2).
fn understood(certificate: &Certificate) -> Result<(), CertificateError> {
    const KNOWN: [ObjectIdentifier; 6] = [
        BasicConstraints::OID,
        KeyUsage::OID,
        ExtendedKeyUsage::OID,
        SubjectAltName::OID,
        SubjectKeyIdentifier::OID,
        AuthorityKeyIdentifier::OID,
    ];
    let mut all = certificate.tbs_certificate().extensions().into_iter().flatten();
    // It should be critical, but is not always; the identities that it excludes must not be accepted.
    if all.clone().any(|extension| extension.extn_id == NameConstraints::OID) {
        return Err(forbidden(certificate, "has name constraints, which are not supported"));
    }
    match all.find(|extension| extension.critical && !KNOWN.contains(&extension.extn_id)) {
        None => Ok(()),
        Some(extension) => {
            let what = format!("has an unknown critical extension: {}", extension.extn_id);
            Err(forbidden(certificate, &what))
        }
    }
}

fn for_code(uses: &ExtendedKeyUsage) -> bool {
    uses.0.contains(&CODE_SIGNING) || uses.0.contains(&ANY_USE)
}

/// Whether the certificate's key is allowed to sign releases.
fn may_sign(certificate: &Certificate) -> Result<(), CertificateError> {
    understood(certificate)?;
    let usage = extension::<KeyUsage>(certificate)?;
    let extended = extension::<ExtendedKeyUsage>(certificate)?;
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err(forbidden(certificate, "does not allow signatures"));
    }
    if extended.as_ref().is_some_and(|uses| !for_code(uses)) {
        return Err(forbidden(certificate, "does not allow code signing"));
    }
    if usage.is_none() && extended.is_none() {
        return Err(forbidden(certificate, "does not state that it is for signing"));
    }
    Ok(())
}

/// Whether the certificate's key may sign certificates, with `below` others between it and the signer's.
fn may_certify(certificate: &Certificate, below: usize) -> Result<(), CertificateError> {
    understood(certificate)?;
    match extension::<BasicConstraints>(certificate)? {
        Some(constraints) if constraints.ca => {
            if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
                return Err(forbidden(certificate, "does not allow a chain of this length"));
            }
        }
        _ => return Err(forbidden(certificate, "signed another certificate, but is not a certificate authority")),
    }
    // The uses that an authority may allow its signers (RFC 5280 leaves it open; OpenSSL and others apply it in this
    // way).
    if extension::<ExtendedKeyUsage>(certificate)?.is_some_and(|uses| !for_code(&uses)) {
        return Err(forbidden(certificate, "does not allow to issue certificates for code signing"));
    }
    match extension::<KeyUsage>(certificate)? {
        Some(usage) if !usage.key_cert_sign() => {
            Err(forbidden(certificate, "signed another certificate, but is not allowed to"))
        }
        _ => Ok(()),
    }
}

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// Shorter RSA keys can be factored with realistic effort; `rsa` does not read keys longer than 8192 bits.
const LEAST_RSA_BITS: u32 = 2048;

/// Whether `issuer`'s key made the signature on `certificate`; `None` if that cannot be determined.
fn signed_by(certificate: &Certificate, issuer: &Certificate) -> Option<bool> {
    let algorithm = certificate.signature_algorithm();
    // The algorithm is also in the signed part, and must be the same.
    if algorithm != certificate.tbs_certificate().signature() {
        return None;
    }
    let message = certificate.tbs_certificate().to_der().ok()?;
    let signature = certificate.signature().as_bytes()?;
    let key = issuer.tbs_certificate().subject_public_key_info().to_der().ok()?;
    let digest: Vec<u8> = match algorithm.oid {
        ED25519 => return Some(PublicKey::from_der(&key)?.verify(&message, signature).is_ok()),
        ECDSA_SHA256 | RSA_SHA256 => Sha256::digest(&message).to_vec(),
        ECDSA_SHA384 | RSA_SHA384 => Sha384::digest(&message).to_vec(),
        ECDSA_SHA512 | RSA_SHA512 => Sha512::digest(&message).to_vec(),
        _ => return None,
    };
    if matches!(algorithm.oid, RSA_SHA256 | RSA_SHA384 | RSA_SHA512) {
        let key = rsa::PublicKey::from_public_key_der(&key).ok().filter(|key| key.n().bit_width() >= LEAST_RSA_BITS)?;
        let signature = pkcs1v15::Signature::try_from(signature).ok()?;
        return Some(
            match algorithm.oid {
                RSA_SHA256 => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify_prehash(&digest, &signature),
                RSA_SHA384 => pkcs1v15::VerifyingKey::<Sha384>::new(key).verify_prehash(&digest, &signature),
                _ => pkcs1v15::VerifyingKey::<Sha512>::new(key).verify_prehash(&digest, &signature),
            }
            .is_ok(),
        );
    }
    // A curve may be used with a hash of a different length than its usual one here.
    Some(match PublicKey::from_der(&key)? {
        PublicKey::P256(key) => {
            p256::ecdsa::DerSignature::try_from(signature).is_ok_and(|s| key.verify_prehash(&digest, &s).is_ok())
        }
        PublicKey::P384(key) => {
            p384::ecdsa::DerSignature::try_from(signature).is_ok_and(|s| key.verify_prehash(&digest, &s).is_ok())
        }
        PublicKey::P521(key) => {
            p521::ecdsa::DerSignature::try_from(signature).is_ok_and(|s| key.verify_prehash(&digest, &s).is_ok())
        }
        PublicKey::Ed25519(_) => false,
    })
}
