//! `todo-web` in this process, as a client of a server of its own.

use std::net::SocketAddr;

use todo::web::{Config, Limits, Web};

use crate::harness::TestServer;

pub struct App {
    web: Option<Web>,
    pub address: SocketAddr,
}

impl App {
    /// Serves the list of the server at this address, which need not exist.
    pub fn serving(server: &str, limits: Limits) -> App {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            server: server.to_owned(),
            allowed_hosts: vec!["list.example.org".parse().unwrap()],
            limits,
        };
        let web = Web::start(config).unwrap();
        let address = web.address();
        App { web: Some(web), address }
    }

    pub fn stop(mut self) {
        self.web.take().unwrap().shutdown();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(web) = self.web.take() {
            web.shutdown();
        }
    }
}

pub fn start() -> (TestServer, App) {
    start_with(Limits::default())
}

pub fn start_with(limits: Limits) -> (TestServer, App) {
    let server = TestServer::start();
    let app = App::serving(&server.address, limits);
    (server, app)
}
