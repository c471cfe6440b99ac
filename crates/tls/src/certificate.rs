//! The key and the certificate of a token.

use std::fmt::Display;
use std::str::FromStr;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use retrace_sign::Token;
use tonic::transport::{Certificate, Identity};
use x509_cert::TbsCertificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{Ia5String, UtcTime};
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Encode, EncodePem};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use crate::TlsError;

/// The context for deriving a certificate's key; another text would give another key.
const CONTEXT: &str = "retrace 2026-11-30 a token's TLS key";
/// The name in the certificate, whatever the name of the machine.
pub(crate) const NAME: &str = "retrace";

/// The private key and the certificate that a token determines: the same on every machine.
pub struct Credentials {
    pub(crate) key: Vec<u8>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) identity: Identity,
    pub(crate) root: Certificate,
}

/// Does not show the key.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Those for `token`.
    ///
    /// # Errors
    /// If the certificate cannot be encoded.
    pub fn of(token: &Token) -> Result<Self, TlsError> {
        let key = SigningKey::from_bytes(&blake3::derive_key(CONTEXT, token.expose().as_bytes()));
        let certificate = certificate(&key).map_err(failed)?;
        let pem = certificate.to_pem(LineEnding::LF).map_err(failed)?;
        let key_pem = key.to_pkcs8_pem(LineEnding::LF).map_err(failed)?;
        Ok(Self {
            key: key.to_pkcs8_der().map_err(failed)?.as_bytes().to_vec(),
            certificate: certificate.to_der().map_err(failed)?,
            identity: Identity::from_pem(&pem, key_pem.as_bytes()),
            root: Certificate::from_pem(&pem),
        })
    }

    /// The certificate (DER), which is not secret.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }
}

fn failed(error: impl Display) -> TlsError {
    TlsError::Certificate(error.to_string())
}

/// A certificate of `key`, signed by it, that is valid at every time.
fn certificate(key: &SigningKey) -> Result<x509_cert::Certificate, x509_cert::builder::Error> {
    let always = Validity::new(Time::UtcTime(UtcTime::from_unix_duration(std::time::Duration::ZERO)?), Time::INFINITY);
    let public = SubjectPublicKeyInfo::from_key(&key.verifying_key())?;
    let name = Name::from_str(&format!("CN={NAME}"))?;
    let mut builder = CertificateBuilder::new(Own(name), SerialNumber::from(1u8), always, public)?;
    builder.add_extension(&SubjectAltName(vec![GeneralName::DnsName(Ia5String::new(NAME)?)]))?;
    builder.build::<_, ed25519_dalek::Signature>(key)
}

/// A certificate that is issued by its own subject.
struct Own(Name);

impl BuilderProfile for Own {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}
