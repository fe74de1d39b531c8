//! The addresses that the server listens on.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use grpcio::ServerCredentials;

/// The port of the reference example, and of this server.
const DEFAULT_PORT: u16 = 50051;

/// An address to listen on: `127.0.0.1:50051`, `[::1]:0`, `unix:/run/todo.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Why the server cannot listen on an address.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("invalid address {0:?}: use IP:PORT, such as 127.0.0.1:50051, or unix:PATH")]
    Address(String),
    #[error(
        "invalid address {0:?}: the transport would decode the % in its path; give another path"
    )]
    Percent(String),
    #[error("--listen {0} was given twice: give each address once")]
    Twice(ListenAddress),
    // Not named `source`: a caller that prints the chain of causes would print it twice.
    #[error(
        "cannot listen on {address}: {reason}; {}, or give another --listen",
        advice(address, reason)
    )]
    Bind { address: ListenAddress, reason: io::Error },
    #[error("cannot listen on {0}: the transport does not report why; give another --listen")]
    Unbound(ListenAddress),
    #[error("cannot listen on unix:{}: something answers there; stop it, or give another --listen", .0.display())]
    SocketInUse(PathBuf),
    #[error("cannot listen on unix:{}: the file is not a socket; move it away, or give another --listen", .0.display())]
    NotASocket(PathBuf),
    #[error(
        "cannot listen on unix:{}: cannot find out whether the socket is in use ({reason}); move it away, or give another --listen",
        path.display()
    )]
    SocketUnclear { path: PathBuf, reason: io::Error },
}

/// What to do after an address could not be bound.
fn advice(address: &ListenAddress, reason: &io::Error) -> String {
    use io::ErrorKind;
    match (address, reason.kind()) {
        (ListenAddress::Tcp(_), ErrorKind::AddrInUse) => {
            "stop the program that listens there".to_owned()
        }
        (ListenAddress::Tcp(_), ErrorKind::AddrNotAvailable) => {
            "use an address of this machine".to_owned()
        }
        (ListenAddress::Tcp(_), ErrorKind::PermissionDenied) => "use a port above 1023".to_owned(),
        (ListenAddress::Tcp(_), _) => "check the address".to_owned(),
        (ListenAddress::Unix(_), ErrorKind::InvalidInput) => "use a shorter path".to_owned(),
        (ListenAddress::Unix(path), kind) => {
            let dir = match path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir.display().to_string(),
                _ => ".".to_owned(),
            };
            match kind {
                ErrorKind::NotFound => format!("create the directory {dir}"),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    format!("make the directory {dir} writable")
                }
                _ => format!("check the directory {dir}"),
            }
        }
    }
}

impl ListenAddress {
    /// Loopback only: 127.0.0.1, and ::1 if the machine has an IPv6 loopback.
    pub fn defaults() -> Vec<ListenAddress> {
        let v4 = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, DEFAULT_PORT));
        let has_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        [v4].into_iter().chain(has_v6.then_some(v6)).map(ListenAddress::Tcp).collect()
    }

    /// Checks whether each address can be bound. The C core does not report why it failed to
    /// bind, and it would take over the path of a socket that is in use, even its own.
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

    fn probe(&self) -> Result<(), ListenError> {
        match self {
            ListenAddress::Tcp(address) => match TcpListener::bind(address) {
                Ok(_) => Ok(()),
                Err(reason) => Err(self.not_bound(reason)),
            },
            ListenAddress::Unix(path) => self.probe_socket(path),
        }
    }

    fn probe_socket(&self, path: &Path) -> Result<(), ListenError> {
        match path.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                Err(ListenError::NotASocket(path.to_owned()))
            }
            Ok(_) => match UnixStream::connect(path) {
                Ok(_) => Err(ListenError::SocketInUse(path.to_owned())),
                // A server that was killed left it behind.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(|reason| self.not_bound(reason))
                }
                // A socket of another kind, or one that this user may not connect to.
                Err(reason) => Err(ListenError::SocketUnclear { path: path.to_owned(), reason }),
            },
            // The same call that the C core will make, but this one reports the reason.
            Err(e) if e.kind() == io::ErrorKind::NotFound => PrivateDirectory::beside(path)
                .and_then(|private| UnixListener::bind(private.socket()))
                .map(drop)
                .map_err(|reason| self.not_bound(reason)),
            Err(reason) => Err(self.not_bound(reason)),
        }
    }

    /// Binds the address. Returns it with a port 0 replaced with the port that was assigned, and
    /// adds to `sockets` the unix socket that was made.
    pub(super) fn bind(
        &self,
        server: &mut grpcio::Server,
        sockets: &mut Vec<Socket>,
    ) -> Result<ListenAddress, ListenError> {
        let mut add_port = |address: &ListenAddress| {
            let credentials = ServerCredentials::insecure();
            let bound = server.add_listening_port(address.to_string(), credentials);
            bound.map_err(|_| ListenError::Unbound(self.clone()))
        };
        match self {
            ListenAddress::Tcp(tcp) => {
                Ok(ListenAddress::Tcp(SocketAddr::new(tcp.ip(), add_port(self)?)))
            }
            ListenAddress::Unix(path) => {
                let not_bound = |reason| self.not_bound(reason);
                let private = PrivateDirectory::beside(path).map_err(not_bound)?;
                add_port(&ListenAddress::Unix(private.socket()))?;
                sockets.push(Socket::publish(&private, path).map_err(not_bound)?);
                Ok(self.clone())
            }
        }
    }

    fn not_bound(&self, reason: io::Error) -> ListenError {
        ListenError::Bind { address: self.clone(), reason }
    }
}

