//! `todo-web`: parses the command line, runs the server until a signal, exits.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use todo::client::DEFAULT_SERVER;
use todo::web::{Config, HostName, Limits, Web};

/// Serves the shared task list as a web page, and as JSON over HTTP.
#[derive(Parser)]
#[command(name = "todo-web", version)]
struct Args {
    /// The address to listen on: IP:PORT; port 0 picks a free one, 0.0.0.0 and [::] are all
    /// addresses of this machine
    #[arg(long, value_name = "ADDR", env = "TODO_WEB_LISTEN", default_value = "127.0.0.1:8080")]
    #[arg(value_parser = listen)]
    listen: SocketAddr,
    /// The address of todod: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", env = "TODO_SERVER", default_value = DEFAULT_SERVER)]
    #[arg(value_parser = todo::cli::server)]
    server: String,
    /// A host name that browsers may use, in addition to localhost and this machine's
    /// addresses; may be repeated
    #[arg(long, value_name = "NAME", env = "TODO_WEB_ALLOW_HOST", value_delimiter = ',')]
    allow_host: Vec<HostName>,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    let resolved = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    resolved.ok_or_else(|| "use IP:PORT, such as 127.0.0.1:8080".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    // The gRPC core logs at info level what concerns nobody.
    let ours = env_logger::Env::default().default_filter_or("warn,todo=info,todo_web=info");
    env_logger::Builder::from_env(ours).init();
    grpcio::redirect_log();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not through the log, which RUST_LOG may silence. Not `eprintln!`, which
            // panics if stderr is full or closed.
            let _ = writeln!(io::stderr(), "todo-web: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGTERM or SIGINT.
fn run(args: Args) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot handle signals")?;
    let web = Web::start(Config {
        listen: args.listen,
        server: args.server,
        allowed_hosts: args.allow_host,
        limits: Limits::default(),
    })?;
    announce(web.address());
    signals.forever().next();
    log::info!("stopping");
    web.shutdown();
    Ok(())
}

/// Prints each address that works in a browser.
fn announce(listening: SocketAddr) {
    let mut stdout = io::stdout().lock();
    for address in browser_addresses(listening) {
        // A closed stdout does not keep the server from working.
        let _ = writeln!(stdout, "listening on http://{address}");
    }
    let _ = stdout.flush();
    if listening.ip().is_unspecified() {
        log::info!(
            "other machines may use any address of this machine; for a host name give --allow-host NAME"
        );
    }
}

/// Returns the address, or, since no browser may use `0.0.0.0` or `[::]`, loopback and the
/// address at which this machine's network reaches it, if there is a network.
fn browser_addresses(listening: SocketAddr) -> Vec<SocketAddr> {
    // Reserved for documentation: the system picks the address that it would send from.
    let (loopback, elsewhere) = match listening {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), "192.0.2.1:9"),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), "[2001:db8::1]:9"),
    };
    if !listening.ip().is_unspecified() {
        return vec![listening];
    }
    // Connecting a UDP socket sends nothing.
    let own = UdpSocket::bind((listening.ip(), 0)).and_then(|socket| {
        socket.connect(elsewhere)?;
        socket.local_addr()
    });
    let own = own.ok().map(|own| own.ip()).filter(|own| *own != loopback);
    [Some(loopback), own].into_iter().flatten().map(|ip| (ip, listening.port()).into()).collect()
}
