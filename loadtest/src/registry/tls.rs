//! TLS of a port: what is offered, who may come, and what was agreed on.

use std::io;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Protocol;
use super::authority::Authority;
use super::route::Origin;
use super::wire::Wire;

/// How an upstream speaks TLS, on both of its ports.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Who signed the server's certificate.
    pub authority: Arc<Authority>,
    /// The versions of HTTP that it offers, best first.
    pub protocols: Vec<Protocol>,
    /// Whose certificates clients of the registry must present. The origin that redirects lead to then asks for one
    /// too, takes any client without one, and counts who presents one all the same.
    pub clients: Option<Arc<Authority>>,
}

impl Tls {
    /// TLS under this authority, with HTTP/2 and HTTP/1.1, for everybody.
    pub fn new(authority: Arc<Authority>) -> Self {
        Self { authority, protocols: vec![Protocol::Http2, Protocol::Http1], clients: None }
    }

    pub(super) fn acceptor(&self, origin: Origin) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).map_err(io::Error::other)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if origin == Origin::Cdn { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
        };
        let signed = self.authority.server();
        let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).map_err(io::Error::other)?;
        let mut config = builder.with_single_cert(vec![certificate], key).map_err(io::Error::other)?;
        config.alpn_protocols = self.protocols.iter().map(|protocol| protocol.alpn().to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What client and server agreed on.
pub(super) struct Agreed {
    pub(super) protocol: Protocol,
    pub(super) client_certificate: bool,
}

pub(super) fn agreed(stream: &TlsStream<Wire>) -> Agreed {
    let (_, session) = stream.get_ref();
    let http2 = session.alpn_protocol() == Some(Protocol::Http2.alpn());
    Agreed {
        protocol: if http2 { Protocol::Http2 } else { Protocol::Http1 },
        client_certificate: session.peer_certificates().is_some(),
    }
}
