use std::fmt;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port of the seed, and ours.
pub const DEFAULT_PORT: u16 = 50051;

/// Where to listen: `127.0.0.1:50051`, `[::1]:0`, `unix:/run/todo.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An address that nothing can listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{0:?} is no address: use IP:PORT, such as 127.0.0.1:50051, or unix:PATH")]
    Address(String),
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or give another --listen"
    )]
    Bind { address: ListenAddress, source: io::Error },
    #[error("cannot listen on unix:{}: something answers there; stop it, or give another --listen", .0.display())]
    SocketInUse(PathBuf),
    #[error("cannot listen on unix:{}: there is a file that is no socket; move it away, or give another --listen", .0.display())]
    NotASocket(PathBuf),
}

impl ListenAddress {
    /// Loopback only: 127.0.0.1, and ::1 where there is an IPv6 loopback.
    pub fn defaults() -> Vec<ListenAddress> {
        let v4 = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_PORT));
        let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        [v4].into_iter().chain(has_v6.then_some(v6)).map(ListenAddress::Tcp).collect()
    }

    /// Finds out whether binding will work: the C core does not say why it failed,
    /// and would take a socket path away from whoever listens on it.
    pub fn probe(&self) -> Result<(), ListenError> {
        match self {
            ListenAddress::Tcp(address) => match TcpListener::bind(address) {
                Ok(_) => Ok(()),
                Err(source) => Err(ListenError::Bind { address: self.clone(), source }),
            },
            ListenAddress::Unix(path) => probe_socket(path),
        }
    }

    /// The name that the C core knows it by.
    pub fn target(&self) -> String {
        self.to_string()
    }
}

fn probe_socket(path: &Path) -> Result<(), ListenError> {
    let refused = |source| ListenError::Bind { address: ListenAddress::Unix(path.into()), source };
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            Err(ListenError::NotASocket(path.to_owned()))
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            Err(ListenError::SocketInUse(path.to_owned()))
        }
        // Left behind by a server that was killed.
        Ok(_) => std::fs::remove_file(path).map_err(refused),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // The same call that the C core will make, which does say why.
            std::os::unix::net::UnixListener::bind(path).map_err(refused)?;
            std::fs::remove_file(path).map_err(refused)
        }
        Err(e) => Err(refused(e)),
    }
}

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<ListenAddress, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(ListenError::Address(text.to_owned())),
                path => Ok(ListenAddress::Unix(path.into())),
            };
        }
        let resolved = text.to_socket_addrs().ok().and_then(|mut found| found.next());
        resolved.map(ListenAddress::Tcp).ok_or_else(|| ListenError::Address(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => write!(f, "{address}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
