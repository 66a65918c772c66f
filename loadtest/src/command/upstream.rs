//! `roadstead-loadtest upstream`: serve seeded synthetic images as a registry.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use roadstead_loadtest::registry::{
    Auth, Authority, Bandwidth, Change, Config, Credentials, Fault, Profile, Protocol, RateLimit, Recipe, Scenario,
    Tls, TokenAuth, Upstream,
};
use tokio::signal::unix::{SignalKind, signal};

use super::size::size;

/// What is served when nothing is said.
const DEFAULT_IMAGE: &str = "library/demo:latest=1:1MiB,4MiB,16MiB";

/// What a client has to trust, in the directory of `--tls`.
const CA_FILE: &str = "ca.pem";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Where redirects lead to; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    cdn_listen: SocketAddr,
    /// Where `/_stage/` is answered besides the registry's own port; here it stays reachable while the upstream is down.
    #[arg(long, value_name = "ADDRESS")]
    stage_listen: Option<SocketAddr>,
    /// The registry to play; what other options say overrides it.
    #[arg(long, value_name = "NAME", default_value = Profile::Plain.name(), value_parser = profile())]
    profile: Profile,
    /// What happens while it runs, and when: a file in TOML, or in JSON when it is called so.
    #[arg(long, value_name = "FILE", value_parser = scenario)]
    scenario: Option<Scenario>,
    /// An image to serve, `NAME:TAG=SEED:SIZE,SIZE,…`, one size per layer, such as `library/demo:1=7:1MiB,20MB`;
    /// may be repeated.
    #[arg(long = "image", value_name = "IMAGE", default_value = DEFAULT_IMAGE)]
    images: Vec<ImageArg>,
    /// Make every layer a tar archive that can be unpacked.
    #[arg(long)]
    tar: bool,
    /// Speak TLS. The certificates are made at start and written to this directory: `ca.pem` for whoever is to trust the
    /// server, `client.pem` and `client.key` for whoever has to present a certificate.
    #[arg(long, value_name = "DIRECTORY")]
    tls: Option<PathBuf>,
    /// The versions of HTTP to offer with TLS, best first.
    #[arg(long, value_name = "VERSION", value_enum, value_delimiter = ',', default_values = ["2", "1.1"], requires = "tls")]
    http: Vec<HttpArg>,
    /// Require a client certificate of the authority in `ca.pem`.
    #[arg(long, requires = "tls")]
    require_client_certificate: bool,
    /// Ask for tokens and give them to this user; without `--anonymous` to nobody else, unless the profile does.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = credentials, conflicts_with = "basic_auth")]
    token_auth: Option<Credentials>,
    /// Ask for tokens, and give them to everybody.
    #[arg(long, conflicts_with = "basic_auth")]
    anonymous: bool,
    /// Lifetime of a token, in seconds; 300 when the profile has none of its own.
    #[arg(long, value_name = "SECONDS")]
    token_lifetime: Option<u64>,
    /// Ask for this user name and password with every request.
    #[arg(long, value_name = "USER:PASSWORD", value_parser = credentials)]
    basic_auth: Option<Credentials>,
    /// Answer blobs with a redirect to another origin.
    #[arg(long, conflicts_with = "no_redirect")]
    redirect: bool,
    /// Answer blobs with their bytes, whatever the profile does.
    #[arg(long)]
    no_redirect: bool,
    /// A rate limit as JSON, such as `{"anonymous":5,"window_seconds":60}`, in place of the profile's; may be repeated.
    #[arg(long = "rate", value_name = "JSON", value_parser = rate)]
    rates: Vec<RateLimit>,
    /// Answer a bare 429 after so many requests of any kind in a minute.
    #[arg(long, value_name = "REQUESTS")]
    abuse_limit: Option<u64>,
    /// Bytes per second for all connections together, such as `10MB`.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    bandwidth: Option<u64>,
    /// Bytes per second for each connection.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    connection_bandwidth: Option<u64>,
    /// Wait so long before each answer, such as `50ms`.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    latency: Option<Duration>,
    /// A fault as JSON, such as `{"kinds":["blob_get"],"times":2,"effect":{"reset":{"after":1000}}}`; may be repeated.
    #[arg(long = "fault", value_name = "JSON", value_parser = fault)]
    faults: Vec<Fault>,
}

impl Args {
    fn config(&self, authority: Option<&Arc<Authority>>) -> Config {
        let profile = self.profile.config();
        let tls = authority.map(|authority| Tls {
            authority: Arc::clone(authority),
            protocols: self.http.iter().map(|version| version.protocol()).collect(),
            clients: self.require_client_certificate.then(|| Arc::clone(authority)),
        });
        let rates = if self.rates.is_empty() { profile.rates } else { self.rates.clone() };
        let abuse = self.abuse_limit.map(|requests| RateLimit::abuse(requests, 60));
        Config {
            tls,
            listen: self.listen,
            cdn_listen: self.cdn_listen,
            stage_listen: self.stage_listen,
            auth: self.auth(profile.auth),
            redirect: if self.redirect { profile.redirect.or(Some(Default::default())) } else { profile.redirect }
                .filter(|_| !self.no_redirect),
            bandwidth: Bandwidth { total: self.bandwidth, per_connection: self.connection_bandwidth },
            rates: rates.into_iter().chain(abuse).collect(),
            faults: self.latency.map(Fault::latency).into_iter().chain(self.faults.iter().cloned()).collect(),
            ..profile
        }
    }

