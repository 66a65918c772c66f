//! The listeners, bound before any state is touched: a process that cannot be reached must not change anything.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::settings::Settings;

/// The listeners of a process that serves pulls, and where they really are.
pub(crate) struct Listeners {
    /// Where clients pull.
    pub(crate) pulls: TcpListener,
    /// Its address; a port 0 has become a real one.
    pub(crate) pulls_at: SocketAddr,
    /// Where metrics and health are.
    pub(crate) admin: TcpListener,
    /// Its address.
    pub(crate) admin_at: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", reason(source, flag))]
pub(crate) struct ListenError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

impl Listeners {
    /// Binds both.
    pub(crate) async fn bind(settings: &Settings) -> Result<Self, ListenError> {
        let (pulls, pulls_at) = bind(settings.listen, "--listen").await?;
        let (admin, admin_at) = bind(settings.admin_listen, "--admin-listen").await?;
        Ok(Self { pulls, pulls_at, admin, admin_at })
    }
}

/// Binds one, of which `flag` says where; and where it really is.
pub(crate) async fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let at = listener.local_addr()?;
        Ok((listener, at))
    };
    bound.await.map_err(|source| ListenError { address, flag, source })
}

fn reason(source: &io::Error, flag: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process listens there ({source}); stop it, or choose another address with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address ({source}); choose another one with {flag}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not ({source}); choose a port above 1023 with {flag}")
        }
        _ => format!("{source}; choose another address with {flag}"),
    }
}
