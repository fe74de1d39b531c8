use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use grpcio::ServerCredentials;
use rustix::fs::Mode;

/// The port of the seed, and ours.
const DEFAULT_PORT: u16 = 50051;

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
    #[error("{0:?} has a % in its path, which the transport would decode: give another path")]
    Percent(String),
    #[error("--listen {0} is there twice: give each address once")]
    Twice(ListenAddress),
    // Not named `source`: whoever prints the chain of causes would print it twice.
    #[error(
        "cannot listen on {address}: {reason}; if something listens there stop it, or give another --listen"
    )]
    Bind { address: ListenAddress, reason: io::Error },
    #[error("cannot listen on {0}: the transport does not report why; give another --listen")]
    Unbound(ListenAddress),
    #[error("cannot listen on unix:{}: something answers there; stop it, or give another --listen", .0.display())]
    SocketInUse(PathBuf),
    #[error("cannot listen on unix:{}: there is a file that is no socket; move it away, or give another --listen", .0.display())]
    NotASocket(PathBuf),
    #[error(
        "cannot listen on unix:{}: there is a socket, and whether it is in use cannot be found out ({reason}); move it away, or give another --listen",
        path.display()
    )]
    SocketUnclear { path: PathBuf, reason: io::Error },
}

impl ListenAddress {
    /// Loopback only: 127.0.0.1, and ::1 where there is an IPv6 loopback.
    pub fn defaults() -> Vec<ListenAddress> {
        let v4 = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_PORT));
        let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        [v4].into_iter().chain(has_v6.then_some(v6)).map(ListenAddress::Tcp).collect()
    }

    /// Finds out whether binding all of them will work: the C core does not say why it
    /// failed, and would take a socket path away from whoever listens on it, even if
    /// that is itself.
    pub fn check_all(addresses: &[ListenAddress]) -> Result<(), ListenError> {
        for (at, address) in addresses.iter().enumerate() {
            if addresses[..at].iter().any(|before| before.same(address)) {
                return Err(ListenError::Twice(address.clone()));
            }
        }
        addresses.iter().try_for_each(ListenAddress::probe)
    }

    /// Port 0 is another port each time.
    fn same(&self, other: &ListenAddress) -> bool {
        match (self, other) {
            (ListenAddress::Tcp(one), ListenAddress::Tcp(two)) => one == two && one.port() != 0,
            (ListenAddress::Unix(one), ListenAddress::Unix(two)) => {
                one == two || std::path::absolute(one).ok() == std::path::absolute(two).ok()
            }
            (ListenAddress::Tcp(_), ListenAddress::Unix(_))
            | (ListenAddress::Unix(_), ListenAddress::Tcp(_)) => false,
        }
    }

    /// Binds the address. Returns it with a port 0 replaced by the port that was assigned, and
    /// adds to `sockets` the unix socket that was made.
    pub(super) fn bind(
        &self,
        server: &mut grpcio::Server,
        sockets: &mut Vec<Socket>,
    ) -> Result<ListenAddress, ListenError> {
        let credentials = ServerCredentials::insecure();
        let unbound = |_| ListenError::Unbound(self.clone());
        match self {
            ListenAddress::Tcp(tcp) => {
                let port =
                    server.add_listening_port(self.to_string(), credentials).map_err(unbound)?;
                Ok(ListenAddress::Tcp(SocketAddr::new(tcp.ip(), port)))
            }
            ListenAddress::Unix(path) => {
                // When it closes, the C core removes whatever socket has the name that it
                // bound, a new server's, too. So it gets a name that nobody else uses.
                let own_name = own_name(path);
                let target = ListenAddress::Unix(own_name.clone()).to_string();
                // For its owner only, from the moment the socket is there.
                let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
                let bound = server.add_listening_port(target, credentials);
                rustix::process::umask(umask);
                bound.map_err(unbound)?;
                let socket = Socket::place(&own_name, path)
                    .map_err(|reason| ListenError::Bind { address: self.clone(), reason })?;
                sockets.push(socket);
                Ok(self.clone())
            }
        }
    }

    fn probe(&self) -> Result<(), ListenError> {
        match self {
            ListenAddress::Tcp(address) => match TcpListener::bind(address) {
                Ok(_) => Ok(()),
                Err(reason) => Err(ListenError::Bind { address: self.clone(), reason }),
            },
            ListenAddress::Unix(path) => probe_socket(path),
        }
    }
}

/// A unix socket that this server made.
pub(super) struct Socket {
    path: PathBuf,
    /// Identify the socket: by now the path may lead to another one.
    device: u64,
    inode: u64,
}

