//! What a start prints: where to pull, from which upstreams, with which token, and the first command to try.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use roadstead_proto::domain::registry::{Registry, RegistryId};
use roadstead_proto::domain::secret::Secret;
use roadstead_proto::domain::upstream::Upstream;

use crate::directory::Origin;
use crate::settings::ADMIN_TOKEN_VARIABLE;
use crate::written::shell_word;

/// Everything a start has to say.
#[derive(Debug)]
pub(crate) struct Banner {
    /// Where pulls are served.
    pub(crate) listen: SocketAddr,
    /// Where metrics and health are.
    pub(crate) admin: SocketAddr,
    /// Where everything is kept.
    pub(crate) data_dir: PathBuf,
    /// The registry that clients pull through.
    pub(crate) registry: RegistryId,
    /// Name and address of its upstreams, first asked first.
    pub(crate) upstreams: Vec<(String, String)>,
    /// Whether one of them is Docker Hub, where the image of the first command is.
    pub(crate) has_docker_hub: bool,
    /// Whether pulls need no token.
    pub(crate) anonymous_pull: bool,
    /// The admin token that this process has put in force, and where it came from.
    pub(crate) token: Option<(Secret, Origin)>,
    /// What else there is to know of its place: label and value.
    pub(crate) details: Vec<(&'static str, String)>,
    /// What the operator should know.
    pub(crate) warnings: Vec<String>,
}

impl Banner {
    /// What there is to say of a registry and its upstreams; the rest is of nowhere yet.
    pub(crate) fn of(registry: &Registry, upstreams: &[&Upstream]) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        let named = |upstream: &&Upstream| (upstream.settings.name.clone(), upstream.settings.url.to_string());
        Self {
            listen: nowhere,
            admin: nowhere,
            data_dir: PathBuf::new(),
            registry: registry.id,
            upstreams: upstreams.iter().map(named).collect(),
            has_docker_hub: upstreams.iter().any(|upstream| upstream.settings.url.is_docker_hub()),
            anonymous_pull: registry.anonymous_pull,
            token: None,
            details: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// What image names begin with.
    fn prefix(&self) -> String {
        format!("{}/virtual_registries/container/{}/", reachable(self.listen), self.registry)
    }
}

/// An address that a client on this machine can use: "every address" is none.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Roadstead {} is ready.\n", env!("CARGO_PKG_VERSION"))?;
        write!(f, "  Pull prefix  {}", self.prefix())?;
        if self.listen.ip().is_unspecified() {
            write!(f, "  (and port {} of every other address of this machine)", self.listen.port())?;
        }
        writeln!(f)?;
        let width = self.upstreams.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (position, (name, url)) in (1..).zip(&self.upstreams) {
            let label = if position == 1 { "Upstreams" } else { "" };
            writeln!(f, "  {label:<11}  {position}. {name:<width$}  {url}")?;
        }
        writeln!(f, "  Admin token  {}", AdminTokenLine(self.token.as_ref()))?;
        for (label, value) in &self.details {
            writeln!(f, "  {label:<11}  {value}")?;
        }
        writeln!(f, "  Metrics      http://{}/metrics", reachable(self.admin))?;
        writeln!(f, "  Data         {}", self.data_dir.display())?;
        for warning in &self.warnings {
            writeln!(f, "\nWarning: {warning}.")?;
        }
        if !self.anonymous_pull {
            let host = reachable(self.listen);
            writeln!(f, "\nPulls need a token, because {} is no loopback address. Sign in first:\n", self.listen)?;
            match self.token.as_ref().map(|(_, origin)| origin) {
                Some(Origin::Made(path) | Origin::File(path)) => {
                    let file = shell_word(path);
                    writeln!(f, "  docker login --username admin --password-stdin {host} < {file}")?;
                }
                Some(Origin::Environment { .. }) => {
                    let echo = format!("echo \"${ADMIN_TOKEN_VARIABLE}\"");
                    writeln!(f, "  {echo} | docker login --username admin --password-stdin {host}")?;
                }
                None => writeln!(f, "  docker login --username admin {host}")?,
            }
        }
        writeln!(f, "\nThe first command to try:\n")?;
        // Elsewhere nobody knows what is there.
        let image = if self.has_docker_hub { "library/alpine:3.20" } else { "REPOSITORY:TAG" };
        writeln!(f, "  docker pull {}{image}\n", self.prefix())
    }
}

struct AdminTokenLine<'a>(Option<&'a (Secret, Origin)>);

