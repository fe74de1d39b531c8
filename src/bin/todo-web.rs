//! `todo-web`: parses the command line, runs the server until a signal, exits.

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use todo::cli::program;
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
    let args: Args = match program::parse() {
        Ok(args) => args,
        Err(exit_code) => return exit_code,
    };
    // The gRPC core logs warnings and errors only.
    program::start_log("warn,todo=info,todo_web=info");
    grpcio::redirect_log();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => program::fail("todo-web", format_args!("{error:#}")),
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
    let addresses = browser_addresses(listening);
    for address in &addresses {
        // A closed stdout does not keep the server from working.
        let _ = writeln!(stdout, "listening on http://{address}");
    }
    let _ = stdout.flush();
    if addresses != [listening] {
        log::info!(
            "other machines may use any address of this machine; for a host name give --allow-host NAME"
        );
    }
}

/// Returns the address itself, or, for `0.0.0.0` and `[::]`, which the access guard refuses,
/// loopback and the machine's own address in its network, if there is one.
fn browser_addresses(listening: SocketAddr) -> Vec<SocketAddr> {
    let ip = listening.ip().to_canonical();
    if !ip.is_unspecified() {
        return vec![listening];
    }
    let (loopback, documentation) = match ip {
        IpAddr::V4(_) => (IpAddr::from(Ipv4Addr::LOCALHOST), "192.0.2.1:9"),
        IpAddr::V6(_) => (IpAddr::from(Ipv6Addr::LOCALHOST), "[2001:db8::1]:9"),
    };
    // Connecting a UDP socket sends nothing, but it selects the address to send from.
    let own = UdpSocket::bind((ip, 0)).and_then(|socket| {
        socket.connect(documentation)?;
        socket.local_addr()
    });
    let own = own.ok().map(|own| own.ip()).filter(|own| *own != loopback);
    [Some(loopback), own].into_iter().flatten().map(|ip| (ip, listening.port()).into()).collect()
}
