//! The transport in production: reqwest with connection pools, TLS by rustls, proxies from the environment.
//!
//! A request travels by the client of the origin that its URL names, looked up anew for every hop. Blobs travel over
//! HTTP/1.1 unless an origin is set otherwise: a download then has a connection, hence a TCP window, of its own, where
//! HTTP/2 would send all downloads from a host through one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use roadstead_proto::domain::limits;
use url::Url;

use super::connection::{ConnectionSettings, HttpVersion, Transport};
use super::exchange::{ExchangeError, HttpExchange, Request, Response};
use super::network::{self, Forbidden, GuardedResolver};
use super::proxy::Proxies;

/// Speaks HTTP by reqwest. Follows no redirects: what they mean is the client's to say.
#[derive(Clone)]
pub struct ReqwestExchange {
    elsewhere: Clients,
    /// Host, as URLs write it, and ports. Never changed, hence read without a lock.
    by_host: HashMap<String, Vec<(u16, Clients)>>,
    /// The same proxies that reqwest finds, to name them when one fails.
    proxies: Arc<Matcher>,
    resolver: Arc<GuardedResolver>,
    idle_timeout: Duration,
}

impl fmt::Debug for ReqwestExchange {
    // Clients hold keys, and proxies passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestExchange").field("hosts", &self.by_host.keys()).finish_non_exhaustive()
    }
}

/// The transport could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for upstreams cannot be set up: {0}")]
pub struct TransportError(String);

/// The clients for origins with the same settings. Each has a pool of connections, which keeps origins apart.
#[derive(Clone)]
struct Clients {
    small: reqwest::Client,
    bulk: reqwest::Client,
}

impl ReqwestExchange {
    /// Clients for all origins: those with settings of their own, and the rest.
    pub fn new(transport: &Transport) -> Result<Self, TransportError> {
        let proxies = Proxies::from_environment(|name| std::env::var_os(name)).unwrap_or_default();
        let resolver = network::resolver(&transport.network, proxies.hosts());
        // A second call is refused and changes nothing; every crate in the process wants the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let usual = ConnectionSettings::default();
        let mut made = vec![(&usual, Clients::new(transport, &usual, &resolver)?)];
        let mut by_host: HashMap<String, Vec<(u16, Clients)>> = HashMap::new();
        for connection in &transport.connections {
            let settings = &connection.settings;
            let clients = match made.iter().find(|(known, _)| *known == settings) {
                Some((_, clients)) => clients.clone(),
                None => {
                    let clients = Clients::new(transport, settings, &resolver)?;
                    made.push((settings, clients.clone()));
                    clients
                }
            };
            let ports = by_host.entry(connection.host.name().to_owned()).or_default();
            ports.extend(connection.host.ports().map(|port| (port, clients.clone())));
        }
        let (_, elsewhere) = made.swap_remove(0);
        let idle_timeout = transport.idle_timeout;
        Ok(Self { elsewhere, by_host, proxies: Arc::new(Matcher::from_system()), resolver, idle_timeout })
    }

    fn clients(&self, url: &Url) -> &Clients {
        let ports = url.host_str().and_then(|host| self.by_host.get(host));
        let found = ports
            .zip(url.port_or_known_default())
            .and_then(|(ports, port)| ports.iter().find(|(known, _)| *known == port).map(|(_, clients)| clients));
        found.unwrap_or(&self.elsewhere)
    }

    /// The proxy on the way to a URL, without its credentials.
    fn proxy(&self, url: &Url) -> Option<String> {
        let uri: Uri = url.as_str().parse().ok()?;
        let proxy = self.proxies.intercept(&uri)?;
        proxy.uri().authority().map(|authority| match authority.as_str().rsplit_once('@') {
            Some((_, address)) => address.to_owned(),
            None => authority.to_string(),
        })
    }
}

impl Clients {
    fn new(
        transport: &Transport,
        settings: &ConnectionSettings,
        resolver: &Arc<GuardedResolver>,
    ) -> Result<Self, TransportError> {
        let build = |http| client(transport, settings, http, resolver).map_err(|error| TransportError(chain(&error)));
        let small = build(settings.http)?;
        let bulk = if settings.http == HttpVersion::Auto { build(HttpVersion::Http1)? } else { small.clone() };
        Ok(Self { small, bulk })
    }
}

