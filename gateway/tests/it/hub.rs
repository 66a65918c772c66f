//! Docker Hub by its name, without the network.

use std::net::SocketAddr;

use async_trait::async_trait;
use roadstead_gateway::upstream::exchange::{ExchangeError, Request, Response};
use roadstead_gateway::upstream::{HttpExchange, ReqwestExchange};

/// Sends what is meant for Docker Hub to a synthetic upstream.
pub(crate) struct AsHub(pub(crate) ReqwestExchange, pub(crate) SocketAddr);

#[async_trait]
impl HttpExchange for AsHub {
    async fn send(&self, mut request: Request) -> Result<Response, ExchangeError> {
        assert_eq!(request.url.host_str(), Some("registry-1.docker.io"));
        request.url = format!("http://{}{}", self.1, request.url.path()).parse().unwrap();
        self.0.send(request).await
    }
}
