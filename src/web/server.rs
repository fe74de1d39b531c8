use std::future::Future;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::access_guard::{self, AccessGuard, HostName, LocalAddress};
use super::app_state::{AppState, Limits};
use super::connection::Connection;
use super::error::Error;
use super::{connect, events, page};
use crate::client::{CallError, Code};
use crate::limits::{
    SHUTDOWN_END, SHUTDOWN_GRACE, WEB_ACCEPT_RETRY, WEB_HEADER_BYTES_MAX, WEB_HEADERS_MAX,
};
use crate::os::raise_open_files;
use crate::wire::methods;

/// What to serve, and where.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// Where `todod` is: `HOST:PORT` or `unix:PATH`.
    pub server: String,
    /// Host names that browsers may use, in addition to loopback names and the address at
    /// which they reached the server.
    pub allowed_hosts: Vec<HostName>,
    pub limits: Limits,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    // Not named `source`, which a printed chain of causes would repeat.
    #[error("cannot listen on {address}: {reason}; {}give another --listen", advice(reason))]
    Bind { address: SocketAddr, reason: io::Error },
    #[error("cannot start the threads: {0}")]
    Runtime(io::Error),
    #[error(transparent)]
    Client(#[from] CallError),
}

/// What to do after an address could not be bound, before the words "give another --listen".
fn advice(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::AddrInUse => "stop the program that listens there, or ",
        io::ErrorKind::AddrNotAvailable => "use an address of this machine: ",
        io::ErrorKind::PermissionDenied => "use a port above 1023: ",
        _ => "",
    }
}

/// A running server, on threads of its own.
pub struct Web {
    runtime: Runtime,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Web {
    /// Listens and serves. `todod` need not be reachable yet.
    pub fn start(config: Config) -> Result<Web, StartError> {
        let refused = |reason| StartError::Bind { address: config.listen, reason };
        let listener = TcpListener::bind(config.listen).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (stop, stopping) = watch::channel(false);
        let mut limits = config.limits;
        limits.connections_max = limits.connections_max.min(raise_open_files());
        let app = Arc::new(AppState::new(&config.server, limits, stopping.clone())?);
        let router = router(app.clone(), AccessGuard { allowed: config.allowed_hosts });
        let runtime = Runtime::new().map_err(StartError::Runtime)?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(refused)?
        };
        let serving = runtime.spawn(serve(listener, router, app.limits.clone(), stopping));
        Ok(Web { runtime, address, stop, serving })
    }

    /// The address that the server listens on, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shuts down cleanly: accepts nothing new, ends streams, and gives calls some time.
    pub fn shutdown(self) {
        let _ = self.stop.send(true);
        let _ = self.runtime.block_on(self.serving);
        self.runtime.shutdown_timeout(SHUTDOWN_END);
    }
}

fn router(app: Arc<AppState>, guard: AccessGuard) -> Router {
    Router::new()
        .route(&format!("/{}/{{method}}", methods::SERVICE), post(connect::call))
        .route(events::PATH, get(events::events))
        .method_not_allowed_fallback(wrong_method)
        .fallback(page::file)
        .layer(from_fn_with_state(Arc::new(guard), access_guard::check))
        .with_state(app)
}

async fn wrong_method() -> Error {
    let why = "use GET for the events, and POST for the methods of the service";
    Error::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, why)
}

/// Accepts connections until the server stops, then waits for requests under way, up to the
/// shutdown grace.
async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let free = Arc::new(Semaphore::new(limits.connections_max));
    let open = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.changed() => break,
        };
        match accepted {
            Ok((stream, _)) => match free.clone().try_acquire_owned() {
                Ok(permit) => {
                    let one =
                        serve_connection(stream, router.clone(), &limits, open.watcher(), permit);
                    tokio::spawn(one);
                }
                Err(_) => turn_away(stream),
            },
            Err(e) => {
                // Out of open files, or the client has closed the connection already.
                log::warn!("cannot accept a connection: {e}");
                sleep(WEB_ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(SHUTDOWN_GRACE, open.shutdown()).await;
}

/// Answers 503, if the socket takes it without waiting.
fn turn_away(stream: TcpStream) {
    let answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n\
          X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n\
          too many connections: try again later\n";
    let _ = stream.into_std().and_then(|mut stream| stream.write(answer));
}

/// Serves one connection to its end.
fn serve_connection(
    stream: TcpStream,
    router: Router,
    limits: &Limits,
    watcher: Watcher,
    permit: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + use<> {
    let limits = limits.clone();
    async move {
        let Ok(local) = stream.local_addr() else { return };
        let Ok(stream) = Connection::new(stream, limits.stall_timeout) else { return };
        let local = LocalAddress(local.ip());
        let routes = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(local);
            routes.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(WEB_HEADER_BYTES_MAX)
            .max_headers(WEB_HEADERS_MAX)
            .max_buf_size(WEB_HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        // The browser has caused the error, or sees it as well.
        let _: Result<(), hyper::Error> = watcher.watch(connection).await;
        drop(permit);
    }
}