fn client(
    transport: &Transport,
    settings: &ConnectionSettings,
    http: HttpVersion,
    resolver: &Arc<GuardedResolver>,
) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::clone(resolver))
        .connect_timeout(limits::UPSTREAM_CONNECT_TIMEOUT)
        .read_timeout(transport.idle_timeout)
        .pool_idle_timeout(limits::UPSTREAM_CONNECTION_IDLE)
        .pool_max_idle_per_host(limits::UPSTREAM_CONNECTIONS_IDLE_MAX)
        .tcp_nodelay(true)
        .http2_initial_stream_window_size(limits::UPSTREAM_HTTP2_STREAM_WINDOW)
        .http2_initial_connection_window_size(limits::UPSTREAM_HTTP2_CONNECTION_WINDOW)
        .http2_keep_alive_interval(limits::UPSTREAM_HTTP2_PING_EVERY)
        .http2_keep_alive_timeout(limits::UPSTREAM_HTTP2_PING_TIMEOUT)
        .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")));
    builder = match http {
        HttpVersion::Auto => builder,
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder.http2_prior_knowledge(),
    };
    let authorities = [&transport.authorities, &settings.authorities].into_iter().flatten();
    let trusted = authorities
        .flat_map(|certificates| certificates.iter())
        .map(|certificate| reqwest::Certificate::from_der(certificate))
        .collect::<Result<Vec<_>, _>>()?;
    if !trusted.is_empty() {
        builder = builder.tls_certs_merge(trusted);
    }
    if let Some(identity) = &settings.identity {
        builder = builder.identity(reqwest::Identity::from_pem(identity.to_pem().as_bytes())?);
    }
    builder.build()
}

/// An error with its causes: reqwest's own text leaves out what went wrong.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
    }
    text
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

const SEE_AUTHORITIES: &str = "nobody who is trusted has signed its certificate: name its authority with upstream_ca, or \
                               with ca in an [[upstream_connection]]";
const SEE_IDENTITY: &str = "it refuses the client certificate that it was shown, or that none was: see client_certificate in \
                            an [[upstream_connection]]";
const SEE_IDENTITY_PERHAPS: &str = "it hung up without a word, as servers do that want another client certificate, or one at \
                                    all: see client_certificate in an [[upstream_connection]]";
const SEE_HTTP: &str =
    "it does not speak the version of HTTP that it was offered: see http in an [[upstream_connection]]";

/// How servers refuse a client certificate, or its absence.
const REFUSALS: [&str; 7] = [
    "CertificateRequired",
    "UnknownCA",
    "AccessDenied",
    "BadCertificate",
    "CertificateUnknown",
    "CertificateExpired",
    "DecryptError",
];

/// How it reads, in lower case, when a server ends the connection below a request.
const HANG_UPS: [&str; 4] = ["broken pipe", "connection reset", "connection aborted", "unexpected end of file"];

/// What to do about a TLS session that did not come to be, where that is known.
///
/// By the text, for that is all that the HTTP/2 client passes on of an error of the connection below it.
fn remedy(error: &reqwest::Error, text: &str, over_tls: bool) -> Option<&'static str> {
    if text.contains("invalid peer certificate: UnknownIssuer") {
        return Some(SEE_AUTHORITIES);
    }
    if let Some((_, alert)) = text.split_once("received fatal alert: ") {
        if alert.starts_with("NoApplicationProtocol") {
            return Some(SEE_HTTP);
        }
        return REFUSALS.iter().any(|refusal| alert.starts_with(refusal)).then_some(SEE_IDENTITY);
    }
    // TLS 1.3 refuses a client after the client has begun to speak, and often even the text is lost on the way.
    let hung_up = |cause: &hyper::Error| cause.is_canceled() || cause.is_closed();
    let hung_up = causes(error).filter_map(|cause| cause.downcast_ref()).any(hung_up);
    let text = text.to_ascii_lowercase();
    let hung_up = hung_up || HANG_UPS.iter().any(|words| text.contains(words));
    (over_tls && hung_up).then_some(SEE_IDENTITY_PERHAPS)
}

fn failed(error: reqwest::Error, patience: Duration, proxy: Option<String>) -> ExchangeError {
    if error.is_timeout() && !error.is_connect() {
        return ExchangeError::Timeout(patience);
    }
    let connecting = error.is_connect();
    let over_tls = error.is_request() && error.url().is_some_and(|url| url.scheme() == "https");
    if let Some(forbidden) = causes(&error).find_map(|cause| cause.downcast_ref::<Forbidden>()) {
        return ExchangeError::Forbidden(forbidden.clone());
    }
    // The URL of a redirect target carries a signature.
    let error = error.without_url();
    let mut text = chain(&error);
    if let Some(remedy) = remedy(&error, &text, over_tls) {
        text = format!("{text} ({remedy})");
    }
    if let (true, Some(proxy)) = (connecting, proxy) {
        text = format!("through the proxy {proxy} that the environment names: {text}");
    }
    ExchangeError::Connection(text)
}

#[async_trait]
impl HttpExchange for ReqwestExchange {
    async fn send(&self, request: Request) -> Result<Response, ExchangeError> {
        let Request { method, url, headers, patience, bulk } = request;
        self.resolver.admit(&url).await?;
        let clients = self.clients(&url);
        let client = if bulk { &clients.bulk } else { &clients.small };
        let sent = client.request(method, url.clone()).headers(headers).send();
        let response = tokio::time::timeout(patience, sent)
            .await
            .map_err(|_| ExchangeError::Timeout(patience))?
            .map_err(|error| failed(error, patience, self.proxy(&url)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let idle = self.idle_timeout;
        let body = response.bytes_stream().map_err(move |error| failed(error, idle, None)).boxed();
        Ok(Response { status, headers, body })
    }
}
