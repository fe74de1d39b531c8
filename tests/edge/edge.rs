//! An edge in this process, before a server of its own.

use std::net::SocketAddr;

use todo::web::{Config, Limits, Web};

use crate::harness::TestServer;

pub struct Edge {
    web: Option<Web>,
    pub address: SocketAddr,
}

impl Edge {
    /// Before whatever is, or is not, at `server`.
    pub fn before(server: &str, limits: Limits) -> Edge {
        let config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            server: server.to_owned(),
            allowed_hosts: vec!["list.example.org".parse().unwrap()],
            limits,
        };
        let web = Web::start(config).unwrap();
        let address = web.address();
        Edge { web: Some(web), address }
    }

    pub fn stop(mut self) {
        self.web.take().unwrap().shutdown();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        if let Some(web) = self.web.take() {
            web.shutdown();
        }
    }
}

pub fn start() -> (TestServer, Edge) {
    start_with(Limits::default())
}

pub fn start_with(limits: Limits) -> (TestServer, Edge) {
    let server = TestServer::start();
    let edge = Edge::before(&server.address, limits);
    (server, edge)
}
