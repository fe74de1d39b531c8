//! Keeps other sites out. There are no passwords: everyone who reaches the address may
//! read and change the list, so a page of another site must not do so through a visitor's
//! browser.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::uri::{Authority, Scheme, Uri};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::events;
use crate::client::Code;

/// On every answer: no script, style or other resource but the page's own files, no
/// framing, no guessing of types. There is no CORS header, so no other site can read an
/// answer.
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

/// A host without a port, in one spelling: `list.example.org`, `192.0.2.7`, `::1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

#[derive(Debug, thiserror::Error)]
#[error("invalid host name: use a name or an address without a port, such as list.local")]
pub struct HostNameError;

impl FromStr for HostName {
    type Err = HostNameError;

    /// Reads a DNS name or an IP address; an IPv6 address may have brackets.
    fn from_str(text: &str) -> Result<HostName, HostNameError> {
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let address = match bracketed {
            Some(text) => text.parse::<Ipv6Addr>().map(IpAddr::V6),
            None => text.parse(),
        };
        if let Ok(address) = address {
            return Ok(HostName(address.to_canonical().to_string()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match !name.is_empty() && name.chars().all(is_name) {
            true => Ok(HostName(name.to_ascii_lowercase())),
            false => Err(HostNameError),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host with the port that was given beside it: the Host header, or part of an origin.
struct Site {
    name: HostName,
    port: Option<u16>,
}

impl Site {
    fn parse(text: &str) -> Option<Site> {
        let authority = text.parse::<Authority>().ok()?;
        // The parser accepts user names and text as a port. A browser sends neither.
        let port = match text.strip_prefix(authority.host())? {
            "" | ":" => None,
            port => Some(port.strip_prefix(':')?.parse().ok()?),
        };
        Some(Site { name: authority.host().parse().ok()?, port })
    }

    /// Whether a page of `origin` belongs to this site. `on_any_port` ignores the port.
    fn is_origin(&self, origin: &str, on_any_port: bool) -> bool {
        let Ok(origin) = origin.parse::<Uri>() else { return false };
        let default_port = match origin.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => 80,
            Some(scheme) if *scheme == Scheme::HTTPS => 443,
            _ => return false,
        };
        let Some(from) = origin.authority().and_then(|from| Site::parse(from.as_str())) else {
            return false;
        };
        let port = |site: &Site| site.port.unwrap_or(default_port);
        from.name == self.name && (on_any_port || port(&from) == port(self))
    }
}

/// Refuses requests for host names that are not allowed, and requests of other sites.
pub(crate) struct AccessGuard {
    /// Allowed beside loopback and the address of the connection.
    pub(crate) allowed: Vec<HostName>,
}

/// The address at which a connection was accepted.
#[derive(Clone, Copy)]
pub(crate) struct LocalAddress(pub(crate) IpAddr);

/// Middleware: answers a refused request, and puts [`HEADERS`] on every answer.
pub(crate) async fn check(
    State(guard): State<Arc<AccessGuard>>,
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
    // Files have a caching rule of their own.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

impl AccessGuard {
    fn check(&self, request: &Request, local: IpAddr) -> Result<(), Error> {
        if request.uri().authority().is_some() {
            let why = "todo-web is not a proxy: request a path, such as GET /";
            return Err(Error::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, why));
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
            (Some(Ok(host)), None) => host,
            _ => {
                let why = "the request must have one Host header";
                return Err(Error::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, why));
            }
        };
        let site = Site::parse(host).filter(|site| self.allows(&site.name, local));
        let Some(site) = site else {
            return Err(forbidden(format!(
                "the host name {host:?} is not allowed: start todo-web with --allow-host NAME for it"
            )));
        };
        // Links of other sites may lead to the page's files, but not to the list.
        let is_file = [Method::GET, Method::HEAD].contains(request.method())
            && request.uri().path() != events::PATH;
        if is_file { Ok(()) } else { check_origin(request, &site) }
    }

    /// An attacker who points a name of their own at this address (DNS rebinding) cannot
    /// keep the browser from sending that name. An address cannot be pointed elsewhere.
    fn allows(&self, name: &HostName, local: IpAddr) -> bool {
        let is_own = |address: IpAddr| address.is_loopback() || address == local.to_canonical();
        name.0 == "localhost"
            || self.allowed.contains(name)
            || name.0.parse::<IpAddr>().is_ok_and(is_own)
    }
}

/// Refuses requests that a page of another site makes. Programs other than browsers send
/// neither header.
///
/// `Sec-Fetch-Site` is the browser's own verdict, which scripts cannot set; browsers omit it
/// on plain HTTP except to loopback. `Origin` names the page of every request that can
/// change the list. The two are trusted only together, except that a proxy on another port
/// may pass `Host` without that port: then `same-origin` settles it for the same host name.
/// The name always counts, so a rebound name is refused even if the proxy changes `Host`.
fn check_origin(request: &Request, site: &Site) -> Result<(), Error> {
    let mut is_same_origin = false;
    for verdict in request.headers().get_all("sec-fetch-site") {
        if verdict != "same-origin" && verdict != "none" {
            return Err(forbidden("a page of another site may not use this list"));
        }
        is_same_origin = verdict == "same-origin";
    }
    for origin in request.headers().get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        if !site.is_origin(origin, is_same_origin) {
            return Err(forbidden(format!(
                "a page of {origin:?} may not use this list: a proxy must pass Host unchanged"
            )));
        }
    }
    Ok(())
}

fn forbidden(why: impl Into<String>) -> Error {
    Error::new(StatusCode::FORBIDDEN, Code::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_hosts_are_allowed() {
        let guard = AccessGuard {
            allowed: ["List.Example.org", "[2001:DB8:0::1]"]
                .map(|name| name.parse().unwrap())
                .into(),
        };
        let local = "192.0.2.7".parse().unwrap();
        let is_allowed =
            |host| Site::parse(host).is_some_and(|site| guard.allows(&site.name, local));
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
            "[2001:db8::1]:8080",
        ] {
            assert!(is_allowed(host), "{host}");
        }
        for host in [
            "",
            ":8080",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "192.0.2.8:8080",
            "0.0.0.0:8080",
            "[::2]:8080",
            "::1",
            "[::1",
            "[::1]8080",
            "[localhost]",
            "[localhost]x:1",
            "localhost:99999",
            "localhost:http",
            "localhost:8080:1",
            "localhost/",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost@localhost",
            "example.org",
            "x.list.example.org",
            ".",
        ] {
            assert!(!is_allowed(host), "{host}");
        }
    }

    #[test]
    fn an_origin_is_compared_by_name_and_port() {
        for (host, origin, exactly, on_any_port) in [
            ("list.example", "https://list.example", true, true),
            ("list.example", "http://list.example", true, true),
            ("list.example:443", "https://list.example", true, true),
            ("list.example", "https://list.example:443", true, true),
            ("LIST.example.:8080", "http://list.example:8080", true, true),
            ("[::1]:8080", "http://[::1]:8080", true, true),
            ("list.example", "https://list.example:8443", false, true),
            ("list.example:80", "https://list.example", false, true),
            ("127.0.0.1:8080", "http://127.0.0.1:1", false, true),
            ("list.example", "https://evil.example", false, false),
            ("list.example", "https://list.example.evil.example", false, false),
            ("list.example", "https://list.example@evil.example", false, false),
            ("list.example", "https://evil.example@list.example", false, false),
            ("list.example", "https://list.example:port", false, false),
            ("list.example", "ftp://list.example", false, false),
            ("list.example", "list.example", false, false),
            ("null", "null", false, false),
            ("list.example", "", false, false),
            ("list.example", "file://", false, false),
        ] {
            let site = Site::parse(host).unwrap();
            assert_eq!(site.is_origin(origin, false), exactly, "{host} {origin}");
            assert_eq!(site.is_origin(origin, true), on_any_port, "{host} {origin}");
        }
    }

    #[test]
    fn host_names() {
        for (text, name) in [
            ("Phone.local", "phone.local"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(text.parse::<HostName>().unwrap().to_string(), name);
        }
        for text in ["", ".", "a:80", "http://a", "a b", "*", "[a", "[a]", "bücher.example"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
    }
}
