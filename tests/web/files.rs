//! The page's files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::app;
use crate::http::{get, request};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn each_file_is_served_with_its_type_and_length() {
    let (_server, app) = app::start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/page");
    let files = files(&root);
    assert!(files.iter().any(|file| file.ends_with("index.html")));
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
        let answer = get(app.address, &format!("/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        let content_type = answer.header("content-type").unwrap();
        let (_, extension) = name.rsplit_once('.').unwrap();
        let expected = match extension {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => content_type,
        };
        assert_eq!(content_type, expected, "{name}");
        assert_eq!(
            answer.header("content-length"),
            Some(&*fs::metadata(&file).unwrap().len().to_string())
        );
    }
    let index = get(app.address, "/");
    assert_eq!(index.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(index.body, fs::read_to_string(root.join("index.html")).unwrap());
}

#[test]
fn a_file_that_the_browser_has_is_answered_304() {
    let (_server, app) = app::start();
    let first = get(app.address, "/");
    let etag = first.header("etag").unwrap();
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let again = request(app.address, "GET /", &[("If-None-Match", etag)], "");
    assert_eq!((again.status, &*again.body), (304, ""));
    assert_eq!(again.header("etag"), Some(etag));
    let other = request(app.address, "GET /", &[("If-None-Match", "\"other\"")], "");
    assert_eq!((other.status, other.body.len()), (200, first.body.len()));
}

#[test]
fn unknown_paths_are_404_and_wrong_methods_405() {
    let (_server, app) = app::start();
    for path in ["/nothing", "/..%2fmod.rs", "/../mod.rs", "/index.html/", "//index.html", "/%00"] {
        let answer = get(app.address, path);
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, "not found: the task list is at /\n");
    }
    for (line, allow) in [
        ("POST /", "GET, HEAD"),
        ("DELETE /index.html", "GET, HEAD"),
        ("OPTIONS /", "GET, HEAD"),
        ("GET /todo.TodoService/AddTask", "POST"),
        ("POST /events", "GET,HEAD"),
    ] {
        let answer = request(app.address, line, &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{line}");
    }
    let head = {
        let mut connection = crate::http::Connection::open(app.address);
        connection.send(&format!("HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", app.address));
        connection.head()
    };
    let length = get(app.address, "/").body.len().to_string();
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)));
}
