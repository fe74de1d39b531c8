use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::os::hex;

/// The page's files as they were at build time. Hidden files are an editor's, not the page's.
#[derive(RustEmbed)]
#[folder = "src/web/page"]
#[exclude = ".*"]
#[exclude = "**/.*"]
struct Files;

/// Answers everything that is neither a call nor the events: with a file of the page, or 404.
pub(crate) async fn file(request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        let why = "use GET or HEAD here; calls are POST /todo.TodoService/METHOD\n";
        return (StatusCode::METHOD_NOT_ALLOWED, allow, why).into_response();
    }
    let path = match request.uri().path() {
        "/" => "index.html",
        path => path.strip_prefix('/').unwrap_or(path),
    };
    match Files::get(path) {
        Some(file) => answer(file, request.headers()),
        None => (StatusCode::NOT_FOUND, "not found: the task list is at /\n").into_response(),
    }
}

fn answer(file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..8]));
    let is_known = is_known(&etag, asked);
    // The browser asks each time, so that after an update all files are of one version.
    let kept = [(header::ETAG, &*etag), (header::CACHE_CONTROL, "no-cache")];
    if is_known {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    // With `nosniff` a browser does not guess: neither the type nor the encoding.
    let media_type = file.metadata.mimetype();
    let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    let content_type = [(header::CONTENT_TYPE, format!("{media_type}{charset}"))];
    (kept, content_type, file.data).into_response()
}

/// Returns whether the browser has this version (RFC 9110, If-None-Match).
fn is_known(etag: &str, asked: &HeaderMap) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_lists_versions_that_the_browser_has() {
        for (lists, known) in [
            (&[][..], false),
            (&["\"a\""], true),
            (&["W/\"a\""], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["*"], true),
            (&["\"b\""], false),
            (&["a"], false),
            (&[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::IF_NONE_MATCH, HeaderValue::from_static(list));
            }
            assert_eq!(is_known("\"a\"", &headers), known, "{lists:?}");
        }
    }

    #[test]
    fn files_have_a_known_type_and_hidden_ones_are_left_out() {
        assert!(Files::get("index.html").is_some());
        for name in Files::iter() {
            assert!(!name.split('/').any(|part| part.starts_with('.')), "{name}");
            let file = Files::get(&name).unwrap();
            assert_ne!(file.metadata.mimetype(), "application/octet-stream", "{name}");
        }
    }
}
