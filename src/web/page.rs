use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the page, as it was when this was built.
struct File {
    /// Where it is served, such as `/views/list.js`.
    path: &'static str,
    content_type: &'static str,
    /// Another one whenever the content is another, with its quotes.
    etag: &'static str,
    bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// Answers what is neither a call nor the events: a file of the page, or nothing.
pub async fn file(request: Request) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let allow = [(header::ALLOW, HeaderValue::from_static("GET, HEAD"))];
        let why = "Only GET and HEAD make sense here; calls go to /todo.TodoService/METHOD\n";
        return (StatusCode::METHOD_NOT_ALLOWED, allow, why).into_response();
    }
    let path = match request.uri().path() {
        "/" => "/index.html",
        path => path,
    };
    match FILES.iter().find(|file| file.path == path) {
        Some(file) => answer(file, request.headers()),
        None => {
            let why = "There is no such page here; the task list is at /\n";
            (StatusCode::NOT_FOUND, why).into_response()
        }
    }
}

fn answer(file: &File, asked: &HeaderMap) -> Response {
    let kept = [
        (header::ETAG, HeaderValue::from_static(file.etag)),
        // Ask each time: after an update all files are of the same version.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if is_known(file.etag, asked) {
        return (StatusCode::NOT_MODIFIED, kept).into_response();
    }
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type))];
    (kept, content_type, file.bytes).into_response()
}

/// Whether the browser has this version already (RFC 9110, If-None-Match).
fn is_known(etag: &str, asked: &HeaderMap) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_browser_may_know() {
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
    fn every_file_has_a_path_and_a_version_of_its_own() {
        assert!(FILES.iter().any(|file| file.path == "/index.html"));
        for (n, file) in FILES.iter().enumerate() {
            assert!(file.path.starts_with('/') && file.etag.len() == 18, "{}", file.path);
            assert!(FILES[..n].iter().all(|other| other.path != file.path), "{}", file.path);
        }
    }
}
