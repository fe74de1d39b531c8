use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use serde_json::json;

use super::Session;
use crate::cli::Exit;
use crate::cli::args::PageUrl;
use crate::cli::render::Shown;
use crate::client::{CallError, Code};
use crate::limits::WEB_PROBE_TIMEOUT;

/// Length of the start of an answer that is read: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Opens the page in the browser if a server answers there, and prints its address.
pub(crate) fn run(url: &PageUrl, session: &mut Session<'_>) -> io::Result<Exit> {
    if let Err(why) = probe(url) {
        let why = format!(
            "no page at {}: {why}; start it with `todo-web --listen {}`, or give --url",
            url.text, url.authority
        );
        return Ok(session.out.failed("", &CallError::new(Code::Unavailable, why)));
    }
    match session.out.json {
        true => session.out.line(json!({ "url": url.text }))?,
        false => session.out.line(Shown(&url.text))?,
    }
    session.out.flush()?;
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // Without a desktop a text browser would take the terminal.
    if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") {
        // If there is no browser, the printed address remains.
        let _ = open::that_detached(&url.text);
    }
    Ok(Exit::Ok)
}

/// Checks that a server answers there with status 200. HTTPS is only connected to.
fn probe(url: &PageUrl) -> Result<(), String> {
    let mut stream = connect(&url.authority).map_err(|e| e.to_string())?;
    if url.is_https {
        return Ok(());
    }
    let status = status(&mut stream, &url.authority).map_err(|e| e.to_string())?;
    match &status {
        b"HTTP/1.1 200" | b"HTTP/1.0 200" => Ok(()),
        other => Err(format!("the server answers {:?}", String::from_utf8_lossy(other))),
    }
}

/// Connects to the first address that accepts; returns the last error if none does.
fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    let addresses = authority
        .to_socket_addrs()
        .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "the host was not found"))?;
    for address in addresses {
        match TcpStream::connect_timeout(&address, WEB_PROBE_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn status(stream: &mut TcpStream, authority: &str) -> io::Result<[u8; STATUS_BYTES]> {
    stream.set_read_timeout(Some(WEB_PROBE_TIMEOUT))?;
    stream.set_write_timeout(Some(WEB_PROBE_TIMEOUT))?;
    write!(stream, "HEAD / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; STATUS_BYTES];
    stream.read_exact(&mut status)?;
    Ok(status)
}