impl Socket {
    /// Gives a socket its final name.
    fn place(socket: &Path, path: &Path) -> io::Result<Socket> {
        let found = socket.symlink_metadata()?;
        fs::rename(socket, path)?;
        Ok(Socket { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Removes the socket, unless the path leads to another one by now: a new server's.
    pub(super) fn remove(&self) {
        let Ok(found) = self.path.symlink_metadata() else { return };
        if (found.dev(), found.ino()) != (self.device, self.inode) {
            return;
        }
        if let Err(e) = fs::remove_file(&self.path) {
            log::warn!("cannot remove {}: {e}", self.path.display());
        }
    }
}

/// A name beside the path that only this process uses.
fn own_name(path: &Path) -> PathBuf {
    format!("{}.{}", path.display(), std::process::id()).into()
}

fn probe_socket(path: &Path) -> Result<(), ListenError> {
    let refused = |reason| ListenError::Bind { address: ListenAddress::Unix(path.into()), reason };
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => {
            Err(ListenError::NotASocket(path.to_owned()))
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => Err(ListenError::SocketInUse(path.to_owned())),
            // Left behind by a server that was killed.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(refused)
            }
            // A socket of another kind, or one we may not ask: somebody may live there.
            Err(reason) => Err(ListenError::SocketUnclear { path: path.to_owned(), reason }),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // The same call that the C core will make, which does say why.
            let own_name = own_name(path);
            let _ = fs::remove_file(&own_name);
            std::os::unix::net::UnixListener::bind(&own_name).map_err(refused)?;
            fs::remove_file(&own_name).map_err(refused)
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
                // The C core would bind the path that it decodes to, unprobed.
                path if path.contains('%') => Err(ListenError::Percent(text.to_owned())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    fn parse(text: &str) -> ListenAddress {
        text.parse().expect(text)
    }

    #[test]
    fn what_an_address_may_be() {
        for (text, shown) in [
            ("127.0.0.1:50051", "127.0.0.1:50051"),
            ("0.0.0.0:0", "0.0.0.0:0"),
            ("[::1]:50051", "[::1]:50051"),
            ("[0:0::1]:1", "[::1]:1"),
            ("unix:/run/todo.sock", "unix:/run/todo.sock"),
            ("unix:todo sock", "unix:todo sock"),
        ] {
            assert_eq!(parse(text).to_string(), shown);
        }
        for text in ["", "50051", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "::1:x", "unix:"] {
            let refused = text.parse::<ListenAddress>().unwrap_err();
            assert!(matches!(refused, ListenError::Address(_)), "{text:?}: {refused}");
        }
        for text in ["unix:/run/todo%2Esock", "unix:100%"] {
            let refused = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(refused.contains("has a % in its path"), "{refused}");
        }
    }

    #[test]
    fn the_defaults_are_on_the_loopback_interface_only() {
        let defaults = ListenAddress::defaults();
        assert_eq!(defaults[0], parse("127.0.0.1:50051"));
        let v6 = TcpListener::bind("[::1]:0").is_ok().then(|| parse("[::1]:50051"));
        assert_eq!(defaults[1..], *v6.as_slice());
    }

    #[test]
    fn an_address_is_given_once_and_port_0_as_often_as_one_likes() {
        let dir = tempfile::tempdir().unwrap();
        let unix = format!("unix:{}", dir.path().join("s").display());
        let dotted = format!("unix:{}", dir.path().join("./s").display());
        for (one, two) in [("127.0.0.1:50051", "127.0.0.1:50051"), (&unix, &unix), (&unix, &dotted)]
        {
            let refused = ListenAddress::check_all(&[parse(one), parse(two)]).unwrap_err();
            assert!(matches!(refused, ListenError::Twice(_)), "{one} and {two}: {refused}");
        }
        let any_port = parse("127.0.0.1:0");
        ListenAddress::check_all(&[any_port.clone(), any_port, parse(&unix)]).unwrap();
    }

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let unix = ListenAddress::Unix(path.clone());
        let listener = UnixListener::bind(&path).unwrap();
        let refused = unix.probe().unwrap_err();
        assert!(matches!(refused, ListenError::SocketInUse(_)), "{refused}");
        drop(listener);
        unix.probe().unwrap();
        assert!(!path.exists(), "what was left behind is gone");

        let datagrams = UnixDatagram::bind(&path).unwrap();
        let refused = unix.probe().unwrap_err();
        assert!(matches!(refused, ListenError::SocketUnclear { .. }), "{refused}");
        assert!(path.exists(), "it is in use");
        drop(datagrams);
    }

    #[test]
    fn the_reason_is_said_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(taken.local_addr().unwrap());
        let said = format!("{:#}", anyhow::Error::new(address.probe().unwrap_err()));
        assert_eq!(said.matches("in use").count(), 1, "{said}");
    }
}
