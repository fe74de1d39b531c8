use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use super::Session;
use crate::cli::Exit;
use crate::cli::args::PageUrl;
use crate::client::{CallError, Code};
use crate::limits::WEB_PROBE_TIMEOUT;

/// Bytes of the answer that are looked at: its first line begins `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Opens the page if it is there, and prints its address for where no browser opens.
pub fn run(url: &PageUrl, session: &mut Session<'_>) -> io::Result<Exit> {
    if let Err(why) = probe(url) {
        let why = format!(
            "there is no page at {}: {why}; start it with `todo-web --listen {}`, or give --url",
            url.text, url.authority
        );
        return Ok(session.out.failed("", &CallError::new(Code::Unavailable, why)));
    }
    open(&url.text);
    match session.out.json {
        true => session.out.line(format_args!("{{\"url\": \"{}\"}}", url.text))?,
        false => session.out.line(&url.text)?,
    }
    Ok(Exit::Ok)
}

/// Whether something answers there as a page does.
fn probe(url: &PageUrl) -> Result<(), String> {
    let mut stream = connect(&url.authority).map_err(|e| e.to_string())?;
    if url.is_https {
        return Ok(());
    }
    let status = status(&mut stream, &url.authority).map_err(|e| e.to_string())?;
    match &status {
        b"HTTP/1.1 200" | b"HTTP/1.0 200" => Ok(()),
        other => Err(format!("it answers {:?}", String::from_utf8_lossy(other))),
    }
}

/// A name may have several addresses; the last error counts.
fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
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

/// In the desktop's browser, if there is a desktop.
fn open(url: &str) {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("DISPLAY") && !is_set("WAYLAND_DISPLAY") {
        return;
    }
    // In a group of its own, Ctrl-C at the REPL passes it by.
    let mut browser = Command::new("xdg-open");
    browser
        .arg(url)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Without xdg-open, or without a browser, there is still the address to click on.
    let _ = browser.spawn();
}