impl fmt::Display for AdminTokenLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((token, origin)) = self.0 else { return write!(f, "none is set here; the stored one counts") };
        match origin {
            // The one moment at which somebody new is looking; later it would only travel into logs.
            Origin::Made(path) => write!(f, "{}  (kept in {})", token.expose(), path.display()),
            Origin::File(path) => write!(f, "in {}", path.display()),
            Origin::Environment { unused: None } => write!(f, "from {ADMIN_TOKEN_VARIABLE}"),
            Origin::Environment { unused: Some(path) } => {
                write!(f, "from {ADMIN_TOKEN_VARIABLE}; {} is not used", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(origin: Origin) -> Option<(Secret, Origin)> {
        Some((Secret::new("rst_secret"), origin))
    }

    fn banner() -> Banner {
        Banner {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:8081".parse().unwrap(),
            data_dir: "/data".into(),
            registry: RegistryId(1),
            upstreams: vec![
                ("docker-hub".into(), "https://registry-1.docker.io".into()),
                ("quay".into(), "https://quay.io".into()),
            ],
            has_docker_hub: true,
            anonymous_pull: true,
            token: token(Origin::Made("/data/admin-token".into())),
            details: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_first_start() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "\
Roadstead {version} is ready.

  Pull prefix  127.0.0.1:8080/virtual_registries/container/1/
  Upstreams    1. docker-hub  https://registry-1.docker.io
               2. quay        https://quay.io
  Admin token  rst_secret  (kept in /data/admin-token)
  Metrics      http://127.0.0.1:8081/metrics
  Data         /data

The first command to try:

  docker pull 127.0.0.1:8080/virtual_registries/container/1/library/alpine:3.20

"
        );
        assert_eq!(banner().to_string(), expected);
    }

    #[test]
    fn a_later_start_tells_where_the_token_is_and_not_the_token() {
        let origin = |origin| Banner { token: token(origin), ..banner() }.to_string();
        let path = PathBuf::from("/data/admin-token");
        for (shown, part) in [
            (origin(Origin::File(path.clone())), "Admin token  in /data/admin-token\n"),
            (origin(Origin::Environment { unused: None }), "Admin token  from ROADSTEAD_ADMIN_TOKEN\n"),
            (
                origin(Origin::Environment { unused: Some(path) }),
                "Admin token  from ROADSTEAD_ADMIN_TOKEN; /data/admin-token is not used\n",
            ),
        ] {
            assert!(shown.contains(part), "{shown}");
            assert!(!shown.contains("rst_secret"), "{shown}");
        }
    }

    #[test]
    fn every_address_is_none_that_a_client_could_use() {
        let open = Banner { listen: "0.0.0.0:8080".parse().unwrap(), anonymous_pull: false, ..banner() };
        let shown = open.to_string();
        for part in [
            "Pull prefix  127.0.0.1:8080/virtual_registries/container/1/  (and port 8080 of every other address",
            "Pulls need a token, because 0.0.0.0:8080 is no loopback address.",
            "docker login --username admin --password-stdin 127.0.0.1:8080 < /data/admin-token\n",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
        let shown = Banner { token: token(Origin::Environment { unused: None }), ..open }.to_string();
        let part = "echo \"$ROADSTEAD_ADMIN_TOKEN\" | docker login --username admin --password-stdin 127.0.0.1:8080\n";
        assert!(shown.contains(part), "{shown}");
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
    }

    #[test]
    fn a_gateway_says_what_it_belongs_to_and_that_it_has_no_token_of_its_own() {
        let details = vec![("Nodes", "a.example:7000".to_owned())];
        let shown = Banner { token: None, details, anonymous_pull: false, ..banner() }.to_string();
        let part = "  Admin token  none is set here; the stored one counts\n  Nodes        a.example:7000\n  Metrics";
        assert!(shown.contains(part), "{shown}");
        assert!(shown.contains("\n  docker login --username admin 127.0.0.1:8080\n"), "{shown}");
    }

    #[test]
    fn warnings_are_lines_of_their_own() {
        let shown = Banner { warnings: vec!["mind the gap".into()], ..banner() }.to_string();
        assert!(shown.contains("\nWarning: mind the gap.\n"), "{shown}");
    }

    #[test]
    fn without_docker_hub_nobody_knows_what_there_is_to_pull() {
        let shown = Banner { has_docker_hub: false, ..banner() }.to_string();
        assert!(
            shown.contains("docker pull 127.0.0.1:8080/virtual_registries/container/1/REPOSITORY:TAG\n"),
            "{shown}"
        );
    }
}