    fn auth(&self, of_profile: Auth) -> Auth {
        if let Some(credentials) = &self.basic_auth {
            return Auth::Basic(credentials.clone());
        }
        let mut token = match of_profile {
            Auth::Token(token) => token,
            _ if self.anonymous || self.token_auth.is_some() => TokenAuth { anonymous: false, ..TokenAuth::default() },
            other => return other,
        };
        token.anonymous |= self.anonymous;
        token.credentials = self.token_auth.clone().or(token.credentials);
        token.expires_in = self.token_lifetime.or(token.expires_in);
        Auth::Token(token)
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    // Before anything is printed, so that whoever reads the first line may already send the signal.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let authority = args.tls.as_deref().map(write_certificates).transpose()?;
    let config = args.config(authority.as_ref());
    let upstream = Upstream::start(config).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    println!("serving {} (redirects to {})", upstream.url(), upstream.cdn_url());
    if let Some(directory) = &args.tls {
        println!("trust it by {}", directory.join(CA_FILE).display());
    }
    if let Some(url) = upstream.stage_url() {
        println!("stage at {url}/_stage/");
    }
    let project = upstream.project().map_or_else(String::new, |project| format!("{project}/"));
    for ImageArg(recipe) in &args.images {
        let made = upstream.make(Recipe { tar: args.tar, ..recipe.clone() }).await;
        println!("{}/{project}{}:{}  {}", upstream.addr(), made.repository, made.tag, made.digest);
        for blob in made.blobs {
            println!("    {}  {} bytes", blob.digest, blob.size);
        }
    }
    println!("ready");
    let playing = async {
        if let Some(scenario) = &args.scenario {
            upstream.play(scenario).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = playing => {}
    }
    upstream.shutdown().await;
    Ok(())
}

/// Makes an authority and writes what clients need of it.
fn write_certificates(directory: &Path) -> anyhow::Result<Arc<Authority>> {
    let authority = Authority::new("roadstead-loadtest");
    let client = authority.client("client");
    for (name, content) in [(CA_FILE, authority.pem()), ("client.pem", client.certificate), ("client.key", client.key)]
    {
        let path = directory.join(name);
        std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Arc::new(authority))
}

/// A version of HTTP, as people write it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum HttpArg {
    #[value(name = "1.1")]
    Http1,
    #[value(name = "2")]
    Http2,
}

impl HttpArg {
    fn protocol(self) -> Protocol {
        match self {
            Self::Http1 => Protocol::Http1,
            Self::Http2 => Protocol::Http2,
        }
    }
}

/// `NAME:TAG=SEED:SIZE,SIZE,…`
#[derive(Clone, Debug, PartialEq, Eq)]
struct ImageArg(Recipe);

impl FromStr for ImageArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is not NAME:TAG=SEED:SIZE,SIZE,…");
        let (name, recipe) = text.split_once('=').ok_or_else(malformed)?;
        let (repository, tag) = name.rsplit_once(':').ok_or_else(malformed)?;
        let (seed, sizes) = recipe.split_once(':').ok_or_else(malformed)?;
        let seed = seed.parse().map_err(|_| malformed())?;
        let layers = sizes.split(',').map(size).collect::<Result<_, _>>()?;
        let recipe = Recipe { repository: repository.to_owned(), tag: tag.to_owned(), seed, layers, tar: false };
        checked(Change { images: vec![recipe.clone()], ..Change::default() })?;
        Ok(Self(recipe))
    }
}

fn credentials(text: &str) -> Result<Credentials, String> {
    let (user, password) = text.split_once(':').ok_or("USER:PASSWORD is expected")?;
    Ok(Credentials::new(user, password))
}

fn fault(text: &str) -> Result<Fault, String> {
    let fault: Fault = serde_json::from_str(text).map_err(|error| error.to_string())?;
    checked(Change { add_faults: vec![fault.clone()], ..Change::default() })?;
    Ok(fault)
}

fn rate(text: &str) -> Result<RateLimit, String> {
    let limit: RateLimit = serde_json::from_str(text).map_err(|error| error.to_string())?;
    checked(Change { rates: Some(vec![limit.clone()]), ..Change::default() })?;
    Ok(limit)
}

/// What is said on the command line is as good as what is said while it runs.
fn checked(change: Change) -> Result<(), String> {
    change.check().map_err(|bad| bad.to_string())
}

fn profile() -> impl clap::builder::TypedValueParser<Value = Profile> {
    PossibleValuesParser::new(Profile::ALL.map(Profile::name)).try_map(|name| name.parse::<Profile>())
}

fn scenario(path: &str) -> Result<Scenario, String> {
    Scenario::read(Path::new(path)).map_err(|bad| format!("{:#}", anyhow::Error::from(bad)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_seeded_and_sized() {
        let image: ImageArg = "a/b:1=7:10,2KiB".parse().unwrap();
        assert_eq!((image.0.repository.as_str(), image.0.tag.as_str(), image.0.seed), ("a/b", "1", 7));
        assert_eq!(image.0.layers, [10, 2048]);
        for text in ["", "a", "a:1", "a:1=7", "a:1=x:1", "a:1=7:", ":1=7:1", "a:=7:1"] {
            assert!(text.parse::<ImageArg>().is_err(), "{text}");
        }
        assert!(DEFAULT_IMAGE.parse::<ImageArg>().is_ok());
    }
}
