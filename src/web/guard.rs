//! What keeps other sites out. There are no passwords: whoever reaches the address may
//! read and change the list, so a page from elsewhere must not do it in a person's name.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::events;
use crate::client::Code;

/// On every answer. No script, style or anything else but our own files, no framing, no
/// guessing of types; and no CORS header at all, so no other site may read an answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The name of a host, without a port: `list.example.org`, `192.0.2.7`, `::1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

#[derive(Debug, thiserror::Error)]
#[error("it is no name of a host: use a name or an address without a port, such as list.local")]
pub struct HostNameError;

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<HostName, HostNameError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_host = !bare.is_empty() && bare.chars().all(is_name);
        match is_host || bare.parse::<IpAddr>().is_ok() {
            true => Ok(HostName(bare.trim_end_matches('.').to_ascii_lowercase())),
            false => Err(HostNameError),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Under which names the list may be reached.
pub struct Guard {
    pub allowed: Vec<HostName>,
}

/// The address at which a connection was accepted.
#[derive(Clone, Copy)]
pub struct LocalAddress(pub IpAddr);

/// Refuses what may not be, and puts the headers on every answer.
pub async fn check(
    State(guard): State<Arc<Guard>>,
    Extension(LocalAddress(local)): Extension<LocalAddress>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request, local) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Files say for themselves how long they last.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl Guard {
    fn check(&self, request: &Request, local: IpAddr) -> Result<(), Error> {
        if request.uri().authority().is_some() {
            let why = "This is no proxy: ask with a path, such as GET /";
            return Err(Error::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, why));
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
            (Some(Ok(host)), None) => host,
            _ => {
                let why = "The request must have one Host header";
                return Err(Error::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, why));
            }
        };
        if !self.allows(host, local) {
            return Err(forbidden(format!(
                "The host name {host:?} is not allowed: start todo-web with --allow-host NAME for it"
            )));
        }
        // Links from other sites may lead to the page, but to nothing else.
        let is_page = [Method::GET, Method::HEAD].contains(request.method())
            && request.uri().path() != events::PATH;
        if is_page { Ok(()) } else { check_origin(request, host) }
    }

    /// Whoever makes a name of his own lead here (DNS rebinding) still has to send that
    /// name. Numbers cannot be made to lead elsewhere.
    fn allows(&self, host: &str, local: IpAddr) -> bool {
        let Some(name) = without_port(host).and_then(|name| name.parse::<HostName>().ok()) else {
            return false;
        };
        if name.0 == "localhost" || self.allowed.contains(&name) {
            return true;
        }
        let address = name.0.parse::<IpAddr>().map(|address| address.to_canonical());
        address.is_ok_and(|address| address.is_loopback() || address == local.to_canonical())
    }
}

/// Browsers say where a request comes from; programs do not, and need not.
fn check_origin(request: &Request, host: &str) -> Result<(), Error> {
    for origin in request.headers().get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        if !rest.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(forbidden(format!("A page of {origin:?} may not use this list")));
        }
    }
    for site in request.headers().get_all("sec-fetch-site") {
        if site != "same-origin" && site != "none" {
            return Err(forbidden("A page of another site may not use this list"));
        }
    }
    Ok(())
}

fn forbidden(why: impl Into<String>) -> Error {
    Error::new(StatusCode::FORBIDDEN, Code::PermissionDenied, why)
}

/// `None` if what follows the name is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at_checked(end)?;
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_hosts_are_allowed() {
        let guard = Guard { allowed: vec!["List.Example.org".parse().unwrap()] };
        let local = "192.0.2.7".parse().unwrap();
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "192.0.2.7:8080",
            "[::ffff:192.0.2.7]:8080",
            "list.example.org",
            "LIST.example.ORG.:8080",
        ] {
            assert!(guard.allows(host, local), "{host}");
        }
        for host in [
            "",
            ":8080",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "192.0.2.8:8080",
            "[::2]:8080",
            "::1",
            "[::1",
            "[::1]8080",
            "[localhost]x:1",
            "localhost:99999",
            "localhost:8080:1",
            "localhost/",
            "localhost@evil.example",
            "example.org",
            "x.list.example.org",
        ] {
            assert!(!guard.allows(host, local), "{host}");
        }
    }

    #[test]
    fn what_a_host_name_is() {
        for (text, name) in
            [("Phone.local", "phone.local"), ("[::1]", "::1"), ("192.0.2.7", "192.0.2.7")]
        {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), name);
        }
        for text in ["", "a:80", "http://a", "a b", "*", "[a", "bücher.example"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
