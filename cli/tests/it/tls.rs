//! `roadstead tls`: what it writes, what it refuses, and that its certificates do what they are for.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use roadstead_proto::domain::secret::Secret;
use roadstead_proto::rpc::{Dialer, Guard, Identity, Role, listen};
use roadstead_proto::wire::pb::raft::v1::raft_client::RaftClient;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Status};

use crate::process::{command, refused};

/// A folder with an authority.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        said(directory.path(), &["tls", "init"]);
        Self(directory)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("roadstead-tls").join(name)
    }

    /// The three files of a certificate, which is made where it is not there; as arguments.
    pub(crate) fn issue(&self, role: Role, name: &str) -> [String; 6] {
        if !self.file(&format!("{name}.pem")).exists() {
            said(self.0.path(), &["tls", "issue", "--role", role.name(), "--name", name]);
        }
        let path = |file: &str| self.file(file).display().to_string();
        let (ca, cert, key) = (path("ca.pem"), path(&format!("{name}.pem")), path(&format!("{name}.key")));
        ["--tls-ca".into(), ca, "--tls-cert".into(), cert, "--tls-key".into(), key]
    }

    fn identity(&self, role: Role) -> Identity {
        let [_, ca, _, cert, _, key] = self.issue(role, role.name());
        let read = |path| std::fs::read_to_string(path).unwrap();
        Identity { authority: read(ca), certificate: read(cert), key: Secret::new(read(key)) }
    }
}

/// What a command prints that succeeds.
fn said(directory: &Path, args: &[&str]) -> String {
    let output = command(directory, args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    said
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_is_made_once_and_its_key_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let told = said(directory.path(), &["tls", "init", "--dir", "ca"]);
    for part in ["ca/ca.pem", "ca/ca.key", "roadstead tls issue --dir ca --role node --name node-1"] {
        assert!(told.contains(part), "{told}");
    }
    let (certificate, key) = (directory.path().join("ca/ca.pem"), directory.path().join("ca/ca.key"));
    assert_eq!((mode(&certificate), mode(&key), mode(&directory.path().join("ca"))), (0o644, 0o600, 0o700));

    let before = std::fs::read(&key).unwrap();
    for lost in [None, Some(&certificate)] {
        lost.into_iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let (code, told) = refused(command(directory.path(), &["tls", "init", "--dir", "ca"]));
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("ca/ca.key is there already, and is not overwritten"), "{told}");
    }
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn a_certificate_is_made_once_and_says_what_to_do_with_it() {
    let authority = Authority::new();
    let directory = authority.0.path();
    let told = said(directory, &["tls", "issue", "--role", "gateway", "--name", "gw-a", "--valid", "30d"]);
    assert!(told.contains("roadstead gateway --tls-ca ./roadstead-tls/ca.pem"), "{told}");
    assert_eq!((mode(&authority.file("gw-a.pem")), mode(&authority.file("gw-a.key"))), (0o644, 0o600));
    let told = said(directory, &["tls", "issue", "--role", "admin"]);
    assert!(told.contains("export ROADSTEAD_TLS_CA=./roadstead-tls/ca.pem"), "{told}");

    for (args, code, part) in [
        (&["--role", "gateway", "--name", "gw-a"][..], 1, "gw-a.key is there already"),
        (
            &["--role", "node", "--dir", "elsewhere"],
            1,
            "there is no authority in elsewhere: elsewhere/ca.pem is missing",
        ),
        (&["--role", "captain"], 64, "`captain` is no role; it is node, gateway or admin"),
        (&["--role", "node", "--name", "../node"], 64, "--name `../node` cannot be used"),
        (&["--role", "node", "--name", "ca"], 64, "--name `ca` cannot be used"),
        (&["--role", "node", "--valid", "1s"], 64, "--valid is 1s"),
        (&["--role", "node", "--valid", "36501d"], 64, "--valid is 876024h"),
    ] {
        let mut command = command(directory, &["tls", "issue"]);
        command.args(args);
        let (ended, told) = refused(command);
        assert_eq!(ended, Some(code), "{args:?}: {told}");
        assert!(told.contains(part), "{args:?}: {told}");
    }
}

#[test]
fn a_key_without_its_own_certificate_signs_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    std::fs::copy(other.file("ca.pem"), authority.file("ca.pem")).unwrap();
    let (code, told) = refused(command(authority.0.path(), &["tls", "issue", "--role", "node"]));
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("the two files belong to different authorities"), "{told}");
    assert!(!authority.file("node.pem").exists() && !authority.file("node.key").exists());
}

/// Answers every call of the raft service with whether its caller is one of a node.
#[derive(Clone)]
struct Doorman(Guard);

impl NamedService for Doorman {
    const NAME: &'static str = "roadstead.raft.v1.Raft";
}

impl Service<http::Request<Body>> for Doorman {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (head, _) = request.into_parts();
        let request = Request::from_parts(tonic::metadata::MetadataMap::new(), head.extensions, ());
        let status = match self.0.admit(&request, &[Role::Node]) {
            Ok(()) => Status::already_exists("welcome"),
            Err(status) => status,
        };
        std::future::ready(Ok(status.into_http()))
    }
}

/// A server with this identity that lets nodes in.
async fn door(identity: Identity) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = listen::server(Some(&identity)).unwrap();
    let router = server.add_service(Doorman(Guard::of(Some(&identity))));
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    address
}

/// What somebody with this identity hears there, where he expects `role`.
async fn knock(address: SocketAddr, identity: Identity, role: Role) -> Code {
    let channel = Dialer::new(Some(identity)).channel(&address.to_string(), role).unwrap();
    RaftClient::new(channel).vote(roadstead_proto::wire::pb::raft::v1::VoteRequest::default()).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_prove_their_role_and_nothing_else() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = authority.identity(Role::Node);
    let address = door(node.clone()).await;
    assert_eq!(knock(address, node.clone(), Role::Node).await, Code::AlreadyExists);
    for stranger in [Role::Gateway, Role::Admin] {
        assert_eq!(
            knock(address, authority.identity(stranger), Role::Node).await,
            Code::PermissionDenied,
            "{stranger}"
        );
    }
    assert_eq!(knock(address, node, Role::Gateway).await, Code::Unavailable, "a node is no gateway");
    assert_eq!(knock(address, other.identity(Role::Node), Role::Node).await, Code::Unavailable, "another authority's");
}
