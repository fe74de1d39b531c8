//! The page's server: parse, wire, exit.

use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use todo::cli::program;
use todo::client::DEFAULT_SERVER;
use todo::web::{Config, HostName, Limits, Web};

/// The shared task list as a web page, and as JSON over HTTP.
#[derive(Parser)]
#[command(name = "todo-web", version)]
struct Args {
    /// Where to listen: IP:PORT; port 0 picks one
    #[arg(long, value_name = "ADDR", env = "TODO_WEB_LISTEN", default_value = "127.0.0.1:8080")]
    #[arg(value_parser = listen)]
    listen: SocketAddr,
    /// Where todod is: HOST:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", env = "TODO_SERVER", default_value = DEFAULT_SERVER)]
    #[arg(value_parser = todo::cli::server)]
    server: String,
    /// A host name under which browsers may ask for the list, beside localhost and the
    /// address itself; may be repeated
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

fn announce(address: SocketAddr) {
    let mut stdout = std::io::stdout().lock();
    // Whoever closed our stdout does not wait for this.
    let _ = writeln!(stdout, "listening on http://{address}");
    let _ = stdout.flush();
}
