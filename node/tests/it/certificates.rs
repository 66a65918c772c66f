//! An authority that signs a certificate for whoever asks.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::{Identity, Role};

pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("the authority's certificate").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// What a process of this role proves itself with.
    pub(crate) fn identity(&self, role: Role) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![role.host().to_owned()]).expect("parameters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { authority: self.certificate.clone(), certificate, key: Secret::new(key.serialize_pem()) }
    }
}
