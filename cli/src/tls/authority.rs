//! Makes an authority, and certificates by it; no file is touched.
//!
//! An authority is its key: name and key identifier follow from it, so that certificates are signed without reading the
//! authority's own certificate, and two authorities never have the same name.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use roadstead_proto::domain::digest::encode_hex;
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::Role;

/// Clocks differ: a certificate of a moment ago has to count on a machine that is behind.
const CLOCK_SKEW: Duration = Duration::from_secs(3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    /// The key of the authority is none.
    #[error("the authority's key cannot be used")]
    Key(#[source] rcgen::Error),
    /// Making a key or a certificate failed.
    #[error("the certificate cannot be made")]
    Make(#[from] rcgen::Error),
    /// The system has no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

/// When a certificate counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    /// Since 1970.
    pub(crate) from: Duration,
    /// So long.
    pub(crate) valid: Duration,
}

/// Whom a certificate is for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// What it proves.
    pub(crate) role: Role,
    /// What people call it.
    pub(crate) name: String,
    /// When it counts.
    pub(crate) validity: Validity,
}

/// A certificate and its key, PEM.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: Secret,
}

/// Signs certificates.
pub(crate) struct Authority {
    key: KeyPair,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Result<Self, AuthorityError> {
        Ok(Self { key: KeyPair::generate()? })
    }

    /// The one of this key (PEM).
    pub(crate) fn from_key(key: &Secret) -> Result<Self, AuthorityError> {
        KeyPair::from_pem(key.expose()).map(|key| Self { key }).map_err(AuthorityError::Key)
    }

    /// Its key, PEM.
    pub(crate) fn key(&self) -> Secret {
        Secret::new(self.key.serialize_pem())
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let identifier = params.key_identifier(&self.key);
        let identifier = encode_hex(&identifier[..identifier.len().min(6)]);
        params.distinguished_name = named(&format!("Roadstead authority {identifier}"));
        params
    }

    /// What everybody believes, PEM.
    pub(crate) fn certificate(&self, validity: Validity) -> Result<String, AuthorityError> {
        let mut params = self.params();
        valid(&mut params, validity);
        params.serial_number = Some(serial()?);
        Ok(params.self_signed(&self.key)?.pem())
    }

    /// Makes a key, and a certificate that says whose it is.
    pub(crate) fn issue(&self, subject: &Subject) -> Result<Issued, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([subject.role.host().to_owned()])?;
        params.distinguished_name = named(&subject.name);
        // Every process both listens and calls.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, subject.validity);
        params.serial_number = Some(serial()?);
        let issuer = self.params();
        let certificate = params.signed_by(&key, &Issuer::from_params(&issuer, &self.key))?;
        Ok(Issued { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) })
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn valid(params: &mut CertificateParams, Validity { from, valid }: Validity) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + from.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + from + valid;
}

/// Random, positive, and of one length.
fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AuthorityError::Random(error.to_string()))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::settings::tls::verify;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn now() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }

    fn issued(authority: &Authority, from: Duration, valid: Duration) -> String {
        let subject = Subject { role: Role::Node, name: "node-1".to_owned(), validity: Validity { from, valid } };
        authority.issue(&subject).unwrap().certificate
    }

    #[test]
    fn a_certificate_proves_its_role_by_its_own_authority_while_it_is_valid() {
        let (ours, theirs) = (Authority::new().unwrap(), Authority::new().unwrap());
        let believed = ours.certificate(Validity { from: now(), valid: YEAR }).unwrap();
        let certificate = issued(&ours, now(), YEAR);
        assert_eq!(verify(&believed, &certificate, Role::Node), Ok(()));
        let wrong = verify(&believed, &certificate, Role::Admin).unwrap_err();
        assert!(wrong.contains("not valid for name"), "{wrong}");
        let wrong = verify(&believed, &issued(&theirs, now(), YEAR), Role::Node).unwrap_err();
        assert!(wrong.contains("has not signed it"), "{wrong}");
        let old = verify(&believed, &issued(&ours, now() - YEAR, YEAR / 2), Role::Node).unwrap_err();
        assert!(old.contains("expired"), "{old}");
        // The key is all there is to an authority.
        let again = Authority::from_key(&ours.key()).unwrap();
        assert_eq!(verify(&believed, &issued(&again, now(), YEAR), Role::Node), Ok(()));
        // While an authority is replaced both are believed.
        let both = believed + &theirs.certificate(Validity { from: now(), valid: YEAR }).unwrap();
        assert_eq!(verify(&both, &issued(&theirs, now(), YEAR), Role::Node), Ok(()));
    }

    #[test]
    fn serials_are_random() {
        let serials: std::collections::HashSet<_> = (0..8).map(|_| serial().unwrap().to_bytes()).collect();
        assert_eq!(serials.len(), 8);
        assert!(serials.iter().all(|serial| serial.len() == 16 && serial[0] < 0x80));
    }
}