/// A directory in which a unix socket is made, and which it then leaves under its final name.
///
/// Nobody else can enter the directory, so nobody can connect before the socket has its mode,
/// whatever the umask is. It also gives the C core a path of its own: when the core closes a
/// socket, it removes whatever socket has the path that it bound, a new server's, too.
///
/// Dropping it removes the directory.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn beside(path: &Path) -> io::Result<PrivateDirectory> {
        // Short: the path of a socket has at most 107 bytes.
        let private =
            PrivateDirectory(path.with_file_name(format!(".todod-{}", std::process::id())));
        // A server with the same process id may have left one behind.
        private.remove();
        DirBuilder::new().mode(0o700).create(&private.0)?;
        Ok(private)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn remove(&self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A unix socket that this server made.
pub(super) struct Socket {
    path: PathBuf,
    /// Device and inode identify the socket: by now the path may lead to another one.
    device: u64,
    inode: u64,
}

impl Socket {
    /// Moves the socket to its path. Only its owner may connect.
    fn publish(private: &PrivateDirectory, path: &Path) -> io::Result<Socket> {
        let socket = private.socket();
        fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
        let found = socket.symlink_metadata()?;
        fs::rename(&socket, path)?;
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

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<ListenAddress, ListenError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(ListenError::Address(text.to_owned())),
                // The C core would bind the decoded path, which nobody has probed.
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
    use std::os::unix::net::UnixDatagram;
    use std::sync::Arc;

    use grpcio::Environment;
    use rustix::fs::Mode;

    fn parse(text: &str) -> ListenAddress {
        text.parse().expect(text)
    }

    #[test]
    fn addresses_are_parsed() {
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
            assert!(refused.contains("the % in its path"), "{refused}");
        }
    }

    #[test]
    fn the_defaults_are_loopback_addresses() {
        let defaults = ListenAddress::defaults();
        assert_eq!(defaults[0], parse("127.0.0.1:50051"));
        let v6 = TcpListener::bind("[::1]:0").is_ok().then(|| parse("[::1]:50051"));
        assert_eq!(defaults[1..], *v6.as_slice());
    }

    #[test]
    fn an_address_is_given_once_and_port_0_any_number_of_times() {
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
    fn only_a_socket_that_is_not_in_use_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let unix = ListenAddress::Unix(path.clone());
        let listener = UnixListener::bind(&path).unwrap();
        let refused = unix.probe().unwrap_err();
        assert!(matches!(refused, ListenError::SocketInUse(_)), "{refused}");
        drop(listener);
        unix.probe().unwrap();
        assert!(!path.exists(), "a socket that was left behind is removed");

        let datagrams = UnixDatagram::bind(&path).unwrap();
        let refused = unix.probe().unwrap_err();
        assert!(matches!(refused, ListenError::SocketUnclear { .. }), "{refused}");
        assert!(path.exists(), "it is in use");
        drop(datagrams);
    }

    #[test]
    fn advice_fits_the_reason() {
        let said = |address: &str| {
            address.parse::<ListenAddress>().unwrap().probe().unwrap_err().to_string()
        };
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let long = format!("unix:{}/s", deep.display());
        for (address, advice) in [
            (&*address, "; stop the program that listens there, or give another --listen"),
            ("192.0.2.1:0", "; use an address of this machine, or give another --listen"),
            (
                "unix:/nonexistent/x",
                "; create the directory /nonexistent, or give another --listen",
            ),
            (&*long, "; use a shorter path, or give another --listen"),
        ] {
            assert!(said(address).ends_with(advice), "{}", said(address));
        }
    }

    #[test]
    fn the_reason_is_printed_once() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = ListenAddress::Tcp(taken.local_addr().unwrap());
        let said = format!("{:#}", anyhow::Error::new(address.probe().unwrap_err()));
        assert_eq!(said.matches("in use").count(), 1, "{said}");
    }

    #[test]
    fn nobody_else_can_connect_while_a_socket_is_made_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        // Of the whole process, which runs this test only.
        rustix::process::umask(Mode::empty());
        let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
        let private = PrivateDirectory::beside(&path).unwrap();
        assert_eq!(mode(private.socket().parent().unwrap()), 0o700);
        drop(private);

        let unix = ListenAddress::Unix(path.clone());
        ListenAddress::check_all(std::slice::from_ref(&unix)).unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "the probe leaves nothing behind");
        let env = Arc::new(Environment::new(1));
        let mut server = crate::server::server_builder(&env).build().unwrap();
        let mut sockets = Vec::new();
        unix.bind(&mut server, &mut sockets).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "the private directory is gone");
        drop(server);
        assert!(path.exists(), "the core does not remove it");
        sockets[0].remove();
        assert!(!path.exists());
    }
}
